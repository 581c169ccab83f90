"""Sample values, complete and valid; what a test is about is given, the rest is made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from collector.model import Event, Record, event_uid
from collector.sinks.base import Batch
from collector.testing.clock import START


def make_record(number: int = 0, **changes: Any) -> Record:
    """The record `event-<number>`, recorded a second after the one before it."""
    recorded_at = START + timedelta(seconds=number)
    record = Record(
        id=f"event-{number}",
        bucket=int(recorded_at.timestamp()) // 60,
        recorded_at=recorded_at,
        raw=b'{"id":"event-%d","severity":"warning"}' % number,
    )
    return replace(record, **changes)


def make_event(number: int = 0, *, labels: Mapping[str, str] | None = None, **changes: Any) -> Event:
    """The event of `make_record(number)`; its uid follows `id`, `vendor` and `feed`."""
    record = make_record(number)
    at = START + timedelta(seconds=number)
    event = Event(
        uid="",
        id=record.id,
        vendor="WithSecure",
        product="Elements",
        tenant="acme",
        labels=labels or {},
        organization_id="3f0a2b9c-6f5e-4d55-9f3b-0c8f6f7d1a11",
        organization_name="Acme Oy",
        source="withsecure",
        feed="security_events",
        kind="security_event",
        severity="medium",
        severity_vendor="warning",
        occurred_at=at - timedelta(seconds=2),
        recorded_at=at,
        fetched_at=at,
        title=f"Event {number}",
        fields={"host.name": "ws-042"},
        flags=(),
        raw=record.raw,
    )
    event = replace(event, **changes)
    return replace(event, uid=changes.get("uid") or event_uid(event.vendor, event.feed, event.id))


def make_batch(
    events: Sequence[Event], encode: Callable[[Event], bytes] = lambda event: event.raw, destination: str = ""
) -> Batch:
    return Batch(destination, list(events), [encode(event) for event in events])
