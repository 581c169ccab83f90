"""Which of the program's loops turn: what a watchdog may be told, and what `/livez` says.

A loop shows that it turns by resting: each `sleep`, and each wait that may take any time (`resting`), begins and ends
a turn. One that does neither for longer than a turn can possibly take is stuck; one that returned is dead. Delivery
loops are not judged by the length of their turns, since a receiver that is down is no illness of ours.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from collector.clock import Clock

# Longest turn by loop name, in seconds. The janitor's is a look at the state, with pruning at worst. A poller's is one
# page: it may wait an hour for its turn when the vendor says so (Retry-After is capped there), and then some requests
# of at most five minutes each.
PATIENCE = {"timetable": 60.0, "janitor": 900.0, "tip": 5400.0, "sweep": 5400.0}

_Task = asyncio.Task[object] | None


@dataclass(slots=True)
class _Loop:
    name: str
    busy_since: float | None
    ended: bool = False


class LivenessClock(Clock):
    """A clock that sees who sleeps: `stuck` is empty while every loop turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: dict[_Task, _Loop] = {}

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        with self.resting():
            await self._clock.sleep(seconds)

    def watching(self, loop: str, *, ends: bool = False) -> AbstractContextManager[None]:
        return _Watching(self, self._loops, loop, ends)

    def resting(self) -> AbstractContextManager[None]:
        return _Resting(self, self._loops.get(asyncio.current_task()))

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


class _Watching:
    """A class, as `_Resting`: thousands of loops are inside, and a generator takes three times the room."""

    __slots__ = ("_clock", "_ends", "_loops", "_name", "_task")

    def __init__(self, clock: Clock, loops: dict[_Task, _Loop], name: str, ends: bool) -> None:  # noqa: FBT001
        self._clock = clock
        self._loops = loops
        self._name = name
        self._ends = ends
        self._task: _Task = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._loops[self._task] = _Loop(self._name, self._clock.monotonic())

    def __exit__(self, kind: type[BaseException] | None, exc: object, traceback: object) -> None:
        # Cancelled, or an error that ends the process: nobody expects it to turn.
        if self._ends or kind is not None:
            del self._loops[self._task]
        else:
            self._loops[self._task].ended = True


class _Resting:
    __slots__ = ("_clock", "_loop")

    def __init__(self, clock: Clock, loop: _Loop | None) -> None:
        self._clock = clock
        self._loop = loop

    def __enter__(self) -> None:
        if self._loop is not None:
            self._loop.busy_since = None

    def __exit__(self, kind: object, exc: object, traceback: object) -> None:
        if self._loop is not None:
            self._loop.busy_since = self._clock.monotonic()
