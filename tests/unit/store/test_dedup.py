"""Every record once per stream, for as long as it is remembered, whatever the clocks say."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from collector.model import Lane
from collector.store import Position, Store
from collector.testing import FakeClock, make_record
from collector.testing.clock import START
from tests.unit.store.conftest import Open
from tests.unit.store.samples import (
    ACME,
    GLOBEX,
    MONTH,
    commit,
    held_up,
    ids,
    prune_everything,
    whole_log,
)

YEAR = timedelta(days=365)


# -- knowing ----------------------------------------------------------------------------------


async def test_a_record_twice_on_a_page_is_stored_once(store: Store) -> None:
    committed = await commit(store, [1, 2, 1, 1])
    assert (committed.appended, committed.duplicates) == (2, 2)
    assert await ids(store) == ["event-1", "event-2"]


async def test_a_record_with_two_buckets_on_a_page_is_stored_once(store: Store) -> None:
    assert (await commit(store, [make_record(1, bucket=1), make_record(1, bucket=2)])).appended == 1


async def test_a_record_served_again_with_other_content_is_known(store: Store) -> None:
    await commit(store, [1])
    assert (await commit(store, [make_record(1, raw=b"{}", recorded_at=None)])).appended == 0
    assert (await whole_log(store))[0].records[0].raw == make_record(1).raw


@pytest.mark.parametrize("lane", [Lane.SWEEP, Lane.JOB])
async def test_lanes_of_a_stream_share_what_is_known(store: Store, lane: Lane) -> None:
    await commit(store, [1, 2])
    assert (await commit(store, [1, 2, 3], lane=lane)).records == [make_record(3)]


async def test_another_stream_s_record_of_the_same_id_is_another_record(store: Store) -> None:
    await commit(store, [1, 2])
    assert (await commit(store, [1, 2], GLOBEX)).appended == 2
    assert (await commit(store, [1, 2], GLOBEX)).appended == 0


async def test_two_pollers_that_serve_the_same_record_at_once_store_it_once(store: Store) -> None:
    release = await held_up(store)
    pages = [asyncio.ensure_future(commit(store, [1, 2, 3], lane=lane)) for lane in Lane]
    await asyncio.sleep(0)
    release()
    assert [committed.appended for committed in await asyncio.gather(*pages)] == [3, 0, 0]


async def test_records_without_a_bucket_are_told_apart(store: Store) -> None:
    records = [make_record(number, bucket=0) for number in range(500)]
    assert (await commit(store, records)).appended == 500
    assert (await commit(store, records)).duplicates == 500


async def test_a_record_stays_known_when_the_state_is_opened_again(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [1])
    async with opened() as store:
        assert (await commit(store, [1])).appended == 0


# -- forgetting ------------------------------------------------------------------------------


async def test_a_record_stays_known_when_its_page_is_pruned(store: Store) -> None:
    await commit(store, [1])
    await store.prune_bodies(Position(2), None)
    await store.prune_pages(Position(2), timedelta(-1))
    assert (await commit(store, [1])).appended == 0


async def test_a_ninety_days_old_record_fetched_on_both_sides_of_a_prune_is_stored_once(store: Store) -> None:
    at = START - timedelta(days=90)
    old = make_record(1, recorded_at=at, bucket=int(at.timestamp()) // 60)
    assert (await commit(store, [old])).appended == 1
    await prune_everything(store, MONTH)
    assert (await commit(store, [old])).appended == 0


async def test_an_id_is_forgotten_a_month_after_it_was_first_seen(store: Store, clock: FakeClock) -> None:
    await commit(store, [1])
    clock.jump(MONTH)
    await commit(store, [2], at=clock.now())
    await prune_everything(store, MONTH)
    assert (await commit(store, [1], at=clock.now())).appended == 0
    clock.jump(timedelta(days=1))
    await commit(store, [3], at=clock.now())
    await prune_everything(store, MONTH)
    assert (await commit(store, [1, 2, 3], at=clock.now())).records == [make_record(1)]


async def test_being_served_again_does_not_prolong_what_is_remembered(store: Store, clock: FakeClock) -> None:
    await commit(store, [1])
    clock.jump(timedelta(days=29))
    await commit(store, [1], at=clock.now())
    clock.jump(timedelta(days=2))
    await commit(store, [2], at=clock.now())
    await prune_everything(store, MONTH)
    assert (await commit(store, [1], at=clock.now())).appended == 1


async def test_a_host_clock_a_year_ahead_forgets_nothing(store: Store, clock: FakeClock) -> None:
    await commit(store, [1])
    clock.jump(YEAR)
    await commit(store, [2])  # the answer's Date is right
    await prune_everything(store, MONTH)
    assert (await commit(store, [1, 2])).appended == 0
    clock.jump(-YEAR)
    await prune_everything(store, MONTH)
    assert (await commit(store, [1, 2])).appended == 0


async def test_a_date_a_year_ahead_forgets_nothing(store: Store) -> None:
    await commit(store, [1])
    await commit(store, [2], at=START + YEAR)
    await prune_everything(store, MONTH)
    assert (await commit(store, [1, 2])).appended == 0


async def test_an_id_first_seen_while_the_date_was_a_year_behind_is_remembered(store: Store) -> None:
    await commit(store, [1], at=START - YEAR)
    await commit(store, [2])
    await prune_everything(store, MONTH)
    assert (await commit(store, [1, 2])).appended == 0


async def test_an_id_first_seen_while_the_host_clock_was_a_year_behind_is_remembered(
    store: Store, clock: FakeClock
) -> None:
    clock.jump(-YEAR)
    await commit(store, [1])
    await prune_everything(store, MONTH)
    clock.jump(YEAR)
    await prune_everything(store, MONTH)
    assert (await commit(store, [1])).appended == 0


@pytest.mark.parametrize("ahead", [YEAR, -YEAR])
async def test_a_clock_that_is_wrong_at_a_new_start_forgets_nothing(
    opened: Open, clock: FakeClock, ahead: timedelta
) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [1])
    clock.jump(ahead)
    async with opened() as store:
        await prune_everything(store, MONTH)
        assert (await commit(store, [1])).appended == 0
