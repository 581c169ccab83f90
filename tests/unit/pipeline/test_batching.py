from __future__ import annotations

import asyncio

from collector.model import Event
from collector.pipeline.batching import Batcher, Plan
from collector.pipeline.log import Log
from collector.sinks.base import BatchLimits
from collector.store import Position
from tests.unit.pipeline.workbench import ACME, BETA, Route, Workbench, ids, only

BEGIN = Position(1)
ALL = BatchLimits()


def batcher(bench: Workbench, route: Route | None = None) -> Batcher:
    route = route or Route()
    return Batcher(bench.log.reader(route.takes_stream), bench.events, route.stage)


def numbers(plan: Plan) -> list[int]:
    return ids(list(plan.batch.payloads))


async def test_batch_runs_over_pages_and_ends_behind_what_it_covers(bench: Workbench) -> None:
    await bench.append(2)
    await bench.append(1, BETA)

    plan = await batcher(bench).next(BEGIN, ALL, None)

    assert numbers(plan) == [0, 1, 2]
    assert plan.end == Position(3)
    assert [origin.position for origin in plan.origins] == [Position(1), Position(1, 1), Position(2)]
    assert [origin.stream for origin in plan.origins] == [ACME, ACME, BETA]
    assert [plan.before(index) for index in (0, 2, 3)] == [Position(1), Position(2), Position(3)]


async def test_batch_begins_in_the_middle_of_a_page(bench: Workbench) -> None:
    await bench.append(4)

    plan = await batcher(bench).next(Position(1, 3), ALL, None)

    assert numbers(plan) == [3]


async def test_batch_ends_at_the_most_events_and_the_next_goes_on_there(bench: Workbench) -> None:
    await bench.append(5)
    cutter, seen, position = batcher(bench), [], BEGIN

    while position < bench.log.end:
        plan = await cutter.next(position, BatchLimits(max_events=2), None)
        seen.append(numbers(plan))
        position = plan.end

    assert seen == [[0, 1], [2, 3], [4]]


async def test_batch_ends_before_it_has_too_many_bytes_line_ends_included(bench: Workbench) -> None:
    await bench.append(3, raw=b'{"id":"x"}')

    one_short = await batcher(bench).next(BEGIN, BatchLimits(max_bytes=32), None)
    fitting = await batcher(bench).next(BEGIN, BatchLimits(max_bytes=33), None)

    assert (len(one_short.batch), one_short.end) == (2, Position(1, 2))
    assert (len(fitting.batch), fitting.end) == (3, Position(2))


async def test_event_over_the_limit_goes_as_a_batch_of_its_own(bench: Workbench) -> None:
    await bench.append(1)
    await bench.append(1, raw=b'{"id":"' + b"x" * 1000 + b'"}')
    await bench.append(1)
    cutter, sizes, position = batcher(bench), [], BEGIN

    while position < bench.log.end:
        plan = await cutter.next(position, BatchLimits(max_bytes=200), None)
        sizes.append(len(plan.batch))
        position = plan.end

    assert sizes == [1, 1, 1]


async def test_batch_ends_before_one_destination_too_many(bench: Workbench) -> None:
    await bench.append(6)

    def partition(event: Event) -> str:
        return str(int(event.id.removeprefix("event-")) // 2)

    plan = await batcher(bench).next(BEGIN, BatchLimits(max_destinations=2), partition)
    unlimited = await batcher(bench).next(BEGIN, ALL, partition)

    assert (numbers(plan), plan.end) == ([0, 1, 2, 3], Position(1, 4))
    assert len(unlimited.batch) == 6


async def test_events_the_route_leaves_out_are_covered_by_the_end(bench: Workbench) -> None:
    await bench.append(1)
    await bench.append(2, raw=b'{"id":"dull"}')

    plan = await batcher(bench, Route(but=b"dull")).next(BEGIN, ALL, None)

    assert (numbers(plan), plan.end) == ([0], Position(3))


async def test_nothing_of_the_route_gives_an_empty_plan_that_moves_the_cursor(bench: Workbench) -> None:
    await bench.append(1, raw=b'{"id":"dull"}')
    await bench.append(1, BETA)

    plan = await batcher(bench, Route(frozenset({ACME}), b"dull")).next(BEGIN, ALL, None)

    assert (len(plan.batch), plan.end) == (0, Position(3))


async def test_end_of_the_log_gives_an_empty_plan_that_stays(bench: Workbench) -> None:
    await bench.append(1)

    plan = await batcher(bench).next(Position(2), ALL, None)

    assert (len(plan.batch), plan.end) == (0, Position(2))


async def test_cursor_in_the_middle_of_a_pruned_page_goes_on_behind_it(bench: Workbench) -> None:
    await bench.append(3)
    await bench.append(2)
    await bench.store.prune_bodies(Position(2), None)
    log = Log(bench.store, 2)
    route = Route()

    plan = await Batcher(log.reader(route.takes_stream), bench.events, route.stage).next(Position(1, 1), ALL, None)

    assert (numbers(plan), plan.end) == ([3, 4], Position(3))


async def test_unwritable_events_stand_beside_the_batch_and_count_towards_its_size(bench: Workbench) -> None:
    await bench.append(1)
    await bench.append(1, raw=b'{"id":"unwritable"}')
    await bench.append(2)

    plan = await batcher(bench).next(BEGIN, BatchLimits(max_events=3), None)

    assert (numbers(plan), plan.end) == ([0, 2], Position(3, 1))
    assert [(where, letter.event_id, letter.reason) for where, letter in plan.unformatted] == [
        (Position(2), "event-1", "format error: ValueError")
    ]


async def test_what_was_read_from_disk_and_not_taken_is_not_read_again(bench: Workbench) -> None:
    for _ in range(10):
        await bench.append(1)
    route, reads = Route(), 0
    log = Log(bench.store, 10)
    read = bench.store.read

    async def counted(*args: object) -> object:
        nonlocal reads
        reads += 1
        return await read(*args)  # type: ignore[arg-type]

    bench.store.read = counted  # type: ignore[method-assign,assignment]
    cutter, position, seen = Batcher(log.reader(route.takes_stream), bench.events, route.stage), BEGIN, []
    while position < log.end:
        plan = await cutter.next(position, BatchLimits(max_events=3), None)
        seen += numbers(plan)
        position = plan.end

    assert seen == list(range(10))
    assert reads <= 2
    assert [numbers(await cutter.next(Position(4), BatchLimits(max_events=2), None)) for _ in range(2)] == [[3, 4]] * 2
    before = reads
    cutter.forget()
    await cutter.next(Position(4), BatchLimits(max_events=2), None)
    assert reads == before + 1


async def test_long_stretches_let_others_have_their_turn(bench: Workbench) -> None:
    await bench.append(5000, raw=b'{"id":"dull"}')
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    bench.run(others())
    await asyncio.sleep(0)
    turns = 0
    await batcher(bench, Route(but=b"dull")).next(BEGIN, ALL, None)

    assert turns >= 45


async def test_small_pages_let_others_have_their_turn_too(bench: Workbench) -> None:
    for _ in range(250):
        await bench.append(1, raw=b'{"id":"dull"}')
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    bench.run(others())
    await asyncio.sleep(0)
    turns = 0
    await batcher(bench, Route(but=b"dull")).next(BEGIN, ALL, None)

    assert turns >= 4


async def test_large_events_count_as_more_work(bench: Workbench) -> None:
    await bench.append(4, raw=b'{"id":"' + b"x" * 500_000 + b'"}')
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    bench.run(others())
    await asyncio.sleep(0)
    turns = 0
    await batcher(bench).next(BEGIN, BatchLimits(max_bytes=1 << 30), None)

    assert turns >= 4


async def test_pages_of_streams_that_are_not_routed_are_never_opened(bench: Workbench) -> None:
    await bench.append(1, raw=b'{"id":"broken"}')
    await bench.append(1, BETA)
    unparsed = []
    bench.events.on_unparsed = lambda stream, _count: unparsed.append(stream)

    plan = await batcher(bench, only(BETA)).next(BEGIN, ALL, None)

    assert numbers(plan) == [1]
    assert unparsed == []
