"""Keeps the state within its limits: prunes what all sinks have, forgets old ids, pauses polling when room runs out.

Delivered data never pauses anything: at 80 % of `max_size` delivered bodies go, oldest first. What pauses polling is a
backlog (the feeds of that sink only), a log that is full all the same, or a volume with hardly any space left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from collector.clock import Clock
from collector.errors import StoreFull
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.gate import Gate
from collector.pipeline.log import Log
from collector.pipeline.status import SinkStatus
from collector.store import Position, Store, Usage
from collector.store.pruning import FIRST_KEY, Key
from collector.units import format_size

log = structlog.get_logger()

_TICK_SECONDS = 1.0
_PRUNE_AT, _FULL_AT, _RESUME_AT = 0.80, 1.00, 0.95
_BACKLOG_RESUME = 0.9
_DAY = timedelta(days=1)
_HOUSEKEEPING_SECONDS = 60.0
_FORGET_SECONDS = 3600.0
_MIN_FREE_BYTES = 256 * 1024 * 1024
_MIN_FREE_SHARE = 0.05
_VACUUM_SPARE_BYTES = 4 * 1024 * 1024


class Waiting(Protocol):
    """What the janitor needs to know of a delivery loop."""

    settled: Position
    status: SinkStatus

    def skip(self, position: Position) -> None:
        """Move past what has not been delivered."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """One destination's hold on the log."""

    delivery: Waiting
    takes_stream: Callable[[StreamId], bool]
    required: bool
    max_backlog: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long the state keeps."""

    max_size: int
    keep_delivered: timedelta
    remember_ids: timedelta


class Janitor:
    """`run` looks every second, or as soon as a fiftieth of `max_size` was appended; `check` is one such look."""

    def __init__(
        self,
        store: Store,
        log_: Log,
        gate: Gate,
        clock: Clock,
        limits: Limits,
        claims: Callable[[], Sequence[Claim]],
    ) -> None:
        self._store = store
        self._reader = log_
        self._gate = gate
        self._clock = clock
        self._limits = limits
        self._claims = claims
        self._full = False
        self._no_room = False
        self._pruning_early = False
        self._behind: set[tuple[str, str]] = set()
        self._next_housekeeping = float("-inf")
        self._next_forgetting = float("-inf")
        self._forgetting: Key | None = None
        self._unmeasured_bytes = 0
        self._wake = asyncio.Event()
        self.usage: Usage | None = None

    def note_appended(self, size: int) -> None:
        """So many bytes went into the log: after a fiftieth of `max_size` nobody polls before the next look."""
        self._unmeasured_bytes += size
        if self._unmeasured_bytes > self._limits.max_size / 50:
            self._gate.hold()
            self._wake.set()

    async def run(self) -> None:
        """Look after the state, for ever."""
        while True:
            try:
                await self.check()
                await self._housekeeping()
            except StoreFull as exc:
                self._no_room = True
                self._gate.close(str(exc), {})
            with suppress(TimeoutError), self._clock.resting():
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()

    async def check(self) -> None:
        """Measure, make room, open or close the gate."""
        self._unmeasured_bytes = 0
        self._wake.clear()
        usage = await self._measure()
        claims = self._claims()
        floor = min((claim.delivery.settled for claim in claims), default=self._reader.end)
        if usage.used > _PRUNE_AT * self._limits.max_size or _tight(usage):
            usage = await self._make_room(floor, usage)
        everything = self._out_of_room(usage)
        streams = await self._backlogs(claims)
        self._gate.close(everything, streams)

    async def _measure(self) -> Usage:
        self.usage = usage = await self._store.usage()
        METRICS.log_bytes.set(usage.used)
        METRICS.log_max_bytes.set(self._limits.max_size)
        METRICS.log_free_bytes.set(usage.volume_free)
        return usage

    async def _make_room(self, floor: Position, usage: Usage) -> Usage:
        target = _PRUNE_AT * self._limits.max_size
        dropped = 0
        while usage.used > target or _tight(usage):
            step = await self._store.prune_bodies(floor, None)
            if not step:
                break
            dropped += step
            usage = await self._store.usage()
        if usage.wal > target / 20:
            await self._store.truncate_wal()
        while _tight(usage, counting_free_pages=False) and await self._store.vacuum(0):
            usage = await self._store.usage()
        if dropped:
            METRICS.pruned_pages.inc(dropped)
            if not self._pruning_early:
                log.warning("the state nears its limit: delivered events are pruned early", limit=self._limits.max_size)
            self._pruning_early = True
        return await self._measure()

    def _out_of_room(self, usage: Usage) -> str | None:
        least = _least_free(usage)
        self._no_room = usage.volume_free < least * (1.0 if not self._no_room else 1.2)
        self._full = usage.used >= self._limits.max_size * (_RESUME_AT if self._full else _FULL_AT)
        reason = None
        if self._no_room:
            reason = f"disk full: {format_size(usage.volume_free)} free on the volume of the state"
        elif self._full:
            reason = f"log full: {format_size(usage.used)} of {format_size(self._limits.max_size)}"
        METRICS.polling_paused.labels(reason="disk_full").set(self._no_room)
        METRICS.polling_paused.labels(reason="log_full").set(self._full and not self._no_room)
        before = self._gate.everything
        if reason is not None and before is None:
            log.error("polling pauses", reason=reason)
        elif reason is None and before is not None:
            log.info("polling goes on")
        return reason

    async def _backlogs(self, claims: Sequence[Claim]) -> dict[StreamId, str]:
        paused: dict[StreamId, str] = {}
        for claim in claims:
            status = claim.delivery.status
            streams = [stream for stream in self._store.streams() if claim.takes_stream(stream)]
            backlog = await self._store.backlog(claim.delivery.settled, streams)
            status.backlog_events, status.backlog_bytes = backlog.events, backlog.stored_bytes
            status.oldest_unsent = backlog.oldest
            METRICS.sink_backlog_events.labels(sink=status.sink).set(backlog.events)
            METRICS.sink_backlog_bytes.labels(sink=status.sink).set(backlog.stored_bytes)
            oldest = 0.0 if backlog.oldest is None else backlog.oldest.timestamp()
            METRICS.sink_oldest_unsent.labels(sink=status.sink).set(oldest)
            key = (status.sink, status.destination)
            limit = claim.max_backlog * (_BACKLOG_RESUME if key in self._behind else 1.0)
            if backlog.stored_bytes < limit:
                if key in self._behind:
                    log.info("backlog is down again", sink=status.sink)
                self._behind.discard(key)
                continue
            if not claim.required:
                await self._skip_half(claim)
                continue
            if key not in self._behind:
                log.error(
                    "backlog at its limit: the feeds of this sink pause", sink=status.sink, bytes=backlog.stored_bytes
                )
            self._behind.add(key)
            reason = f"backlog of sink {status.sink}: {format_size(backlog.stored_bytes)}"
            paused |= dict.fromkeys(streams, reason)
        return paused

    async def _skip_half(self, claim: Claim) -> None:
        """Move a sink that is not required past the older half of its backlog."""
        low, high = claim.delivery.settled.seq, self._reader.end.seq
        while high - low > 1:
            middle = (low + high) // 2
            left = await self._store.backlog(Position(middle))
            if left.stored_bytes > claim.max_backlog / 2:
                low = middle
            else:
                high = middle
        claim.delivery.skip(Position(high))

    async def _housekeeping(self) -> None:
        now = self._clock.monotonic()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
            await self._prune()
        if now >= self._next_forgetting and self._forgetting is None:
            self._next_forgetting = now + _FORGET_SECONDS
            self._forgetting = FIRST_KEY
        if self._forgetting is not None:
            self._forgetting = await self._store.prune_ids(self._forgetting, self._limits.remember_ids)

    async def _prune(self) -> None:
        floor = min((claim.delivery.settled for claim in self._claims()), default=self._reader.end)
        while step := await self._store.prune_bodies(floor, self._limits.keep_delivered):
            METRICS.pruned_pages.inc(step)
        while await self._store.prune_pages(floor, self._limits.remember_ids):
            pass
        await self._store.thin_settles(_DAY)
        while await self._store.vacuum(_VACUUM_SPARE_BYTES):
            await self._clock.sleep(0)
        horizon = await self._store.replay_horizon()
        METRICS.replay_horizon.set(0.0 if horizon is None else horizon.timestamp())
        counts = await self._store.dead_letter_counts()
        for claim in self._claims():
            status = claim.delivery.status
            status.dead_letters = counts.get(status.sink, 0)
            METRICS.dead_letters.labels(sink=status.sink).set(status.dead_letters)


def _least_free(usage: Usage) -> float:
    """The free bytes on the volume below which polling stops, so that settling keeps room."""
    return min(_MIN_FREE_BYTES, _MIN_FREE_SHARE * usage.volume_size)


def _tight(usage: Usage, *, counting_free_pages: bool = True) -> bool:
    """Whether the volume comes near that: then delivered bodies go early, and free pages back to the file system."""
    free = usage.volume_free + (usage.free_pages if counting_free_pages else 0)
    return free < 2 * _least_free(usage)
