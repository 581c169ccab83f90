"""Which of the program's loops turn: what a watchdog may be told, and what `/livez` says.

A loop shows that it turns by resting: each `sleep`, and each wait that may take any time (`resting`), begins and ends
a turn. One that does neither for longer than a turn can possibly take is stuck; one that returned is dead. Delivery
loops are not judged by the length of their turns, since a receiver that is down is no illness of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from collector.clock import Clock

# Longest turn by loop name, in seconds. The janitor's is a look at the state, with pruning at worst. A poller's is one
# page: it may wait an hour for its turn when the vendor says so (Retry-After is capped there), and then some requests
# of at most five minutes each.
PATIENCE = {"janitor": 900.0, "tip": 5400.0, "sweep": 5400.0}


@dataclass(slots=True)
class _Loop:
    name: str
    busy_since: float | None
    ended: bool = False


class LivenessClock(Clock):
    """A clock that sees who sleeps: `stuck` is empty while every loop turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: dict[asyncio.Task[object] | None, _Loop] = {}

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        with self.resting():
            await self._clock.sleep(seconds)

    def watching(self, loop: str) -> AbstractContextManager[None]:
        return self._watching(loop)

    def resting(self) -> AbstractContextManager[None]:
        return self._resting()

    def stuck(self) -> list[str]:
        """The loops that do not turn and for how long, in words; empty while all is well."""
        now = self.monotonic()
        dead = [f"{loop.name} has ended" for loop in self._loops.values() if loop.ended]
        silent = [
            f"{loop.name} has not turned for {now - loop.busy_since:.0f} s"
            for loop in self._loops.values()
            if not loop.ended
            and loop.busy_since is not None
            and now - loop.busy_since > PATIENCE.get(loop.name, float("inf"))
        ]
        return sorted([*dead, *silent])

    @contextmanager
    def _watching(self, name: str) -> Iterator[None]:
        task = asyncio.current_task()
        loop = self._loops[task] = _Loop(name, self.monotonic())
        try:
            yield
        except BaseException:  # cancelled, or an error that ends the process: nobody expects it to turn
            del self._loops[task]
            raise
        loop.ended = True

    @contextmanager
    def _resting(self) -> Iterator[None]:
        loop = self._loops.get(asyncio.current_task())
        if loop is None:
            yield
            return
        loop.busy_since = None
        try:
            yield
        finally:
            loop.busy_since = self.monotonic()
