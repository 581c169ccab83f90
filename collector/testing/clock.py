"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

from collector.clock import Clock

START = datetime(2026, 11, 22, 10, 11, 12, 345_000, tzinfo=UTC)
_TURNS = 20


class FakeClock(Clock):
    """A clock under the test's control. `advance` is time passing, `jump` somebody setting the host's clock.

    `sleep` waits until `advance` has passed its end; with `hurry=True` nobody waits: each sleep moves the time itself.
    """

    def __init__(self, now: datetime = START, *, hurry: bool = False) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._hurry = hurry
        self._order = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.slept: list[float] = []
        """Every wait asked for, in order, in seconds."""

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._hurry or seconds <= 0:
            self._move(max(0.0, seconds))
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._order, woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to pass."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def jump(self, by: timedelta) -> None:
        """The host's clock is set: `now` moves, `monotonic` does not, nobody wakes."""
        self._now += by

    async def advance(self, seconds: float) -> None:
        """Let time pass: everybody whose wait ends meanwhile wakes at its time, in order, and gets its turn."""
        end = self._monotonic + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._move(due - self._monotonic)
            woken.set_result(None)
            await self.settle()
        self._move(end - self._monotonic)
        await self.settle()

    async def settle(self) -> None:
        """Let the other tasks run until they have most likely come to a stop."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _move(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
