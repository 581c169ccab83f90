"""When each lane of each feed has its next round: between two rounds a lane is an entry here, not a task of its own.

Thousands of feeds rest most of the time, and a task that waits costs several kilobytes.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from collector.clock import Clock
from collector.pipeline.pausing import pause

Round = Callable[[], Awaitable[float]]
"""Does what is to be done; returns how many seconds to wait before the next time."""

Keep = Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Runs the round of that name until it returns, whatever goes wrong."""


@dataclass(order=True, slots=True)
class Entry:
    """One lane: when its next round is due (monotonic seconds), and the round under way."""

    due: float
    number: int
    name: str = field(compare=False)
    round: Round | None = field(compare=False)
    task: asyncio.Task[None] | None = field(default=None, compare=False)


class Timetable:
    """Starts rounds when they are due, as tasks of the group; no lane has two at a time."""

    def __init__(self, group: asyncio.TaskGroup, clock: Clock, keep: Keep) -> None:
        self._group = group
        self._clock = clock
        self._keep = keep
        self._entries: list[Entry] = []
        self._number = 0
        self._gone = 0
        self._earlier = asyncio.Event()

    def add(self, name: str, round_: Round, wait: float = 0.0) -> Entry:
        """Have a round in `wait` seconds, and again and again, until the entry is removed."""
        self._number += 1
        entry = Entry(self._clock.monotonic() + wait, self._number, name, round_)
        self._push(entry)
        return entry

    async def remove(self, entries: Iterable[Entry]) -> None:
        """No more rounds of these; returns once those under way have ended, which are cancelled."""
        under_way: set[asyncio.Task[None]] = set()
        for entry in entries:
            entry.round = None
            if entry.task is None:
                self._gone += 1
            else:
                under_way.add(entry.task)
                entry.task.cancel()
        if self._gone > len(self._entries) // 2:
            self._entries = [entry for entry in self._entries if entry.round is not None]
            heapq.heapify(self._entries)
            self._gone = 0
        if under_way:
            await asyncio.wait(under_way)

    async def run(self) -> None:
        """Start what is due, for ever."""
        while True:
            self._earlier.clear()
            self._start_due()
            if self._entries:
                await pause(self._clock, self._entries[0].due - self._clock.monotonic(), self._earlier)
            else:
                with self._clock.resting():
                    await self._earlier.wait()

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        while self._entries and self._entries[0].due <= now:
            entry = heapq.heappop(self._entries)
            if entry.round is None:
                self._gone -= 1
            else:
                entry.task = self._group.create_task(self._go(entry, entry.round), name=entry.name)

    async def _go(self, entry: Entry, round_: Round) -> None:
        async def going() -> None:
            entry.due = await round_() + self._clock.monotonic()

        try:
            await self._keep(entry.name, going)
        finally:
            entry.task = None
        if entry.round is not None:
            self._push(entry)

    def _push(self, entry: Entry) -> None:
        heapq.heappush(self._entries, entry)
        if self._entries[0] is entry:
            self._earlier.set()
