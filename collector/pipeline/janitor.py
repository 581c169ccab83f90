"""Keeps the state within its limits: prunes what all sinks have, forgets old ids, pauses polling when room runs out.

Delivered data never pauses anything: at 80 % of `max_size` delivered bodies go, oldest first. What pauses polling is a
backlog (the feeds of that sink only), a log that is full all the same, or a volume with hardly any space left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from collector.clock import Clock
from collector.errors import StoreFull
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.backlogs import Backlogs, Claim
from collector.pipeline.gate import Gate
from collector.pipeline.log import Log
from collector.pipeline.pausing import pause
from collector.pipeline.status import note_dead_letters
from collector.store import Position, Store, Usage
from collector.store.pruning import FIRST_KEY, Key
from collector.units import format_size

log = structlog.get_logger()

TICK_SECONDS = 1.0
_PACED_TICK_SECONDS = 0.1
_PRUNE_AT, _FULL_AT, _RESUME_AT = 0.80, 1.00, 0.95
_UNMEASURED_SHARE = 0.02
_DAY = timedelta(days=1)
_HOUSEKEEPING_SECONDS = 60.0
_FORGET_SECONDS = 3600.0
_MIN_FREE_BYTES = 256 * 1024 * 1024
_MIN_FREE_SHARE = 0.05
_VACUUM_SPARE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long the state keeps."""

    max_size: int
    keep_delivered: timedelta
    remember_ids: timedelta


class Janitor:
    """`run` looks every second, or as soon as a fiftieth of `max_size` was appended; `check` is one such look.

    Not to be run before every sink has its claim: what nobody claims counts as delivered. `trouble` says why the last
    look failed, `looked_at` when one last succeeded (monotonic seconds).
    """

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
        self._backlogs = Backlogs(store, clock, lambda: log_.end)
        self._full = False
        self._no_room = False
        self._pruning_early = False
        self._next_housekeeping = float("-inf")
        self._next_forgetting = float("-inf")
        self._housekeeping: AsyncGenerator[None, None] | None = None
        self._forgetting: Key | None = None
        self._unmeasured_bytes = 0
        self._wake = asyncio.Event()
        self.usage: Usage | None = None
        self.looked_at = float("-inf")
        self.trouble: str | None = None

    def note_appended(self, size: int) -> None:
        """So many bytes went into the log: after a fiftieth of `max_size`, or of the room left, nobody polls unseen."""
        self._unmeasured_bytes += size
        self._hold_if_unmeasured()

    def _hold_if_unmeasured(self) -> None:
        if self._unmeasured_bytes > self._unmeasured_at_most():
            self._gate.hold()
            self._wake.set()

    def _unmeasured_at_most(self) -> float:
        share = _UNMEASURED_SHARE * self._limits.max_size
        if self.usage is None:
            return share
        # What is appended takes its room twice for a while, in the WAL and in the file.
        spare = self.usage.volume_free - _least_free(self.usage)
        return min(share, max(0.0, spare) / 4)

    async def run(self) -> None:
        """Look after the state, for ever."""
        try:
            while True:
                next_look = self._clock.monotonic() + TICK_SECONDS
                try:
                    await self.check()
                    await self._keep_house(next_look)
                except StoreFull as exc:
                    self._no_room, self.trouble = True, str(exc)
                    self._close(str(exc), {})
                if self._gate.paced:
                    next_look = self._clock.monotonic() + _PACED_TICK_SECONDS
                await pause(self._clock, max(0.0, next_look - self._clock.monotonic()), self._wake)
        finally:
            if self._housekeeping is not None:
                await self._housekeeping.aclose()
                self._housekeeping = None

    async def check(self) -> None:
        """Measure, make room, open or close the gate."""
        self._unmeasured_bytes = 0
        self._wake.clear()
        usage = await self._measure()
        claims = self._claims()
        if usage.used > _PRUNE_AT * self._limits.max_size or _tight(usage):
            usage = await self._make_room(usage)
        reason = self._out_of_room(usage)
        self._close(reason, await self._backlogs.look(claims))
        self.looked_at, self.trouble = self._clock.monotonic(), None

    def _floor(self) -> Position:
        """What lies before it is delivered everywhere; asked for anew at every step, since sinks come and go."""
        return min((claim.delivery.holds for claim in self._claims()), default=self._reader.end)

    async def _measure(self) -> Usage:
        self.usage = usage = await self._store.usage()
        METRICS.log_bytes.set(usage.used)
        METRICS.log_max_bytes.set(self._limits.max_size)
        METRICS.log_free_bytes.set(usage.volume_free)
        return usage

    async def _make_room(self, usage: Usage) -> Usage:
        target = _PRUNE_AT * self._limits.max_size
        dropped = 0
        while usage.used > target or _tight(usage):
            step = await self._store.prune_bodies(self._floor(), None)
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
        if self._no_room:
            return f"disk full: under {format_size(int(least))} free on the volume of the state"
        if self._full:
            return f"log full: the state has reached its limit of {format_size(self._limits.max_size)}"
        return None

    def _close(self, reason: str | None, streams: dict[StreamId, str]) -> None:
        METRICS.polling_paused.labels(reason="disk_full").set(self._no_room)
        METRICS.polling_paused.labels(reason="log_full").set(self._full and not self._no_room)
        before = self._gate.everything
        if reason is not None and before is None:
            log.error("polling pauses", reason=reason)
        elif reason is None and before is not None:
            log.info("polling goes on")
        self._gate.close(reason, streams, self._backlogs.paced)
        self._hold_if_unmeasured()  # so much may have come in while we looked

    # -- housekeeping -----------------------------------------------------------------------

    async def _keep_house(self, until: float) -> None:
        """Go on with what is to be done now and then, in small steps, until it is time for the next look."""
        now = self._clock.monotonic()
        if now >= self._next_forgetting and self._forgetting is None:
            self._next_forgetting = now + _FORGET_SECONDS
            self._forgetting = FIRST_KEY
        if self._forgetting is not None:
            self._forgetting = await self._store.prune_ids(self._forgetting, self._limits.remember_ids)
        if now >= self._next_housekeeping and self._housekeeping is None:
            self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
            self._housekeeping = self._steps()
        while self._housekeeping is not None:
            try:
                await anext(self._housekeeping)
            except StopAsyncIteration:
                self._housekeeping = None
            if self._wake.is_set() or self._clock.monotonic() >= until:
                return

    async def _steps(self) -> AsyncGenerator[None, None]:
        while step := await self._store.prune_bodies(self._floor(), self._limits.keep_delivered):
            METRICS.pruned_pages.inc(step)
            yield
        while await self._store.prune_pages(self._floor(), self._limits.remember_ids):
            yield
        await self._store.thin_settles(_DAY)
        yield
        while await self._store.vacuum(_VACUUM_SPARE_BYTES):
            yield
        horizon = await self._store.replay_horizon()
        METRICS.replay_horizon.set(0.0 if horizon is None else horizon.timestamp())
        counts = await self._store.dead_letter_counts()
        note_dead_letters([claim.delivery.status for claim in self._claims()], counts)


def _least_free(usage: Usage) -> float:
    """The free bytes on the volume below which polling stops, so that settling keeps room."""
    return min(_MIN_FREE_BYTES, _MIN_FREE_SHARE * usage.volume_size)


def _tight(usage: Usage, *, counting_free_pages: bool = True) -> bool:
    """Whether the volume comes near that: then delivered bodies go early, and free pages back to the file system."""
    free = usage.volume_free + (usage.free_pages if counting_free_pages else 0)
    return free < 2 * _least_free(usage)
