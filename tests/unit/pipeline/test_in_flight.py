"""Several batches with the sink at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from collector.errors import SinkDenied, SinkUnavailable
from collector.pipeline.delivery import Delivery
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.store import Position, Store
from collector.testing import FakeClock, RecordingSink
from tests.unit.pipeline.workbench import Workbench, ids, quiet, until

Answer = Receipt | Exception


class Harbour(RecordingSink):
    """Answers each batch when, and as, the test says: by the number of its first event."""

    def __init__(self, max_in_flight: int = 3, max_events: int = 2) -> None:
        super().__init__(BatchLimits(max_events=max_events), max_in_flight=max_in_flight)
        self.waiting: dict[int, asyncio.Future[Receipt]] = {}
        self.sent: list[list[int]] = []
        self.cancelled = 0

    async def deliver(self, batch: Batch) -> Receipt:
        if not len(batch):
            return Receipt(certain_after=8.0)
        numbers = ids(list(batch.payloads))
        self.sent.append(numbers)
        answer = self.waiting[numbers[0]] = asyncio.get_running_loop().create_future()
        try:
            receipt: Receipt = await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.accept(batch, without={*receipt.rejected, *receipt.deferred})
        return receipt

    async def answers(self, number: int, answer: Answer | None = None) -> None:
        """Answer the batch that begins with this event, as soon as it is there."""
        await until(lambda: number in self.waiting)
        future = self.waiting.pop(number)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer or Receipt())


@pytest.fixture
async def bench(store: Store, slow_clock: FakeClock) -> Workbench:
    """Entered by the test; time stands still."""
    return Workbench(store, slow_clock)


async def begun(bench: Workbench, sink: RecordingSink, events: int = 10) -> Delivery:
    await bench.append(events)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    return delivery


async def passing(bench: Workbench, condition: Callable[[], object]) -> None:
    """Let time pass until it is so."""
    async with asyncio.timeout(10):
        while not condition():
            await bench.clock.advance(0.2)
            await asyncio.sleep(0.001)


async def test_as_many_batches_as_the_sink_allows_are_with_it_and_no_more(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=3)
    async with bench:
        await begun(bench, sink)
        await until(lambda: len(sink.waiting) == 3)
        await quiet()

        assert sink.sent == [[0, 1], [2, 3], [4, 5]]


async def test_cursor_waits_for_the_first_batch_whatever_the_order_of_the_answers(bench: Workbench) -> None:
    sink = Harbour()
    async with bench:
        delivery = await begun(bench, sink)
        await sink.answers(4)
        await sink.answers(2, Receipt(rejected={1: "bad"}))
        await until(lambda: 6 in sink.waiting)

        assert await bench.position() == Position(1)
        assert await bench.letters() == []

        await sink.answers(0)
        await bench.settled(Position(1, 6))
        assert await bench.position() == Position(1, 6)
        assert [letter.event_id for letter in await bench.letters()] == ["event-3"]
        assert delivery.status.delivered == 5


async def test_batches_that_wait_behind_the_first_one_are_bounded(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2, max_events=1)
    async with bench:
        await begun(bench, sink, 30)
        await until(lambda: len(sink.waiting) == 2)
        for number in range(1, 8):
            await sink.answers(number)
        await quiet()

        assert list(sink.waiting) == [0]  # eight unsettled batches: none is added
        assert await bench.position() == Position(1)
        await sink.answers(0)
        await bench.settled(Position(1, 8))


async def test_deferred_events_go_again_alone_while_later_batches_go_on(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        await begun(bench, sink)
        await sink.answers(0, Receipt(deferred=frozenset({1}), retry_after=5.0))
        await sink.answers(2)
        await sink.answers(4)
        await sink.answers(6)
        await quiet()

        assert await bench.position() == Position(1, 1)
        assert [1] not in sink.sent

        await bench.clock.advance(5.0)
        await until(lambda: [1] in sink.sent)
        await sink.answers(1)
        await bench.settled(Position(1, 8))


async def test_batches_that_were_all_put_off_keep_the_rest_from_being_read(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        await begun(bench, sink)
        await sink.answers(0, Receipt(deferred=frozenset({0, 1}), retry_after=5.0))
        await sink.answers(2, Receipt(deferred=frozenset({0, 1}), retry_after=5.0))
        await quiet()

        assert sink.sent == [[0, 1], [2, 3]]
        await bench.clock.advance(5.0)
        await until(lambda: len(sink.waiting) == 2)
        assert sink.sent[2:] == [[0, 1], [2, 3]]


async def test_failure_sends_again_only_those_of_which_nothing_is_known(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=4)
    async with bench:
        await begun(bench, sink)
        await until(lambda: len(sink.waiting) == 4)
        await sink.answers(4)  # taken, behind one that fails
        await sink.answers(2, SinkUnavailable("reset"))
        await sink.answers(0)  # and this one, just after
        await until(lambda: 6 in sink.waiting)
        await sink.answers(6, SinkUnavailable("reset"))
        await bench.settled(Position(1, 2))
        sink.sent.clear()
        await passing(bench, lambda: len(sink.states) > 1)
        await until(lambda: len(sink.waiting) == 3)

        assert sink.sent == [[2, 3], [6, 7], [8, 9]]
        for number in (2, 6, 8):
            await sink.answers(number)
        await bench.settled(Position(2))
        assert sorted(ids(sink.lines)) == list(range(10))


async def test_batches_that_hang_when_another_fails_are_given_up_after_a_while(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        delivery = await begun(bench, sink)
        await sink.answers(0, SinkUnavailable("reset"))
        await quiet()
        assert sink.closed == 0

        await passing(bench, lambda: sink.closed)
        assert sink.cancelled == 1
        assert delivery.status.last_error == "reset"


async def test_what_counts_after_a_while_is_sent_again_when_another_batch_fails(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        await begun(bench, sink, 4)
        await sink.answers(2, Receipt(certain_after=8.0))
        await sink.answers(0, SinkUnavailable("reset"))
        sink.sent.clear()
        await passing(bench, lambda: len(sink.waiting) == 2)

        assert sink.sent == [[0, 1], [2, 3]]


async def test_scattered_batch_behind_uncertain_ones_is_read_again_when_the_sink_fails(bench: Workbench) -> None:
    """Of the first batch nothing is certain: sending only what waits of the second would settle over it."""
    sink = Harbour(max_in_flight=1)
    async with bench:
        await begun(bench, sink, 4)
        await sink.answers(0, Receipt(certain_after=30.0))
        await sink.answers(2, Receipt(deferred=frozenset({0}), retry_after=0.1))
        await passing(bench, lambda: 2 in sink.waiting)
        await sink.answers(2, SinkUnavailable("reset"))
        sink.sent.clear()
        await passing(bench, lambda: sink.waiting)

        assert sink.sent == [[0, 1]]
        assert await bench.position() == Position(1)


async def test_uncertain_batches_in_flight_are_settled_in_order_when_the_sink_has_lasted(bench: Workbench) -> None:
    class Lasting(RecordingSink):
        async def deliver(self, batch: Batch) -> Receipt:
            await super().deliver(batch)
            return Receipt(certain_after=8.0)

    sink = Lasting(BatchLimits(max_events=2), max_in_flight=3)
    async with bench:
        delivery = await begun(bench, sink)
        await bench.delivered(sink, 10)
        assert await bench.position() == Position(1)

        await passing(bench, lambda: delivery.settled == Position(2))
        assert ids(sink.lines) == list(range(10))


async def test_stop_waits_for_what_is_with_the_sink_and_sends_no_more(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        delivery = await begun(bench, sink)
        await until(lambda: len(sink.waiting) == 2)
        delivery.stop()
        await sink.answers(0)
        await quiet()
        assert not delivery.stopped

        await sink.answers(2)
        await until(lambda: delivery.stopped)
        assert await bench.position() == Position(1, 4)
        assert sink.sent == [[0, 1], [2, 3]]


async def test_sink_that_refuses_everything_is_held_and_probed_by_its_first_event(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2, max_events=20)
    async with bench:
        delivery = await begun(bench, sink, 60)
        await until(lambda: len(sink.waiting) == 2)
        await sink.answers(20)
        await until(lambda: 40 in sink.waiting)
        await sink.answers(0, Receipt(rejected=dict.fromkeys(range(20), "no")))
        await sink.answers(40)
        await until(lambda: delivery.status.state == "held")
        sink.sent.clear()
        await passing(bench, lambda: sink.waiting)
        assert sink.sent == [[0]]

        await sink.answers(0)
        await sink.answers(1)
        await bench.settled(Position(2))
        assert sorted(ids(sink.lines)) == list(range(60))
        assert await bench.letters() == []


async def test_denied_sink_gets_nothing_more_though_others_were_under_way(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        delivery = await begun(bench, sink)
        await until(lambda: len(sink.waiting) == 2)
        sink.down = SinkDenied("token refused")
        await sink.answers(2, SinkDenied("token refused"))
        await sink.answers(0)
        await passing(bench, lambda: len(sink.states) > 2)

        assert delivery.status.state == "held"
        assert sink.sent == [[0, 1], [2, 3]]
        assert await bench.position() == Position(1, 2)


async def test_skipping_waits_for_what_is_with_the_sink(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        await bench.append(10)
        delivery = await bench.delivery(sink, required=False)
        bench.run(delivery.run())
        await until(lambda: len(sink.waiting) == 2)
        delivery.skip(Position(1, 8))
        await sink.answers(2)
        await quiet()
        assert delivery.skipping

        await sink.answers(0)
        await bench.settled(Position(1, 8))
        await sink.answers(8)
        await bench.settled(Position(2))
        assert sink.sent == [[0, 1], [2, 3], [8, 9]]


async def test_dead_letters_are_retried_beside_batches_in_flight(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=2)
    async with bench:
        delivery = await begun(bench, sink, 6)
        await sink.answers(0, Receipt(rejected={0: "bad"}))
        await bench.settled(Position(1, 2))
        delivery.retry([letter.id for letter in await bench.letters()])
        await sink.answers(0)
        await sink.answers(2)
        await sink.answers(4)
        await bench.settled(Position(2))

        assert await bench.letters() == []
        assert sorted(ids(sink.lines)) == list(range(6))


async def test_unwritable_events_between_batches_in_flight_become_dead_letters(bench: Workbench) -> None:
    sink = Harbour(max_in_flight=3)
    async with bench:
        await bench.append(2)
        await bench.append(1, raw=b'{"id":"unwritable"}')
        await bench.append(2)
        bench.run((await bench.delivery(sink)).run())
        await sink.answers(3)
        await quiet()
        assert await bench.letters() == []
        await sink.answers(0)
        await sink.answers(4)
        await bench.settled(Position(4))

        assert sorted(ids(sink.lines)) == [0, 1, 3, 4]
        assert [letter.event_id for letter in await bench.letters()] == ["event-2"]
