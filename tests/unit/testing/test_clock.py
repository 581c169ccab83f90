import asyncio
from datetime import timedelta

from collector.testing import FakeClock


async def test_a_sleeper_wakes_when_its_time_has_passed_and_not_before() -> None:
    clock = FakeClock()
    began = clock.monotonic()

    async with asyncio.TaskGroup() as group:
        sleeper = group.create_task(clock.sleep(10))
        await clock.advance(9.9)
        assert not sleeper.done()
        assert clock.sleepers == 1
        await clock.advance(0.1)
        assert sleeper.done()

    assert clock.monotonic() == began + 10
    assert clock.sleepers == 0
    assert clock.slept == [10]


async def test_sleepers_wake_in_order_and_at_their_own_time() -> None:
    clock = FakeClock()
    began = clock.monotonic()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, *waits: float) -> None:
        for wait in waits:
            await clock.sleep(wait)
            woken.append((name, clock.monotonic() - began))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep("late", 3))
        group.create_task(sleep("twice", 1, 1))
        await clock.advance(5)

    assert woken == [("twice", 1), ("twice", 2), ("late", 3)]
    assert clock.monotonic() == began + 5


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    sleeper.cancel()
    await clock.settle()

    assert clock.sleepers == 0
    await clock.advance(10)


async def test_a_jump_moves_the_date_alone() -> None:
    clock = FakeClock()
    now, began = clock.now(), clock.monotonic()

    clock.jump(timedelta(days=-1))

    assert clock.now() == now - timedelta(days=1)
    assert clock.monotonic() == began


async def test_a_clock_in_a_hurry_lets_nobody_wait() -> None:
    clock = FakeClock(hurry=True)
    now, began = clock.now(), clock.monotonic()

    await clock.sleep(3600)

    assert clock.now() == now + timedelta(hours=1)
    assert clock.monotonic() == began + 3600
