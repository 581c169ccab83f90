from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from collector.liveness import LivenessClock
from collector.pipeline.timetable import Entry, Timetable
from collector.supervisor import supervise
from collector.testing import FakeClock


class Table:
    """A running timetable, and what it does: (seconds since it began, which lane) of every round."""

    def __init__(self, group: asyncio.TaskGroup, clock: FakeClock) -> None:
        self.clock = clock
        self.watch = LivenessClock(clock)
        self.timetable = Timetable(group, self.watch, self._keep)
        self.rounds: list[tuple[float, str]] = []
        self.added: list[Entry] = []
        self._began = clock.monotonic()

    def add(self, round_: Callable[[], Awaitable[float]], wait: float = 0.0) -> Entry:
        self.added.append(self.timetable.add("tip", round_, wait))
        return self.added[-1]

    async def _keep(self, name: str, round_: Callable[[], Awaitable[None]]) -> None:
        await supervise(name, round_, self.watch, ends=True)

    def lane(self, name: str, every: float, takes: float = 0.0) -> Callable[[], Awaitable[float]]:
        async def round_() -> float:
            self.rounds.append((self.clock.monotonic() - self._began, name))
            if takes:
                await self.watch.sleep(takes)
            return every

        return round_

    def of(self, name: str) -> list[float]:
        return [at for at, lane in self.rounds if lane == name]


@pytest.fixture
async def table(slow_clock: FakeClock) -> AsyncIterator[Table]:
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            running = Table(group, slow_clock)
            task = group.create_task(supervise("timetable", running.timetable.run, running.watch))
            yield running
            task.cancel()
            await running.timetable.remove(running.added)


async def test_rounds_come_again_after_the_wait_that_each_of_them_asks_for(table: Table) -> None:
    table.add(table.lane("slow", 60, takes=10), wait=5)
    table.add(table.lane("quick", 20))
    await table.clock.advance(150)

    assert table.of("slow") == [5, 75, 145]
    assert table.of("quick") == [0, 20, 40, 60, 80, 100, 120, 140]


async def test_what_is_added_later_and_due_earlier_does_not_wait_for_the_others(table: Table) -> None:
    table.add(table.lane("far", 3600), wait=3600)
    await table.clock.advance(100)
    table.add(table.lane("near", 3600), wait=1)
    await table.clock.advance(1)

    assert table.rounds == [(101, "near")]


async def test_between_two_rounds_no_task_waits_but_the_timetables_own(table: Table) -> None:
    await table.clock.settle()
    before = len(asyncio.all_tasks())
    for number in range(100):
        table.add(table.lane(str(number), 60))
    await table.clock.advance(30)

    assert len(table.rounds) == 100
    assert len(asyncio.all_tasks()) <= before + 2  # who sleeps until the next is due, and who waits to be woken


async def test_removed_lanes_have_no_more_rounds_and_those_under_way_have_ended(table: Table) -> None:
    busy = table.add(table.lane("busy", 60, takes=1000))
    resting = table.add(table.lane("resting", 60))
    table.add(table.lane("other", 60))
    await table.clock.advance(10)
    under_way = busy.task
    assert under_way is not None

    await table.timetable.remove([busy, resting])
    assert under_way.cancelled()
    await table.clock.advance(60)

    assert table.rounds == [(0, "busy"), (0, "resting"), (0, "other"), (60, "other")]


async def test_removed_lanes_do_not_pile_up(table: Table) -> None:
    for number in range(100):
        await table.timetable.remove([table.add(table.lane(str(number), 60), wait=86400)])
        await table.clock.settle()

    assert len(table.timetable._entries) <= 1


async def test_round_that_crashes_is_tried_again_and_harms_no_other(table: Table) -> None:
    attempts: list[float] = []

    async def broken() -> float:
        attempts.append(table.clock.monotonic())
        if len(attempts) < 3:
            raise RuntimeError("broken")
        return 3600

    table.add(broken)
    table.add(table.lane("well", 1))
    await table.clock.advance(10)

    assert len(attempts) == 3
    assert len(table.of("well")) == 11


async def test_lane_that_rests_is_no_illness_but_one_that_hangs_is(table: Table) -> None:
    async def hangs() -> float:
        await asyncio.Event().wait()
        return 0.0

    table.add(table.lane("quiet", 86400))
    await table.clock.advance(50_000)
    well = table.watch.stuck()
    table.add(hangs)
    await table.clock.advance(6000)

    assert well == []
    assert table.watch.stuck() == ["tip has not turned for 6000 s"]
