from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from collector.liveness import PATIENCE, LivenessClock
from collector.supervisor import supervise
from collector.testing import FakeClock

LONG = max(PATIENCE.values()) + 1


@asynccontextmanager
async def running(clock: LivenessClock, name: str, loop: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(supervise(name, loop, clock))
    await asyncio.sleep(0.01)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("name", sorted(PATIENCE))
async def test_a_loop_that_waits_for_ever_is_stuck_once_patience_ends(name: str) -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)

    async with running(clock, name, hangs):
        await fake.advance(PATIENCE[name])
        early = clock.stuck()
        await fake.advance(1)

        assert early == []
        assert clock.stuck() == [f"{name} has not turned for {PATIENCE[name] + 1:.0f} s"]


async def test_a_loop_that_sleeps_now_and_then_turns() -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)

    async def turns() -> None:
        while True:
            await clock.sleep(LONG)

    async with running(clock, "janitor", turns):
        await fake.advance(LONG * 2.5)

        assert clock.stuck() == []


async def test_a_wait_that_may_take_any_time_is_no_illness_but_what_follows_counts() -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)
    opened = asyncio.Event()

    async def loop() -> None:
        with clock.resting():
            await opened.wait()
        await hangs()

    async with running(clock, "tip", loop):
        await fake.advance(LONG)
        resting = clock.stuck()
        opened.set()
        await fake.settle()
        await fake.advance(LONG)

        assert resting == []
        assert clock.stuck() == [f"tip has not turned for {LONG:.0f} s"]


async def test_a_loop_that_ended_though_it_should_not_is_dead() -> None:
    async def ends() -> None:
        await asyncio.sleep(0)

    clock = LivenessClock(FakeClock())

    async with running(clock, "budget", ends):
        assert clock.stuck() == ["budget has ended"]


async def test_a_delivery_that_takes_for_ever_is_no_illness_of_ours() -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)

    async with running(clock, "delivery", hangs):
        await fake.advance(LONG)

        assert clock.stuck() == []


async def test_a_loop_that_was_stopped_is_not_missed() -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)

    async with running(clock, "tip", hangs):
        pass
    await fake.advance(LONG)

    assert clock.stuck() == []


async def test_a_loop_that_crashed_waits_for_its_next_try_in_peace() -> None:
    async def crashes() -> None:
        raise RuntimeError

    fake = FakeClock()
    clock = LivenessClock(fake)

    async with running(clock, "janitor", crashes):
        assert clock.stuck() == []


async def test_it_shows_the_time_of_the_clock_it_wraps() -> None:
    fake = FakeClock()
    clock = LivenessClock(fake)

    await fake.advance(5)

    assert (clock.now(), clock.monotonic()) == (fake.now(), fake.monotonic())
