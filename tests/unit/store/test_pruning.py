"""What is taken away: only what may go, oldest first, in steps that are small and can be taken up again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.model import Record
from collector.store import Position, Store, opening, pruning
from collector.testing import FakeClock, make_record
from collector.testing.clock import START
from tests.unit.store.samples import ACME, BEGIN, GIB, MONTH, STREAMS, commit, prune_everything, whole_log

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
END = Position(10**9)


async def rows(store: Store, sql: str) -> list[Any]:
    found = await store._writer.call(lambda connection: connection.execute(sql).fetchall())
    return [row[0] if len(row) == 1 else row for row in found]


async def fill(store: Store, count: int, clock: FakeClock | None = None, each: timedelta = DAY) -> None:
    """Pages of two records, each fetched so much later than the one before."""
    for number in range(count):
        at = START if clock is None else clock.now()
        await commit(store, [make_record(2 * number, bucket=0), make_record(2 * number + 1, bucket=0)], at=at)
        if clock is not None:
            clock.jump(each)


# -- bodies ----------------------------------------------------------------------------------


async def test_only_bodies_before_the_position_go(store: Store) -> None:
    await fill(store, 5)
    assert await store.prune_bodies(Position(3, 1), None) == 2
    assert await store.prune_bodies(Position(3, 1), None) == 0
    assert [page.seq for page in await whole_log(store)] == [3, 4, 5]


async def test_only_bodies_that_are_old_enough_go(store: Store, clock: FakeClock) -> None:
    await fill(store, 10, clock)  # the last one is a day old
    assert await store.prune_bodies(END, timedelta(days=7)) == 2
    assert [page.seq for page in await whole_log(store)] == list(range(3, 11))
    assert await store.prune_bodies(END, timedelta(days=7)) == 0


async def test_bodies_go_oldest_first_in_small_steps(store: Store) -> None:
    await fill(store, 70)
    assert await store.prune_bodies(END, None) == 32
    assert (await whole_log(store))[0].seq == 33
    assert await store.prune_bodies(END, None) == 32
    assert await store.prune_bodies(END, None) == 6
    assert await store.prune_bodies(END, None) == 0


async def test_a_few_pages_stamped_in_the_future_hold_nothing_back(store: Store, clock: FakeClock) -> None:
    for number in range(40):
        await commit(store, [number], at=START + timedelta(days=365) if number < 20 else START)
    clock.jump(timedelta(days=8))
    assert await store.prune_bodies(END, timedelta(days=7)) == 20
    assert [page.seq for page in await whole_log(store)] == list(range(1, 21))
    assert await store.prune_bodies(END, None) == 20


async def test_the_search_for_old_bodies_looks_at_the_oldest_only(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BODIES_SEEN", 5)
    await fill(store, 8)
    await rows(store, f"UPDATE pages SET fetched_at = fetched_at + {10**15} WHERE seq <= 5")
    clock.jump(timedelta(days=8))
    await commit(store, [99], at=clock.now())
    assert await store.prune_bodies(END, timedelta(days=7)) == 0
    assert await store.prune_bodies(END, None) == 5


# -- pages and settles -----------------------------------------------------------------------


async def test_pages_outlive_their_bodies_until_they_are_old(store: Store, clock: FakeClock) -> None:
    await fill(store, 10, clock)
    assert await store.prune_pages(END, timedelta(days=5)) == 0  # they still have bodies
    await store.prune_bodies(Position(4), None)
    assert await store.prune_pages(Position(3), timedelta(days=5)) == 2
    assert await rows(store, "SELECT seq FROM pages") == list(range(3, 11))
    assert await store.prune_pages(END, timedelta(days=5)) == 1
    await store.prune_bodies(END, None)
    assert await store.prune_pages(END, timedelta(days=5)) == 1  # page 4; page 5 is five days old, not older
    assert await rows(store, "SELECT seq FROM pages") == list(range(5, 11))


async def test_a_settle_lives_as_long_as_the_pages_it_speaks_of(store: Store, clock: FakeClock) -> None:
    await fill(store, 4)
    for seq in range(1, 6):
        await store.settle("siem", "", Position(seq), delivered={ACME: (1, 1)})
    clock.jump(DAY * 365)  # a host's clock that runs ahead is no reason
    await store.prune_pages(END, MONTH)
    assert await rows(store, "SELECT seq FROM settles") == [1, 2, 3, 4, 5]
    clock.jump(-DAY * 365)
    await store.prune_bodies(Position(3), None)
    await store.prune_pages(END, -DAY)
    await store.prune_pages(END, -DAY)
    assert await rows(store, "SELECT seq FROM settles") == [3, 4, 5]
    await store.prune_bodies(END, None)
    await store.prune_pages(END, -DAY)
    assert await rows(store, "SELECT seq FROM settles") == [5]


async def test_pages_and_settles_go_in_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_STEP_ROWS", 3)
    await fill(store, 7)
    for seq in range(1, 9):
        await store.settle("siem", "", Position(seq), delivered={ACME: (1, 1)})
    while await store.prune_bodies(END, None):
        pass
    steps = []
    while step := await store.prune_pages(END, -DAY):
        steps.append(step)
    assert steps == [3, 3, 1]
    assert await rows(store, "SELECT seq FROM settles") == [8]


async def test_daily_counts_are_kept_for_a_year_and_a_month(store: Store, clock: FakeClock) -> None:
    await commit(store, [1])
    clock.jump(DAY * 399)
    await commit(store, [2], at=clock.now())
    await store.prune_pages(END, MONTH)
    assert len(await rows(store, "SELECT day FROM daily")) == 2
    clock.jump(DAY * 3)
    await commit(store, [3], at=clock.now())
    await store.prune_pages(END, MONTH)
    assert len(await rows(store, "SELECT day FROM daily")) == 2


# -- ids -------------------------------------------------------------------------------------


async def test_ids_go_in_steps_that_can_be_taken_up_again(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_STEP_IDS", 7)
    for stream in STREAMS:
        await commit(store, [make_record(n, bucket=n % 3 - 1) for n in range(10)], stream)
    clock.jump(DAY)
    await commit(store, [make_record(n, bucket=n % 3 - 1) for n in range(10, 20)], at=clock.now())
    clock.jump(MONTH)
    await commit(store, [99], at=clock.now())
    left = []
    after: pruning.Key | None = pruning.FIRST_KEY
    while after is not None:
        after = await store.prune_ids(after, MONTH)
        left.append((await rows(store, "SELECT count(*) FROM seen"))[0])
    assert left[0] > left[-1] == 11
    assert all(before - after <= 8 for before, after in zip([41, *left], left, strict=False))
    assert len(left) == 41 // 8 + 1
    assert set(await rows(store, "SELECT first_seen_day FROM seen")) == {20_780, 20_810}


async def test_a_step_over_the_ids_stops_commits_for_a_moment_only(path: Path) -> None:
    path.parent.mkdir()
    opening.make_ready(path)
    with closing(opening.connect(path, max_size=GIB)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO seen VALUES (1, ?, ?, ?, 1)", ((n // 50, os.urandom(16), n % 2) for n in range(50_000))
        )
        connection.execute("COMMIT")
        after: pruning.Key | None = pruning.FIRST_KEY
        slowest = 0.0
        while after is not None:
            began = time.perf_counter()
            after = pruning.ids(connection, after, 1)
            slowest = max(slowest, time.perf_counter() - began)
        assert connection.execute("SELECT count(*), sum(first_seen_day) FROM seen").fetchone() == (25_000, 25_000)
    assert slowest < 0.25


# -- settles ---------------------------------------------------------------------------------


async def settle_every(store: Store, clock: FakeClock, each: timedelta, count: int, sink: str = "siem") -> None:
    for number in range(count):
        await store.settle(sink, "", Position(number + 1), delivered={ACME: (1, 1)})
        clock.jump(each)


async def test_of_old_settles_one_a_minute_is_kept_the_last(store: Store, clock: FakeClock) -> None:
    clock.jump(-timedelta(seconds=START.second, microseconds=START.microsecond))
    await settle_every(store, clock, MINUTE / 4, 10)
    clock.jump(DAY)
    await commit(store, [1], at=clock.now())
    await settle_every(store, clock, MINUTE / 4, 3)
    assert await store.thin_settles(DAY - 2 * MINUTE) == 7
    assert await rows(store, "SELECT seq FROM settles ORDER BY rowid") == [4, 8, 10, 1, 2, 3]
    assert await store.thin_settles(DAY - 2 * MINUTE) == 0


async def test_each_sink_and_destination_keeps_its_own(store: Store, clock: FakeClock) -> None:
    clock.jump(-timedelta(seconds=START.second, microseconds=START.microsecond))
    for sink, destination in (("siem", ""), ("elastic", "a"), ("elastic", "b")) * 3:
        await store.settle(sink, destination, Position(1), delivered={ACME: (1, 1)})
    clock.jump(DAY)
    await commit(store, [1], at=clock.now())
    assert await store.thin_settles(DAY - MINUTE) == 6
    assert await store.thin_settles(timedelta(0)) == 0


async def test_thinning_goes_on_where_it_was_and_leaves_no_minute_half(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_STEP_ROWS", 12)
    clock.jump(-timedelta(seconds=START.second, microseconds=START.microsecond))
    gone = 0
    for _ in range(8):  # what the janitor does while settles come in at 1 s, seven a look
        await settle_every(store, clock, timedelta(seconds=10), 7)
        await commit(store, [make_record(0)], at=clock.now())
        gone += await store.thin_settles(timedelta(seconds=30))
    clock.jump(DAY)
    await commit(store, [make_record(0)], at=clock.now())
    gone += await store.thin_settles(MINUTE)
    assert gone == 56 - 10
    minutes = await rows(store, f"SELECT at / {pruning._MINUTE} FROM settles")
    assert len(minutes) == len(set(minutes)) == 10


async def test_thinning_takes_as_many_steps_as_it_needs(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_STEP_ROWS", 6)
    clock.jump(-timedelta(seconds=START.second, microseconds=START.microsecond))
    await settle_every(store, clock, timedelta(seconds=10), 60)
    clock.jump(DAY)
    await commit(store, [1], at=clock.now())
    assert await store.thin_settles(DAY / 2) == 50


async def test_before_the_first_page_nothing_is_old(store: Store, clock: FakeClock) -> None:
    await settle_every(store, clock, DAY, 3)
    assert store.safe_now() is None
    assert await store.prune_bodies(END, timedelta(0)) == 0
    assert await store.prune_pages(END, timedelta(0)) == 0
    assert await store.prune_ids(pruning.FIRST_KEY, timedelta(0)) is None
    assert await store.thin_settles(timedelta(0)) == 0


# -- room ------------------------------------------------------------------------------------


def incompressible(count: int) -> Iterator[Record]:
    return (make_record(number, raw=os.urandom(20_000)) for number in range(count))


async def test_vacuum_returns_the_room_of_what_was_pruned(store: Store, path: Path) -> None:
    for record in incompressible(100):
        await commit(store, [record])
    await store.truncate_wal()
    full = path.stat().st_size
    while await store.prune_bodies(END, None):
        pass
    await store.truncate_wal()
    assert path.stat().st_size == full
    free = (await store.usage()).free_pages
    assert free > 1_900_000
    keep = 50 * opening.PAGE_BYTES
    while await store.vacuum(keep):
        pass
    assert keep - 16 * opening.PAGE_BYTES <= (await store.usage()).free_pages <= keep
    while await store.vacuum(0):
        pass
    await store.truncate_wal()
    assert (await store.usage()).free_pages == 0
    assert path.stat().st_size <= full - free
    assert (await store.read(BEGIN, STREAMS, GIB)).pages == []


async def test_vacuum_works_in_steps_of_some_twenty_milliseconds(store: Store) -> None:
    for record in incompressible(200):
        await commit(store, [record])
    while await store.prune_bodies(END, None):
        pass
    took = []
    more = True
    while more:
        began = time.perf_counter()
        more = await store.vacuum(0)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 0.1  # one step begun at 19 ms, on a slow disk


async def test_what_was_pruned_is_filled_again_before_the_file_grows(store: Store, path: Path) -> None:
    for record in incompressible(60):
        await commit(store, [record])
    await store.truncate_wal()
    full = path.stat().st_size
    for number in range(60, 180):
        await commit(store, [make_record(number, raw=os.urandom(20_000))])
        await store.prune_bodies(Position(number - 50), None)
    await store.truncate_wal()
    assert path.stat().st_size < full * 1.2


async def test_a_state_that_was_pruned_to_nothing_works_on(store: Store) -> None:
    await fill(store, 3)
    await prune_everything(store, -2 * DAY)
    while await store.vacuum(0):
        pass
    assert await rows(store, "SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM pages)") == [(0, 0)]
    assert (await commit(store, [1])).seq == 4
