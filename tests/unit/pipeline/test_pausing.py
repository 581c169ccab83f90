from __future__ import annotations

import asyncio
from contextlib import suppress

from collector.liveness import LivenessClock
from collector.pipeline.pausing import pause
from collector.testing import FakeClock


async def test_pause_ends_with_its_time(slow_clock: FakeClock) -> None:
    task = asyncio.create_task(pause(slow_clock, 10, asyncio.Event()))
    await slow_clock.advance(9)
    assert not task.done()
    await slow_clock.advance(1)

    assert task.done()


async def test_pause_ends_when_woken_and_leaves_no_sleeper(slow_clock: FakeClock) -> None:
    woken = asyncio.Event()
    task = asyncio.create_task(pause(slow_clock, 10, woken))
    await slow_clock.settle()
    woken.set()
    await task

    assert woken.is_set()
    assert slow_clock.sleepers == 0


async def test_pause_does_not_begin_when_it_is_woken_already(slow_clock: FakeClock) -> None:
    woken = asyncio.Event()
    woken.set()
    await pause(slow_clock, 10, woken)

    assert slow_clock.slept == []


async def test_pause_that_does_not_begin_is_a_turn_all_the_same(slow_clock: FakeClock) -> None:
    clock, woken, stuck = LivenessClock(slow_clock), asyncio.Event(), []
    woken.set()
    with clock.watching("janitor"), suppress(ZeroDivisionError):
        for _ in range(3):
            await pause(clock, 1.0, woken)
            await slow_clock.advance(600.0)
            stuck += clock.stuck()
        raise ZeroDivisionError

    assert stuck == []


async def test_cancelled_pause_leaves_no_sleeper(slow_clock: FakeClock) -> None:
    task = asyncio.create_task(pause(slow_clock, 10, asyncio.Event()))
    await slow_clock.settle()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert slow_clock.sleepers == 0
