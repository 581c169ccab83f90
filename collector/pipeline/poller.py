"""One round of one feed's lane: wait for the gate, fetch, commit, until the lane is caught up.

A page and the checkpoint that follows from it are committed together, and the next fetch begins from what was
committed: whatever goes wrong in between, the same page is asked for again and the known ids drop out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from collector import faults
from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import (
    CheckpointExpired,
    PageRefused,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
    StoreFull,
)
from collector.metrics import METRICS
from collector.model import Checkpoint, Lane, Page, StreamId, Window
from collector.pipeline.asking import Asking, Intervals
from collector.pipeline.gate import Gate
from collector.pipeline.pausing import pause
from collector.pipeline.poll_report import PollReport
from collector.pipeline.status import FeedStatus
from collector.sources.base import Source
from collector.store import Store
from collector.timestamps import parse_rfc3339
from collector.turns import Caller

_DENIED_BASE, _DENIED_CAP = 60.0, 900.0
_BASE, _CAP = 2.0, 300.0
_EXPIRED_IN_A_ROW = 3
_ONCE_ATTEMPTS = 6
_ONCE_FRUITLESS = 500
_ONCE_GATE_SECONDS = 60.0


class Poller:
    """Reads one feed: `tip` and `sweep` are one round of its two lanes each, `once` both, until the feed is caught up.

    `on_started` is called when the feed has been read for the first time, be it before a restart: sweeps have a point
    from then on.
    """

    def __init__(  # noqa: PLR0917 -- the loop's collaborators
        self,
        stream: StreamId,
        source: Source,
        store: Store,
        gate: Gate,
        clock: Clock,
        intervals: Intervals,
        asking: Asking,
        status: FeedStatus,
    ) -> None:
        self._stream = stream
        self._source = source
        self._store = store
        self._gate = gate
        self._clock = clock
        self._intervals = intervals
        self._asking = asking
        self._status = status
        self._report = PollReport(status, clock)
        self._positions: dict[Lane, Checkpoint | None] = {}
        self._expired_in_a_row: Counter[Lane] = Counter()
        self._failures: dict[Lane, Backoff] = {}
        self._denials: dict[Lane, Backoff] = {}
        # What ends the wait of a denied lane early: the other lane gets an answer. Set once, until this lane gets one.
        self._allowed: dict[Lane, asyncio.Event] = {}
        self._is_started = self._tip_began = self._sweep_began = False
        self.on_started: Callable[[], None] = _nobody_waits

    @property
    def caller(self) -> Caller:
        """The feed, as those see it who give turns."""
        return self._asking.caller

    @property
    def tip_delay(self) -> float:
        """Seconds before the first round of the tip."""
        return self._intervals.tip_delay

    async def tip(self) -> float:
        """Read the newest; returns how many seconds to wait before the next round."""
        began = self._clock.monotonic()
        await self._until_caught_up(Lane.TIP)
        interval = self._intervals.poll if self._tip_began else self._intervals.poll * self._intervals.first
        self._tip_began = True
        return self._left(began, interval)

    async def sweep(self) -> float:
        """Read again what may have become visible late; as `tip`. The first round only finds out when to begin."""
        if not self._sweep_began:
            self._sweep_began = True
            return await self._until_first_sweep()
        began = self._clock.monotonic()
        await self._until_caught_up(Lane.SWEEP)
        self._status.swept = True
        return self._left(began, self._intervals.sweep)

    async def once(self) -> None:
        """Read what there is, late records included, then return; a failure is raised.

        Raises:
            SourceError, PageRefused, StoreFull: why the feed could not be read to its end.
        """
        for lane in (Lane.TIP, Lane.SWEEP):
            attempts = fruitless = 0
            more = True
            while more:
                await self._pass_gate_soon()
                watermark = getattr(await self._position(lane), "watermark", None)
                try:
                    page = await self._step(lane)
                except (SourceUnavailable, CheckpointExpired) as exc:
                    attempts += 1
                    self._report.failure(lane, exc)
                    wait = self._wait_after(lane, exc)
                    if max(attempts, self._expired_in_a_row[lane]) >= _ONCE_ATTEMPTS:
                        raise
                    await self._clock.sleep(wait)
                except (SourceError, PageRefused, StoreFull) as exc:
                    self._report.failure(lane, exc)
                    raise
                else:
                    got_on = bool(page.records) or page.checkpoint.watermark != watermark
                    # Where a part of a feed fails for ever the others are read meanwhile, and have nothing new.
                    attempts = 0 if got_on else attempts
                    fruitless = 0 if got_on else fruitless + 1
                    more = page.more or page.retry_after is not None
                    if more and fruitless >= _ONCE_FRUITLESS:
                        stuck = SourceUnavailable(f"{fruitless} pages in a row are empty")
                        self._report.failure(lane, stuck)
                        raise stuck
                    if page.retry_after is not None:
                        await self._clock.sleep(page.retry_after)
        self._status.caught_up = self._status.swept = True

    async def _until_first_sweep(self) -> float:
        """Nothing can be late on the very first start; a restart soon after it does not begin the wait anew."""
        if await self._position(Lane.SWEEP) is not None:
            return self._intervals.sweep_delay
        every = self._intervals.sweep
        try:
            started, _ = await self._sweep_bounds()
        except SourceProtocolError:  # the sweep will say so
            return 0.0
        wait = max(timedelta(0), min(every, started + every - self._clock.now()))
        return self._intervals.first * wait.total_seconds()

    def _left(self, began: float, interval: timedelta) -> float:
        return max(0.0, interval.total_seconds() - (self._clock.monotonic() - began))

    def _failed(self, lane: Lane, exc: SourceError | PageRefused | StoreFull) -> None:
        self._report.failure(lane, exc)
        if lane is Lane.TIP and isinstance(exc, SourceError) and not isinstance(exc, CheckpointExpired):
            self.caller.failed()

    async def _until_caught_up(self, lane: Lane) -> None:
        while True:
            await self._pass_gate()
            try:
                page = await self._step(lane)
            except (SourceError, PageRefused, StoreFull) as exc:
                self._failed(lane, exc)
                await self._rest(lane, exc)
                continue
            if page.retry_after is not None:
                await self._clock.sleep(page.retry_after)
            elif not page.more:
                self._status.caught_up = self._status.caught_up or lane is Lane.TIP
                return

    async def _rest(self, lane: Lane, exc: Exception) -> None:
        wait = self._wait_after(lane, exc)
        allowed = self._allowed.setdefault(lane, asyncio.Event()) if isinstance(exc, SourceDenied) else None
        if allowed is None or allowed.is_set():  # who is denied nevertheless waits like all
            await self._clock.sleep(wait)
        else:
            await pause(self._clock, wait, allowed)

    async def _pass_gate(self) -> None:
        self._report.paused(yes=self._gate.reason(self._stream) is not None)
        with self._clock.resting():
            await self._gate.wait(self._stream)
        self._report.paused(yes=False)

    async def _pass_gate_soon(self) -> None:
        """As `_pass_gate`, but a one-off run does not wait for ever for a sink that is down."""
        deadline = self._clock.monotonic() + _ONCE_GATE_SECONDS
        while (reason := self._gate.reason(self._stream)) is not None:
            if self._clock.monotonic() >= deadline:
                raise StoreFull(reason)
            await self._clock.sleep(1.0)
        with self._clock.resting():
            await self._gate.wait(self._stream)

    async def _step(self, lane: Lane) -> Page:
        after, window = await self._position(lane), None
        if lane is Lane.SWEEP:
            started, beginning = await self._sweep_bounds()
            after, window = after or Checkpoint(started), Window(beginning)
        with self._asking.page():
            return await self._read(lane, after, window)

    async def _read(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        try:
            page = await self._source.fetch(self._stream.feed, lane, after, window)
        except CheckpointExpired as exc:
            await self._drop_run(lane, after, exc)
            raise
        faults.point("fetch.after")
        began = self._clock.monotonic()
        committed = await self._store.commit_page(self._stream, lane, page)
        METRICS.commit_seconds.observe(self._clock.monotonic() - began)
        self._positions[lane] = page.checkpoint
        if lane is Lane.TIP:
            self._start()
            self._asking.caller.gave(committed.appended, began, more=page.more, covered=_covered(after, page))
            self._report.asked(self._asking.caller.interval)
        self._denials.pop(lane, None)
        self._allowed.pop(lane, None)
        for allowed in self._allowed.values():
            allowed.set()
        if not page.more:
            self._expired_in_a_row[lane] = 0
        if self._expired_in_a_row[lane] < _EXPIRED_IN_A_ROW:
            self._failures.pop(lane, None)
        self._report.success(lane, page, committed.appended, committed.duplicates)
        return page

    async def _sweep_bounds(self) -> tuple[datetime, datetime]:
        """When the feed was first read, and how far back that went: what the tip wrote down at its first start."""
        tip = await self._position(Lane.TIP)
        try:
            state = {} if tip is None else tip.state
            return parse_rfc3339(state["started"]), parse_rfc3339(state["beginning"])
        except (KeyError, TypeError, ValueError) as exc:
            raise SourceProtocolError("the tip's checkpoint does not say when the feed began") from exc

    async def _position(self, lane: Lane) -> Checkpoint | None:
        if lane not in self._positions:
            self._positions[lane] = await self._store.checkpoint(self._stream, lane)
            if lane is Lane.TIP and self._positions[lane] is not None:
                self._start()
        return self._positions[lane]

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self.on_started()

    async def _drop_run(self, lane: Lane, after: Checkpoint | None, exc: CheckpointExpired) -> None:
        self._report.run_dropped(lane, exc)
        if exc.got_on:
            self._expired_in_a_row[lane] = 0
        if after is None:
            return
        fresh = exc.resume or replace(after, run=None)
        await self._store.set_checkpoint(self._stream, lane, fresh)
        self._positions[lane] = fresh

    def _wait_after(self, lane: Lane, exc: Exception) -> float:
        if isinstance(exc, SourceDenied):
            return self._denials.setdefault(lane, Backoff(_DENIED_BASE, _DENIED_CAP)).next()
        if isinstance(exc, CheckpointExpired):
            self._expired_in_a_row[lane] += 1
            return 0.0 if self._expired_in_a_row[lane] < _EXPIRED_IN_A_ROW else self._next_wait(lane)
        wait = self._next_wait(lane)
        asked = getattr(exc, "retry_after", None)
        if asked is None:
            return wait
        # The vendor knows best, once: whoever goes on asking for no wait at all is not hammered. A first wait of a
        # backoff is below its base, later ones are not.
        return max(float(asked), min(wait, 1.0) if wait < _BASE else wait)

    def _next_wait(self, lane: Lane) -> float:
        return self._failures.setdefault(lane, Backoff(_BASE, _CAP)).next()


def _nobody_waits() -> None:
    """The usual `on_started`."""


def _covered(after: Checkpoint | None, page: Page) -> float:
    """How many seconds of the vendor's time the page has brought the tip on."""
    to = page.checkpoint.watermark
    if to is None:
        return 0.0
    since = None if after is None else after.watermark
    if since is None:
        try:
            since = parse_rfc3339(page.checkpoint.state["beginning"])
        except (KeyError, TypeError, ValueError):
            return 0.0
    return max(0.0, (to - since).total_seconds())
