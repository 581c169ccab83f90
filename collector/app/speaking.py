"""What the collector itself has to say to a SIEM: signs of life, and test events on demand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import structlog

from collector import __version__
from collector.app.parts import Account, accounts
from collector.errors import CollectorError
from collector.model import Event, Record, StreamId, event_uid
from collector.pipeline.delivery import Delivery
from collector.pipeline.pausing import pause
from collector.pipeline.router import Router
from collector.timestamps import format_utc

if TYPE_CHECKING:
    from collector.app.engine import Engine
    from collector.pipeline.notices import Outcome

log = structlog.get_logger()

OURSELVES = "edr-collector"
"""Vendor, tenant and source of what no vendor and no tenant sent."""
_LOOK_SECONDS = 1.0
_TEST = "test"


def heartbeat(sink: str, interval_seconds: float, at: datetime) -> Event:
    """A sign of life for one sink."""
    number = uuid4().hex
    told = {
        "kind": "heartbeat",
        "id": number,
        "at": format_utc(at),
        "sink": sink,
        "interval_seconds": interval_seconds,
        "collector": {"product": OURSELVES, "version": __version__, "host": socket.gethostname()},
    }
    return Event(
        uid=event_uid(OURSELVES, "heartbeat", number),
        id=number,
        vendor=OURSELVES,
        product="collector",
        tenant=OURSELVES,
        labels={},
        organization_id="",
        organization_name="",
        source=OURSELVES,
        feed="heartbeat",
        kind="heartbeat",
        severity="informational",
        severity_vendor="",
        occurred_at=at,
        recorded_at=None,
        fetched_at=at,
        title=f"edr-collector is alive; the next sign of life to sink {sink} follows in {interval_seconds:g} s",
        fields={
            "event.kind": "metric",
            "observer.product": OURSELVES,
            "observer.version": __version__,
            "observer.hostname": socket.gethostname(),
            "edr.sink": sink,
            "edr.heartbeat_seconds": interval_seconds,
        },
        flags=(),
        raw=orjson.dumps(told),
    )


@dataclass(slots=True)
class _Beat:
    """A sink's next sign of life, and what became of the last."""

    delivery: Delivery
    due: float
    last: Outcome | None = None


async def heartbeats(engine: Engine) -> None:
    """Send every sink that asks for it a sign of life now and then, for ever.

    One that could not be sent is not sent late: the next takes its place, and silence says what it should.
    """
    beats: dict[str, _Beat] = {}
    while True:
        now = engine.clock.monotonic()
        wanted = {} if engine.stopping else _wanted(engine)
        for name in [name for name in beats if wanted.get(name) is not beats[name].delivery]:
            _end(beats.pop(name))
        for name, delivery in wanted.items():
            beat = beats.setdefault(name, _Beat(delivery, now))
            if now >= beat.due:
                _end(beat)
                sink = delivery.receiver.name
                interval = engine.config.sinks[sink].heartbeat.total_seconds()  # type: ignore[union-attr]  # wanted
                beat.last = delivery.say(heartbeat(sink, interval, engine.clock.now()))
                beat.due = max(beat.due + interval, now)
        wait = min([_LOOK_SECONDS, *(beat.due - now for beat in beats.values())])
        await engine.clock.sleep(max(0.01, wait))


def _wanted(engine: Engine) -> dict[str, Delivery]:
    sinks = engine.config.sinks
    running = engine.delivering.deliveries
    asked = {name for name, sink in sinks.items() if sink.heartbeat is not None}
    return {label: one for label, one in running.items() if one.receiver.name in asked}


def _end(beat: _Beat) -> None:
    if beat.last is None or beat.last.cancel():
        return
    if beat.last.exception() is None and (refused := beat.last.result().rejected):
        log.warning("a sign of life was refused", sink=beat.delivery.receiver.name, reason=refused[0])


async def try_out(engine: Engine, tenant: str, sink: str | None, seconds: float) -> list[dict[str, Any]]:
    """Send a made-up event of that tenant to that sink, None: to all; what became of it, sink by sink.

    `sink`, `outcome` ("delivered", "refused", "no answer", "not routed"), `seconds`, `reason`, `uid`.

    Raises:
        CollectorError: no such tenant or sink.
    """
    running = engine.delivering.sinks
    if sink is not None and sink not in running:
        raise CollectorError(f"no sink {sink} in {engine.config.path}")
    events = _test_events(engine, tenant)
    chosen = [one for name, one in running.items() if sink in {None, name}]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_try(engine, one, events, seconds), name="test event") for one in chosen]
    return [task.result() for task in tasks]


def _test_events(engine: Engine, tenant: str) -> list[tuple[StreamId, Event]]:
    """One of each of the tenant's sources, also of a tenant that organizations are mapped to."""
    found = list(_accounts_of(engine, tenant))
    if not found:
        raise CollectorError(f"no tenant {tenant} in {engine.config.path}")
    return [_test_event(engine, account, tenant, organization) for account, organization in found]


def _accounts_of(engine: Engine, tenant: str) -> Iterator[tuple[Account, str]]:
    """Accounts with the organization by which their events become this tenant's, "" where they are its own."""
    for account in accounts(engine.config, engine.plugins).values():
        if account.tenant == tenant:
            yield account, getattr(account.config, "organization_id", None) or ""
            continue
        for organization, name in engine.config.tenants[account.tenant].mapped.items():
            if name == tenant:
                yield account, organization
                break


def _test_event(engine: Engine, account: Account, tenant: str, organization: str) -> tuple[StreamId, Event]:
    now = engine.clock.now()
    make = account.plugin.example or _plain
    feed, record = make(uuid4().hex, now)
    stream = StreamId(account.tenant, account.name, feed or account.plugin.feeds[0])
    event = engine.events.of_record(stream, account.config.type, record, now)
    return stream, replace(
        event,
        kind="test",
        tenant=tenant,
        organization_id=organization or event.organization_id,
        flags=(*(flag for flag in event.flags if flag != "unparsed"), _TEST),
    )


def _plain(number: str, at: datetime) -> tuple[str, Record]:
    """For a vendor that gives no example."""
    raw = orjson.dumps({"id": number, "title": "edr-collector test event: nothing has happened", "at": format_utc(at)})
    return "", Record(number, 0, at, raw)


async def _try(
    engine: Engine, delivery: Delivery | Router, events: list[tuple[StreamId, Event]], limit: float
) -> dict[str, Any]:
    stage, name = delivery.receiver.stage, delivery.receiver.name
    event = next((event for stream, event in events if stage.takes_stream(stream) and stage.takes(event)), None)
    if event is None:
        return _told(name, "not routed", 0.0, "the route of this sink does not take it", None)
    began = engine.clock.monotonic()
    outcome, done = delivery.say(event), asyncio.Event()
    outcome.add_done_callback(lambda _: done.set())
    try:
        await pause(engine.clock, limit, done)
    finally:
        outcome.cancel()
    took = round(engine.clock.monotonic() - began, 3)
    if outcome.cancelled():
        reason = delivery.status.last_error or f"not sent within {limit:g} s"
        return _told(name, "no answer", took, reason, event)
    receipt = outcome.result()
    if receipt.rejected:
        return _told(name, "refused", took, receipt.rejected[0], event)
    waits = receipt.certain_after
    remark = None if waits is None else f"certain when the connection lasts for another {waits:g} s"
    return _told(name, "delivered", took, remark, event)


def _told(sink: str, outcome: str, seconds: float, reason: str | None, event: Event | None) -> dict[str, Any]:
    uid = None if event is None else event.uid
    return {"sink": sink, "outcome": outcome, "seconds": seconds, "reason": reason, "uid": uid}
