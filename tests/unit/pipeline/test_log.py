from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import StreamId
from collector.pipeline.log import Log, LogReader
from collector.store import Chunk, Position, Store
from collector.testing import FakeClock, make_record
from tests.unit.pipeline.workbench import ACME, BEGIN, BETA, GIB, Workbench, until

NEW = StreamId("new", "withsecure", "security_events")


def everything(_: StreamId) -> bool:
    return True


async def read_all(reader: LogReader, position: Position = BEGIN, max_bytes: int = 1 << 20) -> list[str]:
    """Every id from there to the end of the log, as a delivery loop would read them."""
    found = []
    while True:
        chunk = await reader.read(position, max_bytes)
        found += [record.id for page in chunk.pages for record in page.records]
        if chunk.end <= position:
            return found
        position = chunk.end


async def test_memory_and_disk_give_the_same_pages(bench: Workbench) -> None:
    for stream in (ACME, BETA, ACME):
        await bench.append(2, stream)
    disk = Log(bench.store, 3)

    from_memory = await read_all(bench.log.reader(everything))
    from_disk = await read_all(disk.reader(everything))

    assert from_memory == from_disk == [f"event-{number}" for number in range(6)]
    assert (bench.log.memory_from, disk.memory_from) == (1, 4)


async def test_pages_of_streams_that_are_not_taken_are_passed_over_in_memory_and_on_disk(bench: Workbench) -> None:
    for stream in (ACME, BETA, BETA, ACME, BETA):
        await bench.append(1, stream)

    for log in (bench.log, Log(bench.store, 5)):
        reader = log.reader(lambda stream: stream == BETA)
        assert await read_all(reader) == ["event-1", "event-2", "event-4"]


async def test_chunk_ends_when_it_has_enough_bytes_but_has_at_least_one_page(bench: Workbench) -> None:
    for _ in range(3):
        await bench.append(1)

    for log in (bench.log, Log(bench.store, 3)):
        chunk = await log.reader(everything).read(Position(1), 1)
        assert ([page.seq for page in chunk.pages], chunk.end) == ([1], Position(2))


async def test_oldest_pages_leave_memory_when_it_holds_too_much(store: Store, clock: FakeClock) -> None:
    async with Workbench(store, clock, tail_bytes=2000) as bench:
        reader = bench.log.reader(everything)
        for _ in range(20):
            await bench.append(1)

        assert bench.log.memory_from > 15
        assert len(bench.log.in_memory(Position(bench.log.memory_from))) == 21 - bench.log.memory_from
        assert await read_all(reader) == [f"event-{number}" for number in range(20)]


async def test_what_the_source_added_to_a_record_counts_as_memory_too(store: Store, clock: FakeClock) -> None:
    async with Workbench(store, clock, tail_bytes=5000) as bench:
        await bench.append(1, extra=b"x" * 6000)

        assert bench.log.memory_from == 2


async def test_a_hole_in_the_numbers_is_no_end(bench: Workbench) -> None:
    await bench.append(1)
    page = (await bench.store.read(Position(1), [ACME], 1 << 20)).pages[0]
    log = Log(bench.store, 1, tail_bytes=1 << 20)
    reader = log.reader(everything)
    for seq in (2, 5):
        log.append(type(page)(seq, page.stream, page.source_type, page.fetched_at, page.records, page.stored_bytes))

    chunk = await reader.read(Position(2), 1 << 20)

    assert ([page.seq for page in chunk.pages], chunk.end) == ([2, 5], Position(6))
    log._max_tail_bytes = 0
    log.append(type(page)(6, page.stream, page.source_type, page.fetched_at, page.records, page.stored_bytes))
    assert log.memory_from == 7


async def test_reader_is_woken_by_pages_it_takes_and_by_no_others(bench: Workbench) -> None:
    asked: list[StreamId] = []

    def takes(stream: StreamId) -> bool:
        asked.append(stream)
        return stream == BETA

    reader = bench.log.reader(takes)
    for _ in range(3):
        await bench.append(1)

    assert not reader.woken.is_set()
    assert asked == [ACME]
    await bench.append(1, BETA)
    assert reader.woken.is_set()


async def test_wake_up_between_reading_and_waiting_is_not_missed(bench: Workbench) -> None:
    reader = bench.log.reader(everything)
    seen: list[str] = []

    async def follow() -> None:
        position = Position(1)
        while True:
            reader.woken.clear()
            chunk = await reader.read(position, 1)
            seen.extend(record.id for page in chunk.pages for record in page.records)
            position = chunk.end
            if reader.has_all(position):
                await reader.woken.wait()

    bench.run(follow())
    for _ in range(30):
        await bench.append(1)
    await until(lambda: len(seen) == 30)

    assert seen == [f"event-{number}" for number in range(30)]


async def test_closed_reader_is_woken_no_more(bench: Workbench) -> None:
    reader = bench.log.reader(everything)
    await bench.append(1)
    reader.woken.clear()
    reader.close()
    await bench.append(1)

    assert not reader.woken.is_set()


async def test_what_was_there_before_the_reader_may_all_be_taken(bench: Workbench) -> None:
    await bench.append(1)
    reader = bench.log.reader(lambda stream: stream == BETA)

    assert not reader.has_all(Position(1))
    assert reader.reach(Position(1)) == Position(1)
    assert reader.has_all(Position(2))
    assert reader.reach(Position(2)) == Position(2)


async def test_reach_leads_over_pages_of_others_to_the_next_that_is_taken(bench: Workbench) -> None:
    reader = bench.log.reader(lambda stream: stream == BETA)
    assert reader.reach(Position(1)) == Position(1)
    await bench.append(1)
    await bench.append(1)
    assert reader.reach(Position(1)) == Position(3)
    await bench.append(1, BETA)
    await bench.append(1)
    await bench.append(1, BETA)

    assert reader.reach(Position(1)) == Position(3)
    assert not reader.has_all(Position(3))
    assert reader.reach(Position(4)) == Position(4)
    assert reader.reach(Position(6)) == Position(6)


async def test_stream_that_turns_up_while_the_disk_is_read_loses_no_page(bench: Workbench) -> None:
    """The list of streams is older than the page: passed over now, the new stream's page would never be read."""
    await bench.append(1)
    log = Log(bench.store, 1)
    bench.store.on_page = log.append
    reader = log.reader(everything)
    read = bench.store.read

    async def slow_read(after: Position, streams: Sequence[StreamId], max_bytes: int) -> Chunk:
        await bench.store.add_stream(NEW, "withsecure", "WithSecure")
        await bench.append(1)
        await bench.append(1, NEW)
        return await read(after, streams, max_bytes)

    bench.store.read = slow_read  # type: ignore[method-assign]
    first = await reader.read(Position(1), 1 << 20)
    bench.store.read = read  # type: ignore[method-assign]

    assert first.end == Position(2)
    assert [record.id for page in first.pages for record in page.records] == ["event-0"]
    assert await read_all(reader, first.end) == ["event-1", "event-2"]


async def test_pages_bear_the_new_name_after_streams_were_renamed(bench: Workbench) -> None:
    reader = bench.log.reader(everything)
    await bench.append(2)
    assert ACME in reader.streams()
    renamed = StreamId("acme-fi", ACME.source, ACME.feed)
    await bench.store.rename_stream(ACME, renamed)
    bench.log.forget_names()

    chunk = await reader.read(Position(1), 1 << 20)

    assert [page.stream for page in chunk.pages] == [renamed]
    assert set(reader.streams()) == {renamed, BETA}


async def test_streams_are_matched_once_for_as_long_as_there_are_no_new_ones(bench: Workbench) -> None:
    asked: list[StreamId] = []

    def takes(stream: StreamId) -> bool:
        asked.append(stream)
        return True

    reader = bench.log.reader(takes)
    for _ in range(5):
        reader.streams()
    assert len(asked) == 2

    await bench.store.add_stream(NEW, "withsecure", "WithSecure")
    assert NEW in reader.streams()


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.tuples(st.integers(1, 4), st.sampled_from([ACME, BETA]))),
        st.tuples(st.just("read"), st.tuples(st.integers(0, 2), st.integers(1, 3000))),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, tail_bytes=st.integers(0, 6000))
def test_readers_at_any_pace_see_every_page_once_and_in_order(steps: list[Step], tail_bytes: int) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_random_readers(Path(folder), steps, tail_bytes))


async def _random_readers(folder: Path, steps: list[Step], tail_bytes: int) -> None:
    takes: list[Callable[[StreamId], bool]] = [everything, lambda s: s == ACME, lambda s: s == BETA]
    clock = FakeClock(hurry=True)
    async with (
        Store.open(folder / "state.db", max_size=GIB, clock=clock) as store,
        Workbench(store, clock, tail_bytes=tail_bytes) as bench,
    ):
        readers = [bench.log.reader(each) for each in takes]
        positions = [Position(1)] * len(readers)
        seen: list[list[str]] = [[] for _ in readers]
        expected: list[list[str]] = [[] for _ in readers]

        async def read(index: int, max_bytes: int) -> None:
            chunk = await readers[index].read(positions[index], max_bytes)
            seen[index] += [record.id for page in chunk.pages for record in page.records]
            positions[index] = readers[index].reach(chunk.end)

        for kind, (first, second) in steps:
            if kind == "append":
                records = [make_record(bench.numbers + number) for number in range(first)]
                bench.numbers += first
                await bench.commit(records, second)
                for index, each in enumerate(takes):
                    expected[index] += [record.id for record in records if each(second)]
            else:
                await read(first, second)
        for index, reader in enumerate(readers):
            while not reader.has_all(positions[index]):
                await read(index, 500)

        assert seen == expected
