"""A page and its checkpoint together or not at all; a cursor and all that follows from a receipt likewise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.errors import PageRefused
from collector.model import Checkpoint, Gap, Lane, Record, StreamId
from collector.store import LogPage, Position, Store
from collector.testing import FakeClock, make_record
from collector.testing.clock import START
from tests.unit.store.samples import (
    ACME,
    GLOBEX,
    UNSTORABLE,
    commit,
    held_up,
    ids,
    make_letter,
    make_page,
    whole_log,
)


async def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return await store._writer.call(lambda connection: connection.execute(sql).fetchall())


# -- pages -----------------------------------------------------------------------------------


async def test_a_page_is_stored_with_its_checkpoint(store: Store) -> None:
    committed = await commit(store, [1, 2, 3], run={"anchor": "abc"})
    assert (committed.appended, committed.duplicates, committed.seq) == (3, 0, 1)
    assert committed.records == [make_record(number) for number in (1, 2, 3)]
    assert await ids(store) == ["event-1", "event-2", "event-3"]
    assert await store.checkpoint(ACME, Lane.TIP) == Checkpoint(START, {"anchor": "abc"})


async def test_of_a_page_that_can_not_be_stored_nothing_is(store: Store) -> None:
    await commit(store, [1], run={"n": 1})
    with pytest.raises(PageRefused):
        await commit(store, [2, 3, UNSTORABLE], run={"n": 2})
    assert await ids(store) == ["event-1"]
    assert await store.checkpoint(ACME, Lane.TIP) == Checkpoint(START, {"n": 1})
    assert (await commit(store, [2, 3])).appended == 2


async def test_records_are_not_stored_without_their_checkpoint(store: Store) -> None:
    with pytest.raises(PageRefused):
        await commit(store, [1], run={"token": object()})
    assert await ids(store) == []
    assert await store.checkpoint(ACME, Lane.TIP) is None
    assert (await commit(store, [1])).appended == 1


async def test_a_page_of_known_records_moves_the_checkpoint_alone(store: Store) -> None:
    await commit(store, [1, 2])
    committed = await commit(store, [2, 1], run={"n": 2})
    assert (committed.appended, committed.duplicates, committed.seq, committed.records) == (0, 2, None, [])
    assert await store.last_seq() == 1
    assert await store.checkpoint(ACME, Lane.TIP) == Checkpoint(START, {"n": 2})


async def test_an_empty_page_moves_the_checkpoint_alone(store: Store) -> None:
    committed = await commit(store, [], run={"n": 2})
    assert (committed.appended, committed.duplicates, committed.seq) == (0, 0, None)
    assert await whole_log(store) == []
    assert await store.checkpoint(ACME, Lane.TIP) is not None


async def test_the_order_of_a_page_is_kept(store: Store) -> None:
    await commit(store, [5, 1, 4])
    await commit(store, [9, 4, 3])
    assert await ids(store) == ["event-5", "event-1", "event-4", "event-9", "event-3"]


async def test_a_page_counts_for_the_day_on_which_it_was_fetched(store: Store) -> None:
    await commit(store, [1, 2])
    await commit(store, [2, 3])
    await commit(store, [4], GLOBEX, at=START + timedelta(days=1))
    day = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
    size = len(make_record(1).raw)
    assert await rows(store, "SELECT * FROM daily ORDER BY day") == [
        (day, "acme", "security_events", "", 3, 3 * size),
        (day + 1, "globex", "security_events", "", 1, size),
    ]


# -- checkpoints and gaps --------------------------------------------------------------------


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(),
        Checkpoint(START),
        Checkpoint(datetime.fromisoformat("2026-03-02T09:15:07.123456+05:30"), {"end": None, "pages": 3}, {"a": [1]}),
        Checkpoint(None, {"anchor": "ä\u0000|="}, {"token": "x" * 10_000, "count": 2**63 - 1, "share": 0.1}),
    ],
)
async def test_checkpoints_come_back_as_they_were(store: Store, checkpoint: Checkpoint) -> None:
    await store.set_checkpoint(ACME, Lane.SWEEP, checkpoint)
    assert await store.checkpoint(ACME, Lane.SWEEP) == checkpoint


async def test_every_lane_and_job_has_its_own_position(store: Store) -> None:
    def position(number: int) -> Checkpoint:
        return Checkpoint(START + timedelta(seconds=number))

    await store.set_checkpoint(ACME, Lane.TIP, position(9))
    await store.set_checkpoint(ACME, Lane.TIP, position(1))
    await store.set_checkpoint(ACME, Lane.SWEEP, position(2))
    await store.set_checkpoint(GLOBEX, Lane.TIP, position(3))
    await store.set_checkpoint(ACME, Lane.JOB, position(4), job=7)
    await store.commit_page(ACME, Lane.JOB, make_page([1], at=position(5).watermark or START), job=8)
    assert await store.checkpoint(ACME, Lane.JOB, job=7) == position(4)
    assert await store.checkpoint(ACME, Lane.JOB) is None
    assert await store.checkpoints() == [
        (ACME, "job", 7, position(4)),
        (ACME, "job", 8, position(5)),
        (ACME, "sweep", 0, position(2)),
        (ACME, "tip", 0, position(1)),
        (GLOBEX, "tip", 0, position(3)),
    ]


async def test_a_gap_is_recorded_once_whichever_lane_meets_it(store: Store) -> None:
    gap = Gap(START, START + timedelta(seconds=1), "unreadable", "anchor-1")
    later = replace(gap, end=gap.end + timedelta(seconds=1), reason="still unreadable")
    await commit(store, [], gaps=[gap])
    await commit(store, [1], gaps=[gap], lane=Lane.SWEEP, at=START + timedelta(hours=1))
    await commit(store, [], GLOBEX, gaps=[gap])
    await commit(store, [], gaps=[gap, later])
    found = await store.gaps()
    assert [(one["tenant"], one["lane"], one["end"], one["reason"]) for one in found] == [
        ("acme", "tip", later.end, "still unreadable"),
        ("globex", "tip", gap.end, "unreadable"),
        ("acme", "tip", gap.end, "unreadable"),
    ]
    assert (found[2]["source"], found[2]["feed"], found[2]["start"], found[2]["at"]) == (
        "withsecure",
        "security_events",
        START,
        START,
    )


async def test_the_gap_of_a_page_that_is_refused_is_not_recorded(store: Store) -> None:
    with pytest.raises(PageRefused):
        await commit(store, [1], run=object(), gaps=[Gap(START, START, "unreadable")])
    assert await store.gaps() == []


# -- groups ----------------------------------------------------------------------------------


async def test_one_poisoned_page_of_a_group_harms_its_own_poller_only(store: Store) -> None:
    told: list[LogPage] = []
    store.on_page = told.append
    release = await held_up(store)
    pages: list[list[int | Record]] = [[1, 2], [3, UNSTORABLE], [4], [], [5]]
    commits = [asyncio.ensure_future(commit(store, page)) for page in pages]
    await asyncio.sleep(0)
    release()
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert isinstance(results[1], PageRefused)
    assert [r.seq for r in results if not isinstance(r, BaseException)] == [1, 2, None, 3]
    assert await ids(store) == ["event-1", "event-2", "event-4", "event-5"]
    assert [page.seq for page in told] == [1, 2, 3]


async def test_listeners_hear_of_pages_in_log_order_with_what_was_new(store: Store) -> None:
    told: list[LogPage] = []
    store.on_page = told.append
    await asyncio.gather(*[commit(store, [number, number + 1, 100]) for number in range(0, 40, 2)])
    assert [page.seq for page in told] == list(range(1, 21))
    assert [[r.id for r in page.records] for page in told] == [
        [record.id for record in page.records] for page in await whole_log(store)
    ]
    assert told[1].stream == ACME
    assert told[1].source_type == "withsecure"
    assert told[1].fetched_at == START
    assert told[1].stored_bytes == sum(len(record.raw) for record in told[1].records)


async def test_a_cancelled_poller_s_page_is_stored_and_heard_of(store: Store) -> None:
    told: list[LogPage] = []
    store.on_page = told.append
    release = await held_up(store)
    cancelled = asyncio.ensure_future(commit(store, [1], run={"n": 1}))
    other = asyncio.ensure_future(commit(store, [2], run={"n": 2}))
    await asyncio.sleep(0)
    cancelled.cancel()
    release()
    await other
    assert cancelled.cancelled()
    assert [page.seq for page in told] == [1, 2]
    assert await ids(store) == ["event-1", "event-2"]
    assert (await commit(store, [1])).appended == 0


# -- settling --------------------------------------------------------------------------------


async def test_settling_moves_all_that_follows_from_a_receipt(store: Store, clock: FakeClock) -> None:
    await store.prepare_cursors({"siem": "earliest"}, {})
    await commit(store, [1, 2, 3])
    clock.jump(timedelta(minutes=1))
    await store.settle(
        "siem", "", Position(1, 2), state=b"s", dead_letters=[make_letter(2)], delivered={ACME: (1, 120)}
    )
    (cursor,) = await store.cursors()
    assert (cursor.position, cursor.state) == (Position(1, 2), b"s")
    (letter,) = await store.dead_letters()
    assert (letter.sink, letter.destination, letter.stream, letter.source_type) == ("siem", "", ACME, "withsecure")
    assert (letter.uid, letter.event_id, letter.reason, letter.attempts) == ("uid-2", "event-2", "too long", 1)
    assert (letter.fetched_at, letter.at, letter.record) == (START, clock.now(), make_record(2))
    assert await rows(store, "SELECT events, bytes FROM daily WHERE sink = 'siem'") == [(1, 120)]
    assert await rows(store, "SELECT sink, seq, offset FROM settles") == [("siem", 1, 2)]


async def test_of_a_settle_that_can_not_be_stored_nothing_is(store: Store) -> None:
    await store.prepare_cursors({"siem": "earliest"}, {})
    await commit(store, [1, 2, 3])
    await store.settle("siem", "", Position(1, 1), state=b"before", dead_letters=[make_letter(0)])
    with pytest.raises(PageRefused):
        await store.settle(
            "siem",
            "",
            Position(2),
            state=b"after",
            dead_letters=[make_letter(1), make_letter(2, record=UNSTORABLE)],
            delivered={ACME: (1, 1)},
            resolved=[1],
        )
    (cursor,) = await store.cursors()
    assert (cursor.position, cursor.state) == (Position(1, 1), b"before")
    assert [letter.id for letter in await store.dead_letters()] == [1]
    assert await rows(store, "SELECT count(*) FROM settles") == [(1,)]
    assert await rows(store, "SELECT count(*) FROM daily WHERE sink = 'siem'") == [(0,)]


async def test_a_receipt_without_state_keeps_the_one_before(store: Store) -> None:
    await store.settle("siem", "", Position(1), state=b"kept")
    await store.settle("siem", "", Position(2))
    assert (await store.cursors())[0].state == b"kept"
    await store.settle("siem", "", Position(2), state=b"")
    assert (await store.cursors())[0].state == b""


async def test_passing_over_others_pages_is_no_settle_worth_telling(store: Store) -> None:
    await store.settle("siem", "", Position(5))
    assert await rows(store, "SELECT count(*) FROM settles") == [(0,)]
    await store.settle("siem", "", Position(6), dead_letters=[make_letter()])
    assert await rows(store, "SELECT count(*) FROM settles") == [(1,)]


async def test_each_destination_has_its_own_cursor(store: Store) -> None:
    await store.settle("elastic", "edr-acme", Position(3))
    await store.settle("elastic", "edr-globex", Position(1, 7), state=b"x")
    assert {(c.destination, c.position, c.state) for c in await store.cursors()} == {
        ("edr-acme", Position(3), None),
        ("edr-globex", Position(1, 7), b"x"),
    }


async def test_delivered_events_are_counted_by_day_and_sink(store: Store, clock: FakeClock) -> None:
    await store.settle("siem", "", Position(1), delivered={ACME: (2, 20), GLOBEX: (1, 5)})
    await store.settle("siem", "", Position(2), delivered={ACME: (3, 30)})
    clock.jump(timedelta(days=1))
    await store.settle("siem", "", Position(3), delivered={ACME: (1, 10)})
    assert await rows(store, "SELECT tenant, events, bytes FROM daily ORDER BY day, tenant") == [
        ("acme", 5, 50),
        ("globex", 1, 5),
        ("acme", 1, 10),
    ]


async def test_events_are_counted_under_the_tenant_they_carry_known_or_not(store: Store) -> None:
    north, second = (StreamId("north", source, ACME.feed) for source in (ACME.source, "second"))
    await store.settle("siem", "", Position(1), delivered={ACME: (2, 20), north: (1, 5)})
    await store.settle("siem", "", Position(2), delivered={north: (1, 6), second: (1, 1)})

    assert await rows(store, "SELECT tenant, feed, sink, events, bytes FROM daily ORDER BY tenant") == [
        ("acme", ACME.feed, "siem", 2, 20),
        ("north", ACME.feed, "siem", 3, 12),
    ]


# -- dead letters ----------------------------------------------------------------------------


async def test_dead_letters_that_were_taken_after_all_are_no_more(store: Store) -> None:
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(1), make_letter(2)])
    first, second = await store.dead_letters()
    await store.settle("siem", "", Position(1), resolved=[first.id])
    assert await store.dead_letters() == [second]


async def test_another_refusal_is_counted(store: Store, clock: FakeClock) -> None:
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(reason="x" * 5000)])
    assert len((await store.dead_letters())[0].reason) == 4000
    clock.jump(timedelta(hours=1))
    await store.note_attempt(1, "y" * 5000)
    (letter,) = await store.dead_letters()
    assert (letter.attempts, letter.reason, letter.at) == (2, "y" * 4000, clock.now())


async def test_dead_letters_are_thrown_away_by_number(store: Store) -> None:
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(n) for n in range(3)])
    assert await store.drop_dead_letters([]) == 0
    assert await store.drop_dead_letters([1, 3, 99]) == 2
    assert [letter.id for letter in await store.dead_letters()] == [2]


async def test_a_dead_letter_s_number_is_never_given_again(store: Store) -> None:
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(1)])
    await store.drop_dead_letters([1])
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(2)])
    assert [letter.id for letter in await store.dead_letters()] == [2]
