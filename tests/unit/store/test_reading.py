"""What is read is what was committed, in that order: nothing twice, nothing passed over."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import StoreError
from collector.model import Lane, StreamId
from collector.store import Backlog, Chunk, Position, Store, opening, reading, writing
from collector.testing import make_record
from collector.testing.clock import START
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, BEGIN, GIB, GLOBEX, INITECH, STREAMS, commit, ids, make_letter, make_page

UNKNOWN = StreamId("hooli", "withsecure", "incidents")


def seqs(chunk: Chunk) -> list[int]:
    return [page.seq for page in chunk.pages]


@pytest.fixture
async def mixed(store: Store) -> Store:
    """Pages 1 to 6 of 100 records each: acme, globex, acme, initech, acme, globex."""
    for number, stream in enumerate((ACME, GLOBEX, ACME, INITECH, ACME, GLOBEX)):
        await commit(store, range(number * 100, number * 100 + 100), stream, at=START + timedelta(minutes=number))
    return store


# -- pages -----------------------------------------------------------------------------------


async def test_an_empty_log_has_nothing_to_read(store: Store) -> None:
    assert await store.read(BEGIN, STREAMS, 1) == Chunk([], BEGIN)
    assert await store.last_seq() == 0


async def test_a_page_is_read_as_it_was_committed(mixed: Store) -> None:
    page = (await mixed.read(Position(2), STREAMS, 1)).pages[0]
    assert (page.seq, page.stream, page.source_type) == (2, GLOBEX, "withsecure")
    assert page.fetched_at == START + timedelta(minutes=1)
    assert page.records == [make_record(number) for number in range(100, 200)]


async def test_streams_that_are_not_asked_for_are_passed_over(mixed: Store) -> None:
    chunk = await mixed.read(BEGIN, [ACME], GIB)
    assert seqs(chunk) == [1, 3, 5]
    assert chunk.end == Position(7)
    assert (await mixed.read(BEGIN, [GLOBEX, INITECH, UNKNOWN], GIB)).pages[-1].seq == 6
    assert await mixed.read(BEGIN, [], GIB) == Chunk([], Position(7))
    assert await mixed.read(BEGIN, [UNKNOWN], GIB) == Chunk([], Position(7))


async def test_a_stream_made_known_meanwhile_is_not_read_unasked(mixed: Store) -> None:
    reads = asyncio.ensure_future(mixed.read(BEGIN, STREAMS, GIB))
    await mixed.add_stream(UNKNOWN, "withsecure", "WithSecure")
    await commit(mixed, [1], UNKNOWN)
    assert UNKNOWN not in {page.stream for page in (await reads).pages}
    assert UNKNOWN not in {page.stream for page in (await mixed.read(BEGIN, STREAMS, GIB)).pages}


async def test_a_chunk_ends_when_its_bytes_are_spent_but_holds_a_page_at_least(mixed: Store) -> None:
    assert await mixed.read(BEGIN, [], 1) == Chunk([], Position(7))
    first = await mixed.read(BEGIN, [ACME], 1)
    assert (seqs(first), first.end) == ([1], Position(2))
    sizes = [page.stored_bytes for page in (await mixed.read(BEGIN, [ACME], GIB)).pages]
    assert 0 < sizes[0] < 100 * len(make_record(0).raw)
    assert seqs(await mixed.read(first.end, [ACME], sizes[1])) == [3]
    second = await mixed.read(first.end, [ACME], sizes[1] + 1)
    assert (seqs(second), second.end) == ([3, 5], Position(6))
    third = await mixed.read(second.end, [ACME], 1)
    assert (seqs(third), third.end) == ([], Position(7))
    assert await mixed.read(third.end, [ACME], 1) == Chunk([], Position(7))


async def test_a_position_inside_a_page_gives_that_page(mixed: Store) -> None:
    assert seqs(await mixed.read(Position(3, 99), [ACME], 1)) == [3]
    assert (await mixed.read(Position(7, 5), [ACME], 1)).end == Position(7, 5)


async def test_a_chunk_has_at_most_sixty_four_pages(store: Store) -> None:
    for number in range(70):
        await commit(store, [number], STREAMS[number % 2])
    chunk = await store.read(BEGIN, STREAMS, GIB)
    assert (seqs(chunk), chunk.end) == (list(range(1, 65)), Position(65))
    assert len(await ids(store)) == 70


async def test_a_read_passes_over_so_many_pages_only(mixed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_STRETCH", 2)
    assert await mixed.read(Position(4), [ACME], GIB) == Chunk(
        (await mixed.read(Position(5), [ACME], GIB)).pages, Position(6)
    )
    assert await mixed.read(Position(2), [INITECH], GIB) == Chunk([], Position(4))
    assert await ids(mixed, [INITECH]) == [f"event-{n}" for n in range(300, 400)]


async def test_pages_whose_body_was_pruned_are_skipped(mixed: Store) -> None:
    await mixed.prune_bodies(Position(4), None)
    chunk = await mixed.read(BEGIN, [ACME], GIB)
    assert (seqs(chunk), chunk.end) == ([5], Position(7))
    await mixed.prune_bodies(Position(7), None)
    assert await mixed.read(BEGIN, [ACME], GIB) == Chunk([], Position(7))


async def test_a_damaged_body_is_the_end_not_a_page_less(mixed: Store) -> None:
    await mixed._writer.call(lambda c: c.execute("UPDATE bodies SET zstd = zeroblob(99) WHERE seq = 3").fetchall())
    with pytest.raises(StoreError, match="is damaged"):
        await mixed.read(BEGIN, [ACME], GIB)
    assert (await mixed.usage()).used > 0
    assert seqs(await mixed.read(Position(4), [ACME], GIB)) == [5]  # and the connection is free for more


async def test_reading_holds_no_transaction_open(mixed: Store) -> None:
    await mixed.read(BEGIN, [ACME], 1)
    await commit(mixed, [9_999])
    assert await mixed.truncate_wal()


@settings(max_examples=60, deadline=None)
@given(
    pages=st.lists(st.integers(0, 2), min_size=1, max_size=25),
    wanted=st.sets(st.integers(0, 2)),
    budgets=st.lists(st.integers(1, 600), min_size=1, max_size=5),
    meanwhile=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    stretch=st.integers(1, 9),
)
def test_nothing_is_skipped_and_nothing_read_twice_while_pages_are_committed(
    pages: list[int], wanted: set[int], budgets: list[int], meanwhile: list[int], stretch: int
) -> None:
    """`meanwhile`: how many pages are committed just before each statement of the readers."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_STRETCH", stretch)
        path = Path(folder) / "collector.db"
        opening.make_ready(path)
        with (
            closing(opening.connect(path, max_size=GIB)) as writer,
            closing(opening.connect(path, max_size=GIB, read_only=True)) as reader,
        ):
            numbers = [writing.ensure_stream(writer, stream, "withsecure", "WithSecure") for stream in STREAMS]
            committed: list[tuple[int, int]] = []
            turns = 0

            def commit_some(statement: str) -> None:
                nonlocal turns
                turns += 1
                for _ in range(meanwhile[turns % len(meanwhile)]):
                    if len(committed) < len(pages):
                        which = pages[len(committed)]
                        page = make_page([len(committed)])
                        writer.execute("BEGIN")
                        done = writing.commit_page(
                            writer, numbers[which], "WithSecure", STREAMS[which].feed, Lane.TIP, 0, page, 20_000
                        )
                        writer.execute("COMMIT")
                        assert done.seq is not None
                        committed.append((done.seq, which))

            reader.set_trace_callback(commit_some)
            seen: list[int] = []
            after = BEGIN
            for turn in range(1000):
                chunk = reading.pages(reader, after, [numbers[n] for n in wanted], budgets[turn % len(budgets)])
                assert chunk.end >= after
                seen += seqs(chunk)
                if chunk.end == after and len(committed) == len(pages):
                    break
                after = chunk.end
                if not any(meanwhile):
                    meanwhile = [1]
            assert seen == [seq for seq, which in committed if which in wanted]


async def test_many_readers_and_writers_at_once_see_the_same_log(store: Store) -> None:
    async def write(stream: StreamId) -> None:
        for number in range(60):
            await commit(store, [number, number + 1000], stream)

    async def follow(streams: Sequence[StreamId], max_bytes: int) -> list[int]:
        seen: list[int] = []
        after = BEGIN
        while after < Position(181):
            chunk = await store.read(after, streams, max_bytes)
            seen += seqs(chunk)
            after = chunk.end
        return seen

    async with asyncio.TaskGroup() as group:
        everything = group.create_task(follow(STREAMS, 300))
        one = group.create_task(follow([GLOBEX], 1))
        for stream in STREAMS:
            group.create_task(write(stream))
    assert everything.result() == list(range(1, 181))
    assert one.result() == [page.seq for page in (await store.read(BEGIN, [GLOBEX], GIB)).pages]


# -- numbers ---------------------------------------------------------------------------------


async def test_a_number_is_never_given_again_even_if_everything_was_pruned(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [1])
        await commit(store, [2])
        await store.prune_bodies(Position(3), None)
        assert await store.prune_pages(Position(3), timedelta(-1)) == 2
    async with opened() as store:
        assert await store.last_seq() == 2
        assert await store.read(BEGIN, STREAMS, GIB) == Chunk([], Position(3))
        assert (await commit(store, [3])).seq == 3


# -- backlog ---------------------------------------------------------------------------------


async def test_the_backlog_is_what_lies_at_and_behind_a_position(mixed: Store) -> None:
    whole = await mixed.backlog(BEGIN)
    assert (whole.events, whole.oldest, whole.streams) == (600, START, frozenset(STREAMS))
    sizes = [page.stored_bytes for page in (await mixed.read(BEGIN, STREAMS, GIB)).pages]
    assert whole.stored_bytes == sum(sizes)
    assert await mixed.backlog(Position(5)) == Backlog(
        200, sum(sizes[4:]), START + timedelta(minutes=4), frozenset({ACME, GLOBEX})
    )
    assert await mixed.backlog(Position(7)) == Backlog(0, 0, None)


async def test_the_backlog_of_some_streams_is_theirs_alone(mixed: Store) -> None:
    one = await mixed.backlog(Position(2), [GLOBEX, UNKNOWN])
    assert (one.events, one.oldest, one.streams) == (200, START + timedelta(minutes=1), frozenset({GLOBEX}))
    assert await mixed.backlog(BEGIN, [UNKNOWN]) == Backlog(0, 0, None)
    assert await mixed.backlog(BEGIN, []) == Backlog(0, 0, None)


async def test_events_of_a_page_in_progress_count_as_far_as_they_wait(mixed: Store) -> None:
    assert (await mixed.backlog(Position(3, 40))).events == 360
    assert (await mixed.backlog(Position(3, 40), [ACME])).events == 160
    assert (await mixed.backlog(Position(3, 40), [GLOBEX])).events == 100


async def test_what_can_not_be_read_any_more_is_no_backlog(mixed: Store) -> None:
    await mixed.prune_bodies(Position(4), None)
    assert (await mixed.backlog(BEGIN)).events == 300
    assert (await mixed.backlog(Position(2, 50))).events == 300
    assert (await mixed.backlog(BEGIN)).oldest == START + timedelta(minutes=3)
    await mixed.prune_bodies(Position(7), None)
    assert await mixed.backlog(BEGIN) == Backlog(0, 0, None)


# -- the rest --------------------------------------------------------------------------------


async def test_the_replay_horizon_is_the_oldest_page_with_a_body(mixed: Store) -> None:
    assert await mixed.replay_horizon() == START
    await mixed.prune_bodies(Position(4), None)
    assert await mixed.replay_horizon() == START + timedelta(minutes=3)
    await mixed.prune_bodies(Position(7), None)
    assert await mixed.replay_horizon() is None


async def test_dead_letters_are_read_oldest_first_by_sink_and_number(store: Store) -> None:
    await store.settle("siem", "", Position(1), dead_letters=[make_letter(0), make_letter(1)])
    await store.settle("archive", "", Position(1), dead_letters=[make_letter(2)])
    assert [letter.uid for letter in await store.dead_letters()] == ["uid-0", "uid-1", "uid-2"]
    assert [letter.uid for letter in await store.dead_letters("siem")] == ["uid-0", "uid-1"]
    assert [letter.uid for letter in await store.dead_letters("siem", limit=1)] == ["uid-0"]
    assert [letter.uid for letter in await store.dead_letters(ids=[3, 1, 99])] == ["uid-0", "uid-2"]
    assert [letter.uid for letter in await store.dead_letters("archive", [1])] == []
    assert await store.dead_letters(ids=[]) == []
    assert await store.dead_letter_counts() == {("siem", ""): 2, ("archive", ""): 1}


async def test_usage_counts_the_file_and_its_wal_and_sees_the_volume(mixed: Store, path: Path) -> None:
    await mixed.truncate_wal()
    before = await mixed.usage()
    assert (before.used, before.wal, before.free_pages) == (path.stat().st_size, 0, 0)
    await commit(mixed, [make_record(9_999, raw=os.urandom(300_000))])
    after = await mixed.usage()
    assert after.wal == path.with_name(path.name + "-wal").stat().st_size
    assert after.used > before.used + 300_000 + after.wal - opening.PAGE_BYTES
    volume = os.statvfs(path.parent)
    assert after.volume_size == volume.f_blocks * volume.f_frsize
    assert 0 < after.volume_free < after.volume_size
    await mixed.prune_bodies(Position(8), None)
    pruned = await mixed.usage()
    assert pruned.free_pages >= 300_000 - opening.PAGE_BYTES
    assert pruned.used - pruned.wal < after.used - after.wal - 300_000 + opening.PAGE_BYTES


def test_what_the_readers_ask_is_answered_along_the_log(path: Path) -> None:
    path.parent.mkdir()
    opening.make_ready(path)
    with closing(opening.connect(path, max_size=GIB)) as connection:
        plan = [row[3] for row in explained(connection, reading._PAGES, (1, 9, "[1]", 9))]
    assert plan[0] == "SEARCH p USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    assert not [step for step in plan if "AUTOMATIC" in step or "TEMP B-TREE" in step or step.startswith("SCAN p")]


def explained(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[tuple[int, int, int, str]]:
    return connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
