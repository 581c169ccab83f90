from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from collector.errors import StateInUse, StoreError
from collector.metrics import METRICS
from collector.supervisor import supervise
from collector.testing import FakeClock


def crashing(*errors: BaseException | None) -> Callable[[], Awaitable[None]]:
    """A loop that ends in these ways, one after the other, then returns."""
    left = list(errors)

    async def loop() -> None:
        await asyncio.sleep(0)
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    return loop


async def test_loop_that_returns_is_done() -> None:
    clock = FakeClock(hurry=True)
    await supervise("test", crashing(), clock)

    assert clock.slept == []


async def test_crashed_loop_is_logged_counted_and_started_again_later_and_later() -> None:
    clock = FakeClock(hurry=True)
    before = METRICS.registry.get_sample_value("edr_collector_loop_restarts_total", {"loop": "test"}) or 0.0
    with structlog.testing.capture_logs() as logs:
        await supervise("test", crashing(*[ValueError("bug")] * 10), clock)

    assert len(logs) == 10
    assert isinstance(logs[0]["exc_info"], ValueError)
    assert METRICS.registry.get_sample_value("edr_collector_loop_restarts_total", {"loop": "test"}) == before + 10
    assert clock.slept[0] <= 1.0
    assert 30.0 <= clock.slept[-1] <= 60.0


async def test_loop_that_ran_well_for_long_starts_again_soon() -> None:
    clock = FakeClock(hurry=True)
    crashes = 0

    async def loop() -> None:
        nonlocal crashes
        crashes += 1
        await clock.sleep(301 if crashes == 8 else 0)
        if crashes < 10:
            raise ValueError

    await supervise("test", loop, clock)
    waits = [wait for wait in clock.slept if wait not in {0, 301}]

    assert waits[6] > 15.0
    assert waits[7] <= 1.0


@pytest.mark.parametrize(
    "error",
    [
        StoreError("damaged"),
        StateInUse("in use"),
        ExceptionGroup("group", [ValueError("bug"), StoreError("damaged")]),
        ExceptionGroup("outer", [ExceptionGroup("inner", [StoreError("damaged")])]),
    ],
)
async def test_state_that_cannot_be_trusted_ends_the_loop_also_from_inside_a_group(error: Exception) -> None:
    with pytest.raises(StoreError):
        await supervise("test", crashing(error), FakeClock(hurry=True))


async def test_group_without_it_is_a_crash_like_others() -> None:
    clock = FakeClock(hurry=True)
    await supervise("test", crashing(ExceptionGroup("group", [ValueError("bug")])), clock)

    assert len(clock.slept) == 1


async def test_cancelled_loop_stays_cancelled() -> None:
    clock = FakeClock(hurry=True)
    task = asyncio.create_task(supervise("test", lambda: asyncio.Event().wait(), clock))  # type: ignore[arg-type,return-value]
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert clock.slept == []


async def test_loop_does_not_die_of_a_cancellation_that_was_not_meant_for_it() -> None:
    """A library that cancels a future of its own ends the wait of whoever awaits it: the loop would end in silence."""
    clock = FakeClock(hurry=True)
    runs = 0

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

    await asyncio.create_task(supervise("test", loop, clock))

    assert runs == 2
    assert len(clock.slept) == 1
