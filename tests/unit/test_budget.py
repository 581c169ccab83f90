from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from collector.budget import Budget
from collector.clock import Clock
from collector.model import Lane
from collector.turns import Caller, calling


class _Skipping(selectors.DefaultSelector):
    """Does not wait: tells the loop that the time it would have waited has passed."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        # Computing takes time as well: a timer that comes a hair too early must not spin for ever.
        self.skipped += max(0.0 if events else timeout or 0.0, 1e-7)
        return events


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which an hour passes in no time."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


class _LoopClock(Clock):
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def virtually(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await scenario()

    with asyncio.Runner(loop_factory=_VirtualLoop, debug=False) as runner:
        return runner.run(main())


async def turns(budget: Budget, wanted: Mapping[Lane, int], until: float) -> list[tuple[float, Lane]]:
    """Let so many tasks per lane take turns again and again until that time; who got one when."""
    loop = asyncio.get_running_loop()
    granted: list[tuple[float, Lane]] = []

    async def taker(lane: Lane) -> None:
        while True:
            await budget.take(lane)
            granted.append((loop.time(), lane))

    with suppress(TimeoutError):
        async with asyncio.timeout(until), asyncio.TaskGroup() as group:
            group.create_task(budget.run())
            for lane, count in wanted.items():
                for _ in range(count):
                    group.create_task(taker(lane))
    return granted


def most_in_any_window(times: list[float], window: float) -> int:
    first, most = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize(("limit", "window"), [(300, 60.0), (5, 1.0), (1, 1.0), (2, 10.0), (19, 60.0), (40, 60.0)])
def test_no_window_of_any_length_position_holds_more_than_the_limit(limit: int, window: float) -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        return await turns(Budget(limit, window, _LoopClock()), {Lane.TIP: 3}, window * 6)

    times = [time for time, _ in virtually(scenario)]

    assert most_in_any_window(times, window) <= limit
    assert len(times) >= max(5, (limit - max(1, limit // 20)) * 5)


@pytest.mark.parametrize(
    "limits", [((10, 1.0), (300, 60.0)), ((300, 60.0), (10, 1.0)), ((20, 1.0), (90, 60.0), (1, 0.1))]
)
def test_each_of_several_limits_is_kept(limits: tuple[tuple[int, float], ...]) -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        first, *also = limits
        budget = Budget(*first, _LoopClock(), also)
        await turns(budget, {}, 600.0)
        return await turns(budget, {Lane.TIP: 3}, 300.0)

    times = [time for time, _ in virtually(scenario)]

    for limit, window in limits:
        assert most_in_any_window(times, window) <= limit
    assert len(times) >= 5 * 0.9 * min(limit * 60 / window for limit, window in limits)


def test_a_restart_brings_no_second_burst() -> None:
    async def scenario() -> list[float]:
        idle_before = Budget(300, 60.0, _LoopClock())
        await turns(idle_before, {}, 600.0)
        before = await turns(idle_before, {Lane.TIP: 1}, 20.0)
        after = await turns(Budget(300, 60.0, _LoopClock()), {Lane.TIP: 1}, 100.0)
        return [time for time, _ in before + after]

    assert most_in_any_window(virtually(scenario), 60.0) <= 300


def test_turns_after_an_idle_hour_keep_the_limit() -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        budget = Budget(300, 60.0, _LoopClock())
        await turns(budget, {}, 3600.0)
        return await turns(budget, {Lane.TIP: 5}, 200.0)

    times = [time for time, _ in virtually(scenario)]

    assert most_in_any_window(times, 60.0) <= 300


def test_requests_half_a_second_apart_on_the_wire_stay_within_a_minutes_limit() -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        return await turns(Budget(300, 60.0, _LoopClock()), {Lane.TIP: 1}, 600.0)

    times = [time for time, _ in virtually(scenario)]
    late = [time + (0.5 if index % 2 else 0.0) for index, time in enumerate(times)]

    assert most_in_any_window(sorted(late), 60.0) <= 300


def test_a_lone_reader_gets_the_whole_burst_and_rate() -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        budget = Budget(300, 60.0, _LoopClock())
        await turns(budget, {}, 600.0)
        return await turns(budget, {Lane.TIP: 1}, 60.0)

    assert len(virtually(scenario)) >= 293


def test_tip_goes_first_but_a_fifth_is_the_sweeps_and_jobs_never_starve() -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        return await turns(Budget(300, 60.0, _LoopClock()), {Lane.TIP: 9, Lane.SWEEP: 9, Lane.JOB: 9}, 600.0)

    shares = Counter(lane for _, lane in virtually(scenario))
    total = shares.total()

    assert shares[Lane.SWEEP] >= total // 5 - 1
    assert shares[Lane.JOB] >= total // 25
    assert shares[Lane.TIP] >= total * 0.7


def test_lanes_alone_get_everything() -> None:
    async def scenario() -> list[int]:
        return [len(await turns(Budget(300, 60.0, _LoopClock()), {lane: 2}, 120.0)) for lane in Lane]

    tip, sweep, job = virtually(scenario)

    assert tip == sweep == job > 500


def test_sweeps_go_before_jobs() -> None:
    async def scenario() -> Counter[Lane]:
        granted = await turns(Budget(300, 60.0, _LoopClock()), {Lane.JOB: 3, Lane.SWEEP: 3}, 300.0)
        return Counter(lane for _, lane in granted)

    shares = virtually(scenario)

    assert shares[Lane.SWEEP] > 15 * shares[Lane.JOB] > 0


def test_within_a_lane_first_come_is_first_served() -> None:
    async def scenario() -> list[int]:
        budget = Budget(300, 60.0, _LoopClock())
        served: list[int] = []

        async def taker(number: int) -> None:
            await budget.take(Lane.TIP)
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(taker(number))
            runner = group.create_task(budget.run())
            await asyncio.sleep(60)
            runner.cancel()
        return served

    assert virtually(scenario) == list(range(40))


def test_who_spent_a_turn_on_a_login_goes_before_the_rest_of_its_lane() -> None:
    async def scenario() -> list[str]:
        budget = Budget(300, 60.0, _LoopClock())
        served: list[str] = []

        async def taker(name: str, *, again: bool = False) -> None:
            await budget.take(Lane.TIP, again=again)
            served.append(name)

        async with asyncio.TaskGroup() as group:
            for name in ("first", "second"):
                group.create_task(taker(name))
            group.create_task(taker("logged in", again=True))
            runner = group.create_task(budget.run())
            await asyncio.sleep(60)
            runner.cancel()
        return served

    assert virtually(scenario) == ["logged in", "first", "second"]


def test_turns_are_taken_on_behalf_of_the_feed_that_is_read() -> None:
    async def scenario() -> list[str]:
        budget = Budget(300, 60.0, _LoopClock())
        served: list[str] = []
        old = Caller(600.0)
        old.ask(0.0)
        old.gave(0, 0.0, more=False)

        async def reader(name: str, caller: Caller) -> None:
            with calling(caller):
                await budget.take(Lane.TIP)
                served.append(name)
                await budget.take(Lane.TIP)
                served.append(f"{name} again")

        async with asyncio.TaskGroup() as group:
            for name, caller in (("old", old), ("new", Caller(600.0)), ("newer", Caller(600.0))):
                group.create_task(reader(name, caller))
            runner = group.create_task(budget.run())
            await asyncio.sleep(60)
            runner.cancel()
        return served

    assert virtually(scenario) == ["new", "new again", "newer", "newer again", "old", "old again"]


def test_cancelled_waiters_cost_nobody_a_turn_and_hold_up_nobody() -> None:
    async def scenario() -> tuple[int, int]:
        budget = Budget(10, 10.0, _LoopClock())
        loop = asyncio.get_running_loop()
        granted = 0

        async def patient() -> None:
            nonlocal granted
            while True:
                await budget.take(Lane.JOB)
                granted += 1

        async def fickle(delay: float) -> None:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await budget.take(Lane.TIP)
                        await asyncio.sleep(loop.time() % 0.01)

        with suppress(TimeoutError):
            async with asyncio.timeout(1000), asyncio.TaskGroup() as group:
                group.create_task(budget.run())
                group.create_task(patient())
                group.create_task(fickle(0.37))
        return granted, budget.waiting[Lane.TIP]

    granted, left = virtually(scenario)

    assert granted > 40
    assert left <= 1


def test_a_turn_that_meets_its_cancellation_goes_to_the_next() -> None:
    async def scenario() -> list[str]:
        budget = Budget(10, 10.0, _LoopClock())
        served: list[str] = []

        async def taker(name: str) -> None:
            await budget.take(Lane.TIP)
            served.append(name)

        async with asyncio.TaskGroup() as group:
            first = group.create_task(taker("first"))
            group.create_task(taker("second"))
            await asyncio.sleep(0)
            budget._give()
            first.cancel()
        return served

    assert virtually(scenario) == ["second"]


def test_a_pause_holds_every_turn_until_it_is_over() -> None:
    async def scenario() -> list[tuple[float, Lane]]:
        budget = Budget(300, 60.0, _LoopClock())
        budget.pause(120)
        budget.pause(5)
        return await turns(budget, dict.fromkeys(Lane, 2), 300.0)

    granted = virtually(scenario)

    assert granted[0][0] >= 120
    assert len({lane for _, lane in granted}) == 3
    assert most_in_any_window([time for time, _ in granted], 60.0) <= 300


def test_waiting_is_counted_by_lane() -> None:
    async def scenario() -> tuple[Mapping[Lane, int], Mapping[Lane, int]]:
        budget = Budget(300, 60.0, _LoopClock())
        tasks = [asyncio.ensure_future(budget.take(lane)) for lane in (Lane.TIP, Lane.TIP, Lane.JOB)]
        await asyncio.sleep(0)
        during = budget.waiting
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return during, budget.waiting

    during, after = virtually(scenario)

    assert during == {Lane.TIP: 2, Lane.SWEEP: 0, Lane.JOB: 1}
    assert after == dict.fromkeys(Lane, 0)


@pytest.mark.parametrize(("requests", "per"), [(0, 1.0), (1, 0.0)])
def test_a_budget_without_requests_is_refused(requests: int, per: float) -> None:
    with pytest.raises(ValueError, match="at least one request"):
        Budget(requests, per, Clock())
