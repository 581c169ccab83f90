from __future__ import annotations

from datetime import timedelta

from collector.model import StreamId
from collector.store import Position, Store
from collector.testing import FakeClock
from collector.testing.clock import START

TODAY = START.date()


async def deliver(store: Store, sink: str = "siem", **events: int) -> None:
    delivered = {StreamId(tenant, "s", "incidents"): (count, 10 * count) for tenant, count in events.items()}
    await store.settle(sink, "", Position(1), delivered=delivered)


async def told(store: Store, days: int, most: int = 100) -> list[tuple[int, str | None, str, int, int, int]]:
    """Days ago, tenant, sink, events, bytes, of how many counts."""
    counts = await store.daily(days, most)
    return [((TODAY - one.day).days, one.tenant, one.sink, one.events, one.size, one.rows) for one in counts]


async def test_counts_of_the_last_days_come_newest_day_and_largest_first(store: Store, clock: FakeClock) -> None:
    await deliver(store, a=1)
    clock.jump(timedelta(days=1))
    await deliver(store, a=2, b=3)
    clock.jump(timedelta(days=1))
    await deliver(store, a=4)
    await deliver(store, "archive", a=5)

    assert await told(store, 2) == [
        (-2, "a", "archive", 5, 50, 1),
        (-2, "a", "siem", 4, 40, 1),
        (-1, "b", "siem", 3, 30, 1),
        (-1, "a", "siem", 2, 20, 1),
    ]
    assert len(await told(store, 3)) == 5


async def test_what_is_beyond_the_largest_is_one_sum_a_day_and_sink(store: Store, clock: FakeClock) -> None:
    await deliver(store, a=1, b=2)
    clock.jump(timedelta(days=1))
    await deliver(store, a=9, b=8, c=7, d=6)
    await deliver(store, "archive", a=5)

    assert await told(store, 7, most=2) == [
        (-1, "a", "siem", 9, 90, 1),
        (-1, "b", "siem", 8, 80, 1),
        (-1, None, "siem", 13, 130, 2),
        (-1, None, "archive", 5, 50, 1),
        (0, None, "siem", 3, 30, 2),
    ]
