"""Events of our own: between two batches, through the same sink, without a trace in the log."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from collector.errors import SinkDenied, SinkUnavailable
from collector.model import Event, StreamId
from collector.pipeline.normalizing import make_event
from collector.sinks.base import Batch, Receipt
from collector.store import Position
from collector.testing import FakeClock, RecordingSink, make_record
from collector.testing.clock import START
from tests.unit.pipeline.workbench import Workbench, ids, normalize, quiet, until


def notice(number: int, raw: bytes | None = None) -> Event:
    event, _ = make_event(
        make_record(number),
        stream=StreamId("ours", "ours", "ours"),
        vendor="",
        product="",
        labels={},
        organizations={},
        fetched_at=START,
        normalize=normalize,
    )
    return event if raw is None else replace(event, raw=raw)


async def test_notice_reaches_an_idle_sink_and_moves_no_cursor(bench: Workbench) -> None:
    sink = RecordingSink()
    await bench.append(1)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    receipt = await delivery.say(notice(77))
    await until(lambda: delivery.status.last_success)

    assert ids(sink.lines) == [0, 77]
    assert receipt.rejected == {}
    assert (delivery.position, await bench.position()) == (Position(2), Position(2))
    assert delivery.status.delivered == 1
    assert delivery.idle


async def test_what_the_sink_knows_after_a_notice_is_stored(bench: Workbench) -> None:
    """A file has grown by a line: with the old size in the state the next start would cut it off."""
    sink = RecordingSink()
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await delivery.say(notice(77))

    async def stored() -> bytes | None:
        return (await bench.cursor()).state

    async with asyncio.timeout(10):
        while await stored() != b"1":  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.001)


async def test_notice_waits_for_the_batch_under_way(bench: Workbench) -> None:
    class Slow(RecordingSink):
        inside = most = 0

        async def deliver(self, batch: Batch) -> Receipt:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await gate.wait()
            self.inside -= 1
            return await super().deliver(batch)

    gate, sink = asyncio.Event(), Slow()
    await bench.append(3)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: sink.inside)
    outcome = delivery.say(notice(77))
    await quiet()
    assert not outcome.done()

    gate.set()
    await outcome
    await bench.settled(Position(2))

    assert ids(sink.lines) == [0, 1, 2, 77]
    assert sink.most == 1


async def test_notice_survives_a_failure_of_the_sink_and_is_sent_once(bench: Workbench) -> None:
    sink = RecordingSink()
    sink.script = [SinkUnavailable("down"), SinkUnavailable("down")]
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await delivery.say(notice(77))
    await bench.append(1)
    await bench.settled(Position(2))
    assert ids(sink.lines) == [77, 0]
    assert delivery.status.state == "ok"


async def test_notice_that_nobody_waits_for_any_more_is_not_sent(bench: Workbench) -> None:
    sink = RecordingSink()
    delivery = await bench.delivery(sink)
    outcome = delivery.say(notice(77))
    outcome.cancel()
    bench.run(delivery.run())
    await delivery.say(notice(78))

    assert ids(sink.lines) == [78]


async def test_notice_that_is_refused_becomes_no_dead_letter_and_holds_no_sink(bench: Workbench) -> None:
    sink = RecordingSink()
    sink.script = [lambda _: Receipt(rejected={0: "no such field"})] * 60
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    for number in range(60):
        receipt = await delivery.say(notice(number))
        assert receipt.rejected == {0: "no such field"}

    await quiet()
    assert await bench.letters() == []
    assert delivery.status.last_success is None
    assert delivery.status.state != "held"


async def test_notice_that_no_format_can_write_is_told_as_refused(bench: Workbench) -> None:
    sink = RecordingSink()
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())

    receipt = await delivery.say(notice(77, b"unwritable"))

    assert receipt.rejected == {0: "format error: ValueError"}
    assert sink.batches == []


async def test_notice_that_is_deferred_is_sent_again(bench: Workbench, clock: FakeClock) -> None:
    sink = RecordingSink()
    sink.script = [lambda _: Receipt(deferred=frozenset({0}), retry_after=5.0)]
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())

    receipt = await delivery.say(notice(77))

    assert receipt.deferred == frozenset()
    assert 5.0 in clock.slept
    assert sink.batches == [1, 1]
    assert ids(sink.lines) == [77]


async def test_held_sink_gets_no_notice_before_a_probe_succeeds(bench: Workbench) -> None:
    sink = RecordingSink()
    sink.script = [SinkDenied("token refused")]
    sink.down = SinkDenied("token refused")
    await bench.append(1)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: delivery.status.state == "held")
    outcome = delivery.say(notice(77))
    await quiet()
    assert sink.batches == [1]

    sink.down = None
    delivery.release()
    await outcome
    assert 77 in ids(sink.lines)
