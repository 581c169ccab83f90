"""What operators may ask of the running collector."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.app import tenancy
from collector.app.parts import encoder
from collector.app.reloading import reload_config
from collector.app.speaking import try_out
from collector.errors import CollectorError
from collector.formats import FORMATS
from collector.metrics import MAX_TENANT_SERIES, METRICS, OTHER
from collector.model import Event
from collector.pipeline.gate import Stop
from collector.pipeline.status import SKEW_SECONDS, FeedStatus, SinkStatus, note_dead_letters
from collector.store import DailyCount, DeadLetter, Position
from collector.timestamps import format_utc

if TYPE_CHECKING:
    from collector.app.engine import Engine

_TAIL_BYTES = 1 << 18
_MANY = 100_000
_STALE_SECONDS = 60.0
_DAYS = 7


class EngineOperations:
    """The operator verbs over a running engine; see `collector.admin.operations.Operations`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def status(self) -> dict[str, Any]:
        """Everything there is to know, as JSON values."""
        engine = self._engine
        usage = await engine.store.usage()
        recorded: dict[tuple[str, str, str], int] = {}
        for gap in await engine.store.gaps():
            key = (gap["tenant"], gap["source"], gap["feed"])
            recorded[key] = recorded.get(key, 0) + 1
        reason = engine.gate.everything
        now = engine.clock.monotonic()
        feeds = sorted(engine.reading.feeds.values(), key=lambda feed: str(feed.stream))
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": format_utc(engine.started_at),
            "state": {
                "path": str(engine.store.path),
                "bytes": usage.used,
                "max_bytes": engine.config.state.max_size,
                "free_bytes": usage.volume_free,
                "polling": "running" if reason is None else f"paused: {reason}",
            },
            "feeds": [
                _feed(feed, now, recorded, engine.gate.reason(feed.stream), engine.gate.stops.get(feed.stream))
                for feed in feeds
            ],
            "sinks": [_sink(status) for status in engine.delivering.statuses()],
            "warnings": [
                *engine.config.warnings,
                *_skews(feeds),
                *_too_old(feeds),
                *engine.reading.warnings(),
                *engine.holding.warnings(),
                *engine.organizations.warnings(),
                *_capped(),
            ],
            "daily": [_count(one) for one in await engine.store.daily(_DAYS, MAX_TENANT_SERIES)],
            "organizations_without_tenant": engine.organizations.as_json(),
            "unknown_fields": dict(sorted(engine.events.unknown.items())),
        }

    async def reload(self) -> dict[str, Any]:
        """Follow the configuration file; `{"summary": "...", "changed": [...], "warnings": [...]}`.

        Raises:
            ConfigError: nothing was changed.
        """
        done = await reload_config(self._engine)
        return {"summary": done.summary, "changed": list(done.changed), "warnings": list(done.warnings)}

    async def pause_tenant(self, tenant: str, /) -> None:
        """Poll it no more; see `tenancy`, also for the errors of the next three."""
        await tenancy.pause_tenant(self._engine, tenant)

    async def resume_tenant(self, tenant: str, /) -> None:
        """Poll it again."""
        await tenancy.resume_tenant(self._engine, tenant)

    async def purge_tenant(self, tenant: str, /) -> int:
        """Take its events out of the state; returns how many."""
        return await tenancy.purge_tenant(self._engine, tenant)

    async def accept_account(self, tenant: str, source: str | None, /, *, anew: bool) -> int:
        """Let held feeds go on; returns how many."""
        return await tenancy.accept_account(self._engine, tenant, source, anew=anew)

    async def test_event(self, tenant: str, sink: str | None, seconds: float, /) -> list[dict[str, Any]]:
        """Send a made-up event; see `speaking.try_out`.

        Raises:
            CollectorError: no such tenant or sink.
        """
        return await try_out(self._engine, tenant, sink, seconds)

    def tail(self, tenant: str | None, form: str, /) -> AsyncIterator[bytes]:
        """Events as they enter the log, one line each.

        Raises:
            CollectorError: no such tenant or format.
        """
        if form not in FORMATS:
            message = f"no format {form}: one of {', '.join(FORMATS)}"
            raise CollectorError(message)
        tenants = self._engine.config.tenants
        if tenant is not None and tenant not in {
            *tenants,
            *(name for known in tenants.values() for name in known.names),
        }:
            message = f"no tenant {tenant} in {self._engine.config.path}"
            raise CollectorError(message)
        return self._follow(tenant, encoder(form, self._engine.plugins))

    async def _follow(self, tenant: str | None, encode: Callable[[Event], bytes]) -> AsyncIterator[bytes]:
        engine = self._engine
        reader = engine.log.reader(lambda _stream: True)
        position = engine.log.end
        try:
            while True:
                reader.woken.clear()
                # Who reads too slowly misses events rather than have the disk read for him.
                position = max(position, Position(engine.log.memory_from))
                chunk = await reader.read(position, _TAIL_BYTES)
                for page in chunk.pages:
                    for event in engine.events.of_page(page):
                        if tenant is None or event.tenant == tenant:
                            yield encode(event)
                position = chunk.end
                if position >= engine.log.end:
                    await reader.woken.wait()
        finally:
            reader.close()

    async def dead_letters(self, sink: str | None, limit: int, /) -> list[dict[str, Any]]:
        """Refused events, oldest first, without their content."""
        return [_letter(letter) for letter in await self._engine.store.dead_letters(sink, None, limit)]

    async def dead_letter(self, number: int, /) -> dict[str, Any]:
        """One refused event with the vendor's record.

        Raises:
            CollectorError: there is none of that number.
        """
        found = await self._engine.store.dead_letters(None, [number], 1)
        if not found:
            message = f"no dead letter {number}"
            raise CollectorError(message)
        return _letter(found[0]) | {"record": found[0].record.raw.decode("utf-8", "replace")}

    async def retry_dead_letters(self, sink: str | None, numbers: Sequence[int] | None, /) -> int:
        """Have them sent again, each through its sink at the sink's next turn; returns how many will be.

        Raises:
            CollectorError: no such sink.
        """
        self._sink_exists(sink)
        asked = 0
        for name in list(self._engine.delivering.sinks):
            if sink in {None, name}:
                letters = await self._engine.store.dead_letters(name, numbers, _MANY)
                self._engine.delivering.retry(name, letters)
                asked += len(letters)
        return asked

    async def drop_dead_letters(self, sink: str | None, numbers: Sequence[int] | None, /) -> int:
        """Throw them away; returns how many there were.

        Raises:
            CollectorError: no such sink.
        """
        self._sink_exists(sink)
        letters = await self._engine.store.dead_letters(sink, numbers, _MANY)
        dropped = await self._engine.store.drop_dead_letters([letter.id for letter in letters])
        counts = await self._engine.store.dead_letter_counts()
        note_dead_letters([claim.delivery.status for claim in self._engine.delivering.claims()], counts)
        for delivery in self._engine.delivering.deliveries.values():
            delivery.wake()
        return dropped

    def _sink_exists(self, sink: str | None) -> None:
        if sink is not None and sink not in self._engine.delivering.sinks:
            message = f"no sink {sink} in {self._engine.config.path}"
            raise CollectorError(message)

    async def checkpoints(self) -> list[dict[str, Any]]:
        """Every lane's position at its vendor."""
        return checkpoint_rows(await self._engine.store.checkpoints())

    async def backup(self, target: str, /) -> dict[str, Any]:
        """Copy the state to a file of this host.

        Raises:
            StoreError: it exists, or can't be written.
        """
        await self._engine.store.backup(Path(target))
        return {"path": target}

    async def health(self) -> dict[str, Any]:
        """`{"live", "ready", "reasons"}`: neither a vendor nor a receiver that is down makes us unhealthy."""
        stuck = self._engine.loops.stuck()
        unwell = self._state_trouble()
        return {"live": not stuck, "ready": not stuck and not unwell, "reasons": [*stuck, *unwell]}

    def _state_trouble(self) -> list[str]:
        janitor = self._engine.janitor
        if janitor.trouble is not None:
            return [janitor.trouble]
        age = self._engine.clock.monotonic() - janitor.looked_at
        if age == float("inf"):
            return ["the state has not been looked at yet"]
        return [f"the state was last looked at {age:.0f} s ago"] if age > _STALE_SECONDS else []


def checkpoint_rows(rows: Sequence[tuple[Any, str, int, Any]]) -> list[dict[str, Any]]:
    """Checkpoints as JSON values; page tokens are the vendor's business and are not shown."""
    return [
        {
            "tenant": stream.tenant,
            "source": stream.source,
            "feed": stream.feed,
            "lane": lane,
            "job": job or None,
            "watermark": _time(checkpoint.watermark),
            "run": checkpoint.run is not None,
            "state": dict(checkpoint.state),
        }
        for stream, lane, job, checkpoint in rows
    ]


def _feed(
    feed: FeedStatus, now: float, recorded: dict[tuple[str, str, str], int], paused: str | None, stop: Stop | None
) -> dict[str, Any]:
    stream = feed.stream
    return {
        "tenant": stream.tenant,
        "source": stream.source,
        "feed": stream.feed,
        "state": stop.state if stop is not None else "paused" if paused else feed.state,
        "last_success": _time(feed.last_success),
        "last_event": _time(feed.last_event),
        "watermark": _time(feed.watermark),
        "lag_seconds": feed.lag(now),
        "interval_seconds": feed.interval_seconds,
        "max_age_seconds": feed.max_age_seconds,
        "errors": feed.consecutive_errors,
        "last_error": paused or feed.last_error,
        "gaps": recorded.get((stream.tenant, stream.source, stream.feed), 0),
        "events": feed.events,
        "duplicates": feed.duplicates,
        "unparsed": feed.unparsed,
        "owner_unknown": feed.owner_unknown,
        "unknown_fields": dict(sorted(feed.unknown.items())),
    }


def _sink(sink: SinkStatus) -> dict[str, Any]:
    return {
        "sink": sink.sink,
        "destination": sink.destination,
        "state": sink.state,
        "backlog_events": sink.backlog_events,
        "backlog_bytes": sink.backlog_bytes,
        "oldest_unsent": _time(sink.oldest_unsent),
        "last_error": sink.last_error,
        "last_success": _time(sink.last_success),
        "delivered": sink.delivered,
        "skipped": sink.skipped,
        "dead_letters": sink.dead_letters,
    }


def _count(one: DailyCount) -> dict[str, Any]:
    """`sink` null: what was fetched. What is beyond the largest counts is one `other`, of so many `rows`."""
    return {
        "day": one.day.isoformat(),
        "tenant": OTHER if one.tenant is None else one.tenant,
        "feed": OTHER if one.feed is None else one.feed,
        "sink": one.sink or None,
        "events": one.events,
        "bytes": one.size,
        **({} if one.rows == 1 and one.tenant is not None else {"rows": one.rows}),
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "sink": letter.sink,
        "destination": letter.destination,
        "tenant": letter.stream.tenant,
        "source": letter.stream.source,
        "feed": letter.stream.feed,
        "uid": letter.uid,
        "event_id": letter.event_id,
        "fetched_at": format_utc(letter.fetched_at),
        "reason": letter.reason,
        "at": format_utc(letter.at),
        "attempts": letter.attempts,
    }


def _skews(feeds: Sequence[FeedStatus]) -> list[str]:
    return [
        f"{feed.stream}: this host's clock and the vendor's are {feed.clock_skew:+.0f} s apart"
        for feed in feeds
        if abs(feed.clock_skew) > SKEW_SECONDS
    ]


def _capped() -> list[str]:
    if not METRICS.tenant_series_full:
        return []
    return [f"the metrics of tenants have {MAX_TENANT_SERIES} series, what is beyond is counted as {OTHER}"]


def _too_old(feeds: Sequence[FeedStatus]) -> list[str]:
    old = [feed for feed in feeds if feed.is_too_old]
    if not old:
        return []
    worst = max(old, key=lambda feed: feed.interval_seconds or 0.0)
    warning = (
        f"the rate limit does not allow for max_age: {len(old)} feeds are asked less often, "
        f"{worst.stream} every {worst.interval_seconds:.0f} s"
    )
    return [warning]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)
