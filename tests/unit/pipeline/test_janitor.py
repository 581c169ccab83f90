from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from collector.errors import StoreFull
from collector.metrics import METRICS
from collector.pipeline.backlogs import Claim
from collector.pipeline.gate import Gate
from collector.pipeline.janitor import Janitor, Limits
from collector.pipeline.status import SinkStatus
from collector.store import Position, Usage
from collector.store.pruning import FIRST_KEY, Key
from collector.testing import FakeClock, RecordingSink, make_record
from collector.testing.clock import START
from tests.unit.pipeline.test_backlogs import Sink
from tests.unit.pipeline.workbench import ACME, BEGIN, GIB, Workbench, quiet, until

DAY = timedelta(days=1)
MIB = 1 << 20
PLENTY = Usage(used=1000, free_pages=0, wal=0, volume_free=100 * GIB, volume_size=1000 * GIB)


class Keeper:
    """A janitor over a store whose size the test makes up."""

    def __init__(self, bench: Workbench, clock: FakeClock, max_size: int = 100 * MIB) -> None:
        self.bench = bench
        self.gate = Gate()
        self.claims: list[Claim] = []
        limits = Limits(max_size, 7 * DAY, 30 * DAY)
        self.usage: Callable[[], Usage] = lambda: PLENTY
        self.store: Any
        self.store = Sized(self)
        self.janitor = Janitor(self.store, bench.log, self.gate, clock, limits, lambda: self.claims)

    def sink(self, position: Position = BEGIN, *, max_backlog: int = GIB) -> Sink:
        sink = Sink(SinkStatus("archive", ""), self.bench, position)
        self.claims.append(Claim(sink, True, max_backlog))
        return sink

    async def bodies(self) -> int:
        chunk = await self.bench.store.read(Position(1), [ACME], GIB)
        return len(chunk.pages)


class Sized:
    """The real store, but for how large it says it is and what the test puts in the way."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._keeper.bench.store, name)

    async def usage(self) -> Usage:
        return self._keeper.usage()


@pytest.fixture
def keeper(bench: Workbench, slow_clock: FakeClock) -> Keeper:
    return Keeper(bench, slow_clock)


def used(share: float, **changes: int) -> Usage:
    return replace(PLENTY, used=int(share * 100 * MIB), **changes)


# -- room -----------------------------------------------------------------------------------------


async def test_delivered_pages_stay_while_there_is_room(keeper: Keeper) -> None:
    await keeper.bench.append(1)
    keeper.sink(keeper.bench.log.end)
    keeper.usage = lambda: used(0.80)
    await keeper.janitor.check()

    assert await keeper.bodies() == 1
    assert keeper.gate.everything is None


async def test_delivered_pages_go_over_80_percent_oldest_first_and_nothing_pauses(keeper: Keeper) -> None:
    for _ in range(40):
        await keeper.bench.append(1)
    keeper.sink(keeper.bench.log.end)
    sizes = iter([used(0.95), used(0.79), used(0.79)])
    keeper.usage = lambda: next(sizes)
    with structlog.testing.capture_logs() as logs:
        await keeper.janitor.check()

    assert 0 < await keeper.bodies() < 40
    assert keeper.gate.everything is None
    assert [line["event"] for line in logs] == ["the state nears its limit: delivered events are pruned early"]


async def test_early_pruning_is_said_once(keeper: Keeper) -> None:
    keeper.sink(Position(1000))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await keeper.bench.append(1)
            sizes = iter([used(0.95), used(0.79), used(0.79)])
            keeper.usage = lambda sizes=sizes: next(sizes)  # type: ignore[misc]
            await keeper.janitor.check()

    assert len(logs) == 1


async def test_page_that_one_sink_has_not_got_never_goes(keeper: Keeper) -> None:
    for _ in range(5):
        await keeper.bench.append(1)
    keeper.sink(keeper.bench.log.end)
    keeper.sink(Position(3))
    keeper.usage = lambda: used(0.99)
    await keeper.janitor.check()

    assert await keeper.bodies() == 3
    assert keeper.gate.everything is None


async def test_sink_that_turns_up_while_room_is_made_is_respected(keeper: Keeper) -> None:
    """A reload may add one that begins at the oldest event."""
    for _ in range(40):
        await keeper.bench.append(1)
    keeper.sink(keeper.bench.log.end)
    looks = 0

    def growing() -> Usage:
        nonlocal looks
        looks += 1
        if looks == 2:
            keeper.sink(Position(1))
        return used(0.95)

    keeper.usage = growing
    await keeper.janitor.check()

    assert await keeper.bodies() == 8


async def test_full_log_pauses_everything_until_it_is_well_below_its_limit(keeper: Keeper) -> None:
    keeper.sink()
    await keeper.bench.append(1)
    states = []
    with structlog.testing.capture_logs() as logs:
        for share in (0.99, 1.0, 0.96, 0.951, 0.94, 0.99):
            keeper.usage = lambda share=share: used(share)  # type: ignore[misc]
            await keeper.janitor.check()
            states.append(keeper.gate.everything is not None)

    assert states == [False, True, True, True, False, False]
    assert [line["event"] for line in logs] == ["polling pauses", "polling goes on"]


async def test_hardly_any_room_on_the_volume_pauses_everything_until_there_is_a_little_more(keeper: Keeper) -> None:
    states = []
    for free in (256 * MIB, 256 * MIB - 1, 300 * MIB, 310 * MIB):
        keeper.usage = lambda free=free: replace(PLENTY, volume_free=free)  # type: ignore[misc]
        await keeper.janitor.check()
        states.append(keeper.gate.everything)

    assert [state is not None for state in states] == [False, True, True, False]
    assert "disk full" in str(states[1])


async def test_small_volume_needs_a_twentieth_of_itself(keeper: Keeper) -> None:
    keeper.usage = lambda: replace(PLENTY, volume_size=20 * MIB, volume_free=MIB)
    await keeper.janitor.check()
    assert keeper.gate.everything is None

    keeper.usage = lambda: replace(PLENTY, volume_size=20 * MIB, volume_free=MIB - 1)
    await keeper.janitor.check()
    assert METRICS.registry.get_sample_value("edr_collector_polling_paused", {"reason": "disk_full"}) == 1
    assert METRICS.registry.get_sample_value("edr_collector_polling_paused", {"reason": "log_full"}) == 0


async def test_delivered_pages_go_and_the_file_shrinks_when_the_volume_gets_tight(keeper: Keeper) -> None:
    for _ in range(3):
        await keeper.bench.append(1)
    keeper.sink(keeper.bench.log.end)
    keeper.usage = lambda: replace(PLENTY, volume_free=300 * MIB)
    await keeper.janitor.check()

    assert await keeper.bodies() == 0
    assert "vacuum" in keeper.store.calls


async def test_file_shrinks_step_by_step_while_the_volume_is_tight(keeper: Keeper) -> None:
    steps = iter([True, True, False])
    keeper.usage = lambda: replace(PLENTY, volume_free=300 * MIB)

    async def vacuum(_: int) -> bool:
        return next(steps)

    keeper.store.vacuum = vacuum
    await keeper.janitor.check()

    assert list(steps) == []


async def test_large_wal_is_cut_when_room_is_short(keeper: Keeper) -> None:
    keeper.usage = lambda: used(0.9, wal=5 * MIB)
    await keeper.janitor.check()

    assert "truncate_wal" in keeper.store.calls


async def test_backlog_pauses_the_feeds_of_its_sink(keeper: Keeper) -> None:
    await keeper.bench.append(3)
    keeper.sink(max_backlog=1)
    await keeper.janitor.check()

    assert keeper.gate.reason(ACME) is not None
    assert keeper.gate.everything is None


async def test_without_any_sink_everything_counts_as_delivered(keeper: Keeper) -> None:
    await keeper.bench.append(1)
    keeper.usage = lambda: used(0.9)
    await keeper.janitor.check()

    assert await keeper.bodies() == 0


# -- holding ----------------------------------------------------------------------------------------


async def passes(gate: Gate) -> bool:
    task = asyncio.create_task(gate.wait(ACME))
    await quiet(2)
    passed = task.done()
    task.cancel()
    return passed


async def test_after_a_fiftieth_of_the_limit_nobody_polls_before_the_next_look(keeper: Keeper) -> None:
    keeper.janitor.note_appended(2 * MIB)
    assert await passes(keeper.gate)
    keeper.janitor.note_appended(1)
    assert not await passes(keeper.gate)

    await keeper.janitor.check()

    assert await passes(keeper.gate)


async def test_what_comes_in_during_a_look_is_looked_at_too(keeper: Keeper) -> None:
    def growing() -> Usage:
        keeper.janitor.note_appended(3 * MIB)
        return PLENTY

    keeper.usage = growing
    keeper.janitor.note_appended(3 * MIB)
    await keeper.janitor.check()
    assert not await passes(keeper.gate)

    keeper.usage = lambda: PLENTY
    await keeper.janitor.check()
    assert await passes(keeper.gate)


async def test_janitor_looks_at_once_when_much_came_in(keeper: Keeper, slow_clock: FakeClock) -> None:
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)
    keeper.janitor.note_appended(3 * MIB)

    await until(lambda: not keeper.gate._measuring)


async def test_janitor_looks_every_second(keeper: Keeper, slow_clock: FakeClock) -> None:
    looks = 0

    def look() -> Usage:
        nonlocal looks
        looks += 1
        return PLENTY

    keeper.usage = look
    keeper.bench.run(keeper.janitor.run())
    for expected in (1, 2, 3):
        await until(lambda expected=expected: looks == expected and slow_clock.sleepers)  # type: ignore[misc]
        assert keeper.janitor.looked_at == slow_clock.monotonic()
        await slow_clock.advance(1.0)


async def test_janitor_looks_ten_times_a_second_while_feeds_wait_for_a_slow_sink(
    keeper: Keeper, slow_clock: FakeClock
) -> None:
    for _ in range(20):
        await keeper.bench.append(1)
    size = (await keeper.bench.store.backlog(Position(1))).stored_bytes
    sink = keeper.sink(max_backlog=int(1.5 * size))
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)
    assert await passes(keeper.gate)
    sink.position = Position(2)
    await slow_clock.advance(1.0)
    await until(lambda: slow_clock.sleepers)
    assert not await passes(keeper.gate)

    sink.position = Position(15)
    await slow_clock.advance(0.1)
    await until(lambda: not keeper.gate.paced)
    assert await passes(keeper.gate)


async def test_on_a_volume_with_little_room_less_is_appended_between_two_looks(keeper: Keeper) -> None:
    keeper.usage = lambda: replace(PLENTY, volume_free=257 * MIB)
    await keeper.janitor.check()
    keeper.janitor.note_appended(MIB // 4)
    assert await passes(keeper.gate)
    keeper.janitor.note_appended(1)

    assert not await passes(keeper.gate)


async def test_full_volume_pauses_everything_and_the_janitor_goes_on(keeper: Keeper, slow_clock: FakeClock) -> None:
    def full() -> Usage:
        raise StoreFull("no room for the state")

    keeper.usage = full
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: keeper.gate.everything)
    assert keeper.janitor.trouble == "no room for the state"
    assert METRICS.registry.get_sample_value("edr_collector_polling_paused", {"reason": "disk_full"}) == 1
    await until(lambda: slow_clock.sleepers)

    keeper.usage = lambda: PLENTY
    await slow_clock.advance(1.0)
    await until(lambda: keeper.gate.everything is None)
    assert keeper.janitor.trouble is None


# -- housekeeping -------------------------------------------------------------------------------------


async def old_pages(keeper: Keeper, days: int, count: int = 1) -> None:
    """Pages fetched so many days before the newest one."""
    for _ in range(count):
        await keeper.bench.commit([make_record(keeper.bench.numbers)], at=START - days * DAY)
        keeper.bench.numbers += 1
    await keeper.bench.append(1)


async def test_delivered_bodies_go_after_keep_delivered_and_undelivered_ones_never(
    keeper: Keeper, slow_clock: FakeClock
) -> None:
    await old_pages(keeper, 8, count=3)
    keeper.sink(Position(3))
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)

    assert await keeper.bodies() == 2
    horizon = METRICS.registry.get_sample_value("edr_collector_replay_horizon_timestamp_seconds")
    assert horizon == (START - 8 * DAY).timestamp()


async def test_pages_are_forgotten_after_remember_ids(keeper: Keeper, slow_clock: FakeClock) -> None:
    await old_pages(keeper, 31, count=2)
    keeper.sink(keeper.bench.log.end)
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)

    assert (await keeper.bench.store.backlog(Position(1))).events == 1
    assert keeper.store.calls.count("prune_pages") == 2


async def test_housekeeping_goes_on_where_a_look_interrupted_it(keeper: Keeper, slow_clock: FakeClock) -> None:
    """Many steps of pruning must not keep pollers waiting who are held until the next look."""
    await old_pages(keeper, 8, count=100)
    keeper.sink(keeper.bench.log.end)
    prune, steps, looks = keeper.bench.store.prune_bodies, 0, 0

    async def busy(*args: Any) -> int:
        nonlocal steps
        steps += 1
        keeper.janitor.note_appended(3 * MIB)
        return await prune(*args)

    def look() -> Usage:
        nonlocal looks
        looks += 1
        return PLENTY

    keeper.store.prune_bodies = busy
    keeper.usage = look
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)

    assert await keeper.bodies() == 1
    assert steps == 5
    assert looks >= steps


async def test_housekeeping_gives_way_when_its_second_is_over(keeper: Keeper, slow_clock: FakeClock) -> None:
    await old_pages(keeper, 8, count=100)
    keeper.sink(keeper.bench.log.end)
    prune, steps = keeper.bench.store.prune_bodies, 0

    async def slow(*args: Any) -> int:
        nonlocal steps
        steps += 1
        slow_clock._monotonic += 0.6
        return await prune(*args)

    keeper.store.prune_bodies = slow
    looks: list[int] = []

    def look() -> Usage:
        looks.append(steps)
        return PLENTY

    keeper.usage = look
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers and steps == 5)

    assert looks[:3] == [0, 2, 4]


async def test_dead_letters_are_counted_anew_every_minute(keeper: Keeper, slow_clock: FakeClock) -> None:
    sink = keeper.sink(keeper.bench.log.end)
    sink.status.dead_letters = 5
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)
    assert sink.status.dead_letters == 0

    sink.status.dead_letters = 5
    for _ in range(59):
        await slow_clock.advance(1)
        await until(lambda: slow_clock.sleepers)
    assert sink.status.dead_letters == 5
    await slow_clock.advance(1)
    await until(lambda: sink.status.dead_letters == 0)


async def test_old_ids_are_forgotten_step_by_step_once_an_hour(keeper: Keeper, slow_clock: FakeClock) -> None:
    second: Key = (1, 2, b"x")
    asked: list[Key] = []

    async def prune_ids(after: Key, older_than: timedelta) -> Key | None:
        assert older_than == 30 * DAY
        asked.append(after)
        return second if after == FIRST_KEY else None

    keeper.store.prune_ids = prune_ids
    keeper.bench.run(keeper.janitor.run())
    for _ in range(5):
        await until(lambda: slow_clock.sleepers)
        await slow_clock.advance(1)
    assert asked == [FIRST_KEY, second]

    await until(lambda: slow_clock.sleepers)
    await slow_clock.advance(3600)
    while len(asked) == 2:
        await quiet(3)
        await slow_clock.advance(1)
    assert asked[2] == FIRST_KEY


async def test_cancelled_janitor_leaves_its_housekeeping_in_order(keeper: Keeper) -> None:
    await old_pages(keeper, 8, count=100)
    keeper.sink(keeper.bench.log.end)
    stuck = asyncio.Event()

    async def prune(*_: Any) -> int:
        stuck.set()
        await asyncio.Event().wait()
        return 0

    keeper.store.prune_bodies = prune
    task = keeper.bench.run(keeper.janitor.run())
    await stuck.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert keeper.janitor._housekeeping is None


async def test_janitor_cancelled_between_two_steps_leaves_its_housekeeping_in_order(keeper: Keeper) -> None:
    await old_pages(keeper, 8, count=100)
    keeper.sink(keeper.bench.log.end)
    prune, stepped, measuring = keeper.bench.store.prune_bodies, False, asyncio.Event()

    async def step(*args: Any) -> int:
        nonlocal stepped
        stepped = True
        keeper.janitor.note_appended(3 * MIB)
        return await prune(*args)

    async def usage() -> Usage:
        if stepped:
            measuring.set()
            await asyncio.Event().wait()
        return PLENTY

    keeper.store.prune_bodies = step
    keeper.store.usage = usage
    task = keeper.bench.run(keeper.janitor.run())
    await measuring.wait()
    assert keeper.janitor._housekeeping is not None
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert keeper.janitor._housekeeping is None


async def test_vacuum_goes_on_until_little_is_free(keeper: Keeper, slow_clock: FakeClock) -> None:
    steps = iter([True, True, False])

    async def vacuum(_: int) -> bool:
        return next(steps)

    keeper.store.vacuum = vacuum
    keeper.bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)

    assert list(steps) == []


async def test_real_deliveries_claim_what_they_have_not_got(bench: Workbench, slow_clock: FakeClock) -> None:
    """A sink that is down for longer than `keep_delivered` loses nothing."""
    keeper = Keeper(bench, slow_clock)
    await old_pages(keeper, 8, count=3)
    down = await bench.delivery(RecordingSink(), "down")
    keeper.claims.append(Claim(down, True, GIB))
    bench.run(keeper.janitor.run())
    await until(lambda: slow_clock.sleepers)

    assert await keeper.bodies() == 4
