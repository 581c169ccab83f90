"""Receipts that count only when the sink has gone on for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from collector.errors import SinkUnavailable
from collector.pipeline.probation import MOST_WAITING, Probation, Settlement
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.store import Position, Store
from collector.testing import FakeClock, RecordingSink
from tests.unit.pipeline.workbench import ACME, Workbench, ids, until

LASTS = 8.0


class Provisional(RecordingSink):
    """A sink whose receipts count after a while; `broken` makes the next question, or batch, fail."""

    def __init__(self) -> None:
        super().__init__(BatchLimits(max_events=10))
        self.broken = False
        self.questions = 0

    async def deliver(self, batch: Batch) -> Receipt:
        if self.broken:
            self.broken = False
            self._seen.clear()
            raise SinkUnavailable("the connection broke")
        if not len(batch):
            self.questions += 1
            return Receipt(certain_after=LASTS)
        receipt = await super().deliver(batch)
        return Receipt(rejected=receipt.rejected, state=receipt.state, certain_after=LASTS)


@pytest.fixture
def sink() -> Provisional:
    return Provisional()


@pytest.fixture
async def bench(store: Store, slow_clock: FakeClock) -> Workbench:
    """Entered by the test, which lets time pass."""
    return Workbench(store, slow_clock)


async def pass_time(clock: FakeClock, seconds: float) -> None:
    """A second at a time, so that whoever looks once a second does so; threads get their turn."""
    for _ in range(int(seconds)):
        await clock.advance(1.0)
        await asyncio.sleep(0.003)


async def test_cursor_moves_only_when_the_sink_has_lasted(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    async with bench:
        delivery = await bench.delivery(sink)
        bench.run(delivery.run())
        await bench.append(5)
        await bench.delivered(sink, 5)
        await pass_time(slow_clock, LASTS - 2)
        early = await bench.position(), delivery.idle, delivery.holds, delivery.status.delivered

        await pass_time(slow_clock, 4)
        await bench.settled(Position(2))
        await until(lambda: delivery.idle)

        assert early == (Position(1), False, Position(1), 0)
        assert delivery.status.delivered == 5
        assert sink.questions > 3


async def test_batches_go_on_meanwhile_and_settle_in_order(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    async with bench:
        delivery = await bench.delivery(sink)
        bench.run(delivery.run())
        await bench.append(25)
        await bench.delivered(sink, 25)
        await pass_time(slow_clock, 5)
        await bench.append(3)
        await bench.delivered(sink, 28)
        await pass_time(slow_clock, 5)
        await bench.settled(Position(2))
        first = await bench.position()
        await pass_time(slow_clock, 6)
        await bench.settled(Position(3))

        assert first == Position(2)
        assert ids(sink.lines) == list(range(28))
        assert delivery.status.delivered == 28


async def test_everything_since_the_cursor_comes_again_after_a_break(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    async with bench:
        delivery = await bench.delivery(sink)
        bench.run(delivery.run())
        await bench.append(4)
        await bench.delivered(sink, 4)
        await bench.append(4)
        await bench.delivered(sink, 8)
        sink.broken = True
        await pass_time(slow_clock, 5)
        await bench.delivered(sink, 16)
        await pass_time(slow_clock, LASTS + 3)
        await bench.settled(Position(3))

        assert ids(sink.lines) == [*range(8), *range(8)]
        assert delivery.status.delivered == 8
        assert delivery.status.state == "ok"


async def test_dead_letters_wait_like_everything_else(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    reject: Callable[[Batch], Receipt] = lambda _: Receipt(rejected={1: "too long"})  # noqa: E731
    async with bench:
        sink.script = [reject]
        bench.run((await bench.delivery(sink)).run())
        await bench.append(3)
        await bench.delivered(sink, 2)
        early = await bench.letters()
        await pass_time(slow_clock, LASTS + 3)
        await bench.settled(Position(2))

        assert early == []
        assert [letter.reason for letter in await bench.letters()] == ["too long"]


async def test_retried_dead_letter_is_resolved_only_when_certain(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    reject: Callable[[Batch], Receipt] = lambda _: Receipt(rejected={0: "too long"})  # noqa: E731
    async with bench:
        sink.script = [reject]
        delivery = await bench.delivery(sink)
        bench.run(delivery.run())
        await bench.append(1)
        await until(lambda: sink.batches)
        await pass_time(slow_clock, LASTS + 3)
        await bench.settled(Position(2))
        (letter,) = await bench.letters()

        delivery.retry([letter.id])
        await bench.delivered(sink, 1)
        early = len(await bench.letters())
        await pass_time(slow_clock, LASTS + 3)
        await until(lambda: delivery.status.dead_letters == 0)

        assert early == 1
        assert await bench.letters() == []


async def test_events_that_no_format_can_write_and_those_of_others_wait_their_turn(
    bench: Workbench, slow_clock: FakeClock, sink: Provisional
) -> None:
    async with bench:
        bench.run((await bench.delivery(sink)).run())
        await bench.append(1)
        await bench.delivered(sink, 1)
        await bench.append(1, raw=b'{"unwritable":"event-1"}')
        await bench.append(1, raw=b'{"\x00":1}')
        await pass_time(slow_clock, 3)
        early = await bench.position()
        await pass_time(slow_clock, LASTS)
        await bench.settled(Position(4))

        assert early == Position(1)
        assert [letter.reason for letter in await bench.letters()] == ["format error: ValueError"]


async def test_skipping_forgets_what_is_not_certain(bench: Workbench, slow_clock: FakeClock, sink: Provisional) -> None:
    async with bench:
        delivery = await bench.delivery(sink, required=False)
        bench.run(delivery.run())
        await bench.append(2)
        await bench.delivered(sink, 2)
        await bench.append(2)
        await bench.delivered(sink, 4)
        delivery.skip(Position(2))
        await bench.settled(Position(2))
        await pass_time(slow_clock, LASTS + 3)
        await bench.settled(Position(3))

        assert ids(sink.lines)[:4] == [0, 1, 2, 3]


def settlement(seq: int, accepted: int = 1, state: bytes | None = None) -> Settlement:
    return Settlement(Position(seq), state, (), {ACME: (accepted, 10 * accepted)}, accepted, [seq])


def test_what_is_due_is_settled_as_one() -> None:
    probation = Probation()
    for seq in range(1, 5):
        probation.add(settlement(seq, seq, b"%d" % seq if seq < 3 else None), due=10.0 * seq)

    due = probation.due(30.0)

    assert due == Settlement(Position(3), b"2", [], {ACME: (6, 60)}, 6, [1, 2, 3])
    assert probation.due(39.0) is None
    assert probation.end == Position(4)


def test_nothing_is_due_before_what_waits_in_front_of_it() -> None:
    probation = Probation()
    probation.add(settlement(1), due=30.0)
    probation.add(settlement(2), due=5.0)

    assert probation.due(29.0) is None
    assert len(probation) == 2


def test_questions_are_asked_once_a_second_and_only_while_something_waits() -> None:
    probation = Probation()
    assert not probation.look(0.0)
    probation.add(settlement(1), due=30.0)

    assert [probation.look(at) for at in (1.0, 1.5, 2.0, 2.9, 3.1)] == [True, False, True, False, True]


def test_no_more_batches_wait_than_memory_should_hold() -> None:
    probation = Probation()
    for seq in range(MOST_WAITING):
        assert not probation.is_full
        probation.add(settlement(seq), due=30.0)

    assert [probation.is_full, len(probation)] == [True, MOST_WAITING]
    probation.clear()
    assert [probation.is_full, len(probation)] == [False, 0]
    assert probation.end == Position(0)
