from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import structlog

from collector.errors import SinkDenied, SinkUnavailable
from collector.metrics import METRICS
from collector.pipeline import receiver
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.store import Position
from collector.testing import FakeClock, RecordingSink
from tests.unit.pipeline.workbench import ACME, BETA, FullStore, Route, Workbench, ids, only, quiet, until


def defer(*positions: int, retry_after: float | None = None) -> Callable[[Batch], Receipt]:
    return lambda batch: Receipt(deferred=frozenset(positions) & set(range(len(batch))), retry_after=retry_after)


def reject(*positions: int, reason: str = "too long") -> Callable[[Batch], Receipt]:
    return lambda batch: Receipt(rejected={i: reason for i in positions if i < len(batch)})


def reject_all(batch: Batch) -> Receipt:
    return Receipt(rejected=dict.fromkeys(range(len(batch)), "no such field"))


class Counting(RecordingSink):
    """Takes everything it is sent, twice if it is sent twice."""

    def accept(self, batch: Batch, without: set[int] | frozenset[int] = frozenset()) -> None:
        self.lines += [line for index, line in enumerate(batch.payloads) if index not in without]


async def test_events_arrive_in_the_order_of_the_log_and_the_cursor_follows(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(3)
    await bench.append(2, BETA)

    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.delivered(sink, 5)
    await bench.append(1)
    await bench.settled(Position(4))

    assert ids(sink.lines) == [0, 1, 2, 3, 4, 5]
    assert delivery.idle
    assert (delivery.status.state, delivery.status.delivered) == ("ok", 6)
    assert delivery.status.last_success is not None


async def test_what_the_sink_knows_is_stored_with_the_cursor_and_given_back_to_it(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    cursor = await bench.cursor()

    assert cursor.state == b"1"


async def test_intent_is_stored_before_the_sink_is_given_anything(bench: Workbench) -> None:
    stored: list[bytes | None] = []

    class Careful(Counting):
        async def prepare(self, batch: Batch) -> bytes:
            return b"about to write %d" % len(batch)

        async def deliver(self, batch: Batch) -> Receipt:
            stored.append((await bench.cursor()).state)
            stored.append(b"%d" % (await bench.cursor()).position.seq)
            raise SinkUnavailable("crashed in the middle")

    sink = Careful()
    await bench.append(2)
    bench.run((await bench.delivery(sink)).run())
    await until(lambda: len(sink.states) > 1)

    assert stored[:2] == [b"about to write 2", b"1"]
    assert sink.states[:2] == [None, b"about to write 2"]


async def test_cursor_stays_when_the_sink_is_unavailable_and_the_same_events_come_again(bench: Workbench) -> None:
    batches: list[list[int]] = []

    class Flaky(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            batches.append(ids(list(batch.payloads)))
            return await super().deliver(batch)

    sink = Flaky()
    sink.script = [SinkUnavailable("connection refused"), SinkUnavailable("connection refused")]
    await bench.append(3)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert batches == [[0, 1, 2]] * 3
    assert sink.closed == 2
    assert ids(sink.lines) == [0, 1, 2]
    assert all(0.25 <= wait <= 1.0 for wait in bench.clock.slept)


async def test_receivers_wish_to_wait_is_honoured_up_to_an_hour(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [SinkUnavailable("busy", retry_after=70.0), SinkUnavailable("busy", retry_after=86_400.0)]
    await bench.append(1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert bench.clock.slept == [70.0, 3600.0]


async def test_sink_is_opened_with_what_was_stored_last_even_when_it_cannot_be_opened_at_first(
    bench: Workbench,
) -> None:
    sink = Counting()
    await bench.append(1)
    first = await bench.delivery(sink)
    task = bench.run(first.run())
    await bench.settled(Position(2))
    task.cancel()
    await quiet(3)
    sink.states.clear()

    sink.script = [SinkUnavailable("x")]
    await bench.append(1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(3))

    assert sink.states == [b"1", b"1"]


async def test_sink_is_opened_again_with_what_its_last_receipt_said(bench: Workbench) -> None:
    sink = Counting(BatchLimits(max_events=1))
    sink.script = [lambda _: Receipt(state=b"after the first"), SinkUnavailable("x")]
    await bench.append(2)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert sink.states == [None, b"after the first"]


async def test_rejected_events_become_dead_letters_and_the_others_are_delivered(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [reject(1, reason="bad \ud800 field")]
    await bench.append(3)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    letters = await bench.letters()

    assert ids(sink.lines) == [0, 2]
    assert [(letter.event_id, letter.reason) for letter in letters] == [("event-1", "bad ? field")]
    assert (delivery.status.delivered, delivery.status.rejected, delivery.status.dead_letters) == (2, 1, 1)


async def test_cursor_stops_before_the_first_deferred_event_which_is_sent_again_alone(bench: Workbench) -> None:
    positions: list[Position] = []

    class Watching(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            positions.append(await bench.position())
            return await super().deliver(batch)

    sink = Watching()
    sink.script = [defer(1, 3), defer(1)]
    await bench.append(5)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert sink.batches == [5, 2, 1]
    assert positions == [Position(1), Position(1, 1), Position(1, 3)]
    assert sorted(ids(sink.lines)) == [0, 1, 2, 3, 4]
    assert delivery.status.delivered == 5


async def test_rejection_behind_a_deferred_event_is_not_lost_when_the_cursor_moves_in_two_steps(
    bench: Workbench,
) -> None:
    sink = Counting()
    sink.script = [lambda _: Receipt(rejected={0: "first", 3: "last"}, deferred=frozenset({2}))]
    await bench.append(5)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert [(letter.event_id, letter.reason) for letter in await bench.letters()] == [
        ("event-0", "first"),
        ("event-3", "last"),
    ]
    assert sorted(ids(sink.lines)) == [1, 2, 4]


async def test_event_that_was_rejected_and_deferred_at_once_waits_and_is_delivered_once(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [lambda _: Receipt(rejected={1: "perhaps"}, deferred=frozenset({1}))]
    await bench.append(2)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert sorted(ids(sink.lines)) == [0, 1]
    assert await bench.letters() == []


async def test_failure_after_a_partial_receipt_sends_only_what_waits(bench: Workbench) -> None:
    """The sink took 1, 3 and 4, refused 2, deferred 0; then it went down. None of the four may be sent again."""
    sink = Counting()
    sink.script = [
        lambda _: Receipt(rejected={2: "bad"}, deferred=frozenset({0})),
        SinkUnavailable("connection reset"),
        SinkUnavailable("connection refused"),
    ]
    await bench.append(5)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert sink.batches == [5, 1, 1, 1]
    assert sorted(ids(sink.lines)) == [0, 1, 3, 4]
    assert [letter.event_id for letter in await bench.letters()] == ["event-2"]


async def test_deferring_again_and_again_waits_longer_and_longer(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [defer(0) for _ in range(10)]
    await bench.append(1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    waits = bench.clock.slept
    assert len(waits) == 10
    assert waits[0] < 1.0
    assert waits[-1] > 25.0


async def test_deferral_says_itself_how_long_but_never_spins(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [defer(0, retry_after=7.0), defer(0, retry_after=0.0)]
    await bench.append(1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert bench.clock.slept == [7.0, 0.1]


async def test_unwritable_events_become_dead_letters_once_and_hold_up_nobody(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [defer(1)]
    await bench.append(1)
    await bench.append(1, raw=b'{"id":"unwritable"}')
    await bench.append(1)
    await bench.append(1, raw=b'{"id":"unwritable"}')
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(5))

    assert ids(sink.lines) == [0, 2]
    letters = await bench.letters()
    assert [letter.event_id for letter in letters] == ["event-1", "event-3"]
    assert {letter.reason for letter in letters} == {"format error: ValueError"}


async def test_batch_of_unwritable_events_alone_moves_the_cursor(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(2, raw=b'{"id":"unwritable"}')
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert sink.batches == []
    assert len(await bench.letters()) == 2
    assert delivery.status.last_success is None


# -- a full volume ------------------------------------------------------------------------------


async def test_full_volume_during_settle_sends_nothing_twice_and_nothing_more(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(3)
    volume = FullStore(bench.store, "settle")
    delivery = await bench.delivery(sink, volume=volume)
    bench.run(delivery.run())
    await until(lambda: len(volume.refused) >= 5)
    await bench.append(2)
    await quiet()

    assert sink.batches == [3]
    assert delivery.status.last_error == "no room"

    volume.full.clear()
    await bench.settled(Position(3))
    assert ids(sink.lines) == [0, 1, 2, 3, 4]
    assert sink.closed == 0
    assert delivery.status.state == "ok"


async def test_full_volume_while_storing_the_intent_delivers_nothing(bench: Workbench) -> None:
    class Careful(Counting):
        async def prepare(self, batch: Batch) -> bytes:
            return b"intent"

    sink = Careful()
    await bench.append(1)
    volume = FullStore(bench.store, "store_state")
    delivery = await bench.delivery(sink, volume=volume)
    bench.run(delivery.run())
    await until(lambda: len(volume.refused) >= 3)

    assert sink.batches == []
    volume.full.clear()
    await bench.settled(Position(2))
    assert ids(sink.lines) == [0]


# -- held -----------------------------------------------------------------------------------------


async def test_denied_sink_is_held_and_probed_and_gets_nothing_until_the_probe_is_good(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [SinkDenied("token refused")]
    sink.down = SinkDenied("token refused")
    await bench.append(2)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: len(sink.states) > 8)

    assert sink.batches == [2]
    assert (delivery.status.state, delivery.status.last_error) == ("held", "token refused")
    assert METRICS.registry.get_sample_value("edr_collector_sink_held", {"sink": "archive"}) == 1
    assert bench.clock.slept[0] <= 5.0
    assert 150.0 <= max(bench.clock.slept) <= 300.0

    sink.down = None
    await bench.settled(Position(2))
    assert ids(sink.lines) == [0, 1]
    assert delivery.status.state == "ok"
    assert METRICS.registry.get_sample_value("edr_collector_sink_held", {"sink": "archive"}) == 0


async def test_sink_stays_held_when_the_probe_finds_it_out_of_reach(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [SinkDenied("token refused")]
    sink.down = SinkUnavailable("connection refused", retry_after=600.0)
    await bench.append(1)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: delivery.status.last_error == "connection refused")

    assert delivery.status.state == "held"
    assert sink.batches == [1]
    await until(lambda: 600.0 in bench.clock.slept)


async def test_batch_of_20_that_is_refused_as_a_whole_settles_nothing_and_holds_the_sink(bench: Workbench) -> None:
    sink = Counting(BatchLimits(max_events=20))
    sink.script = [reject_all] * 4
    await bench.append(40)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: len(sink.batches) >= 4)

    # Probed by the first event alone.
    assert sink.batches[:4] == [20, 1, 1, 1]
    await bench.settled(Position(2))
    assert await bench.letters() == []
    assert ids(sink.lines) == list(range(40))
    assert delivery.status.state == "ok"


async def test_batch_of_19_that_is_refused_becomes_dead_letters(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [reject_all]
    await bench.append(19)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert len(await bench.letters()) == 19


async def test_50_refused_in_a_row_hold_the_sink_whatever_the_size_of_the_batches(bench: Workbench) -> None:
    sink = Counting(BatchLimits(max_events=10))
    sink.script = [reject_all] * 6
    await bench.append(100)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert sink.batches[:8] == [10, 10, 10, 10, 10, 1, 1, 10]
    assert len(await bench.letters()) == 40
    assert ids(sink.lines) == list(range(40, 100))


async def test_an_accepted_event_ends_the_run_of_refusals(bench: Workbench) -> None:
    sink = Counting(BatchLimits(max_events=15))
    sink.script = [reject_all, reject(*range(14)), reject_all, reject_all, reject_all]
    await bench.append(75)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert sink.batches == [15] * 5
    assert len(await bench.letters()) == 74


async def test_denied_sink_is_not_probed_by_an_event_because_some_were_refused_before(bench: Workbench) -> None:
    """A good event that the receiver refuses for its content must not keep a sink held that works again."""
    sink = Counting(BatchLimits(max_events=5))
    sink.script = [reject_all, SinkDenied("token expired"), reject_all]
    await bench.append(15)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert sink.batches == [5, 5, 5, 5]
    assert len(await bench.letters()) == 10


async def test_probe_that_is_deferred_ends_nothing(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [reject_all, defer(0), defer(0)]
    await bench.append(20)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert sink.batches == [20, 1, 1, 1, 19]
    assert len(sink.states) == 4
    assert sorted(ids(sink.lines)) == list(range(20))


async def test_probe_after_a_partial_receipt_is_the_first_event_that_waits(bench: Workbench) -> None:
    sent: list[list[int]] = []

    class Seeing(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            sent.append(ids(list(batch.payloads)))
            return await super().deliver(batch)

    sink = Seeing()
    sink.script = [lambda _: Receipt(deferred=frozenset(range(30)) - {5}), reject_all]
    await bench.append(30)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert [len(part) for part in sent] == [30, 29, 1, 28]
    assert sent[2] == [0]
    assert sorted(ids(sink.lines)) == list(range(30))


async def test_held_sink_with_nothing_to_probe_it_with_is_let_go(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [reject_all]
    await bench.append(20)
    delivery = await bench.delivery(sink, required=False)
    bench.run(delivery.run())
    await until(lambda: delivery.status.errors)
    delivery.skip(bench.log.end)
    await until(lambda: delivery.status.state == "ok")

    assert delivery.status.skipped == 20 - len(sink.lines)


async def test_release_ends_held_without_a_probe(store: object, bench: Workbench, slow_clock: FakeClock) -> None:
    bench.clock = slow_clock
    sink = Counting()
    sink.script = [SinkDenied("index missing")]
    sink.down = SinkDenied("index missing")
    await bench.append(2)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: delivery.status.state == "held")
    await quiet()
    assert sink.batches == [2]

    delivery.release()
    await bench.settled(Position(2))

    assert ids(sink.lines) == [0, 1]


async def test_repeated_failure_is_logged_once(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [*[SinkUnavailable("refused")] * 5, SinkUnavailable("reset")]
    await bench.append(1)
    with structlog.testing.capture_logs() as logs:
        bench.run((await bench.delivery(sink)).run())
        await bench.settled(Position(2))
        await until(lambda: any(line["event"] == "sink recovered" for line in logs))

    assert [(line["event"], line.get("error")) for line in logs] == [
        ("sink unavailable", "refused"),
        ("sink unavailable", "reset"),
        ("sink recovered", None),
    ]


async def test_sink_that_is_full_of_dead_letters_is_held_without_being_asked_until_they_are_decided(
    bench: Workbench, slow_clock: FakeClock
) -> None:
    bench.clock = slow_clock
    sink = Counting()
    await bench.append(2)
    delivery = await bench.delivery(sink)
    delivery.status.dead_letters = 10_000
    bench.run(delivery.run())
    await until(lambda: delivery.status.state == "held")
    for _ in range(5):
        await slow_clock.advance(60)
        await quiet(5)

    assert sink.batches == []
    assert sink.states == [None]
    assert "10000 dead letters" in str(delivery.status.last_error)

    delivery.status.dead_letters = 9_999
    delivery.wake()
    await bench.settled(Position(2))
    assert delivery.status.state == "ok"


# -- sinks beside each other ------------------------------------------------------------------------


async def test_a_blocked_sink_holds_up_no_other(bench: Workbench) -> None:
    class Stuck(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            await asyncio.Event().wait()
            raise AssertionError

    stuck, free = Stuck(), Counting()
    await bench.append(2)
    bench.run((await bench.delivery(stuck, "stuck")).run())
    bench.run((await bench.delivery(free, "free")).run())
    await bench.delivered(free, 2)
    await bench.append(2)
    await bench.settled(Position(3), "free")

    assert ids(free.lines) == [0, 1, 2, 3]
    assert await bench.position("stuck") == Position(1)


async def test_sink_that_never_answers_is_opened_again(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "SINK_SECONDS", 0.02)

    class Silent(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            if not self.closed:
                await asyncio.Event().wait()
            return await super().deliver(batch)

    sink = Silent()
    await bench.append(1)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert sink.closed == 1
    assert delivery.status.errors == 1


async def test_route_that_takes_nothing_wakes_nobody_and_still_moves_its_cursor(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(2)
    delivery = await bench.delivery(sink, route=only(BETA))
    bench.run(delivery.run())
    await until(lambda: delivery._resting)
    woken = delivery._reader.woken
    await bench.append(2)
    await bench.append(2)

    assert not woken.is_set()
    assert delivery.idle
    assert delivery.holds == bench.log.end
    await bench.pass_over(delivery)
    assert await bench.position() == Position(4)

    await bench.append(1, BETA)
    await bench.settled(Position(5))
    assert ids(sink.lines) == [6]


async def test_passing_over_moves_no_cursor_of_a_sink_that_has_something_to_deliver(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(2)
    delivery = await bench.delivery(sink)

    await bench.pass_over(delivery)

    assert await bench.position() == Position(1)


async def test_passing_over_leaves_a_sink_alone_that_is_at_work(bench: Workbench, slow_clock: FakeClock) -> None:
    bench.clock = slow_clock
    sink = Counting()
    sink.script = [SinkUnavailable("down")]
    delivery = await bench.delivery(sink, route=only(BETA))
    bench.run(delivery.run())
    await until(lambda: delivery._resting)
    await bench.append(1)
    await bench.append(1, BETA)
    await until(lambda: delivery.status.errors)
    assert delivery.holds == Position(2)

    await bench.pass_over(delivery)

    assert await bench.position() == Position(1)


async def test_passing_over_on_a_full_volume_harms_nobody(bench: Workbench) -> None:
    sink = Counting()
    volume = FullStore(bench.store)
    delivery = await bench.delivery(sink, route=only(BETA), volume=volume)
    bench.run(delivery.run())
    await until(lambda: delivery._resting)
    await bench.append(1)
    volume.full.add("pass_over")

    await bench.pass_over(delivery, volume)

    assert volume.refused == ["pass_over"]
    volume.full.clear()
    await bench.append(1, BETA)
    await bench.settled(Position(3))
    assert ids(sink.lines) == [1]


async def test_events_that_the_route_leaves_out_are_passed_in_pages_that_it_takes(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(1)
    await bench.append(3, raw=b'{"id":"dull"}')
    delivery = await bench.delivery(sink, route=Route(but=b"dull"))
    bench.run(delivery.run())
    await until(lambda: delivery._resting)

    assert ids(sink.lines) == [0]
    assert delivery.position == Position(3)


# -- skipping -----------------------------------------------------------------------------------------


async def test_skipping_moves_the_cursor_counts_the_events_of_its_route_and_says_so(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [*[SinkUnavailable("down")] * 1000]
    await bench.append(3)
    await bench.append(10, BETA)
    await bench.append(2)
    delivery = await bench.delivery(sink, route=only(ACME), required=False)
    bench.run(delivery.run())
    await until(lambda: delivery.status.errors)

    with structlog.testing.capture_logs() as logs:
        delivery.skip(Position(3))
        await until(lambda: delivery.status.skipped)
    sink.script.clear()
    await bench.settled(Position(4))

    assert delivery.status.skipped == 3
    assert ids(sink.lines) == [13, 14]
    assert [(line["events"], line["since"], line["until"]) for line in logs if "skipped" in line["event"]] == [
        (3, 1, 3)
    ]


async def test_sink_that_defers_for_ever_can_be_moved_on(bench: Workbench) -> None:
    sink = Counting()
    sink.script = [defer(0)] * 10_000
    await bench.append(1)
    await bench.append(1)
    delivery = await bench.delivery(sink, required=False)
    bench.run(delivery.run())
    await until(lambda: len(sink.batches) > 2)
    delivery.skip(Position(2))
    await until(lambda: not delivery.skipping)
    sink.script.clear()
    await bench.settled(Position(3))

    assert ids(sink.lines) in ([1], [1, 1])


async def test_skipping_back_does_nothing(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(2)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))
    delivery.skip(Position(1))
    await until(lambda: not delivery.skipping)

    assert await bench.position() == Position(2)
    assert delivery.status.skipped == 0


# -- dead letters again ---------------------------------------------------------------------------------


async def with_letters(bench: Workbench, sink: RecordingSink, count: int = 1) -> list[int]:
    """Make dead letters of the first events; returns their numbers."""
    sink.script = [reject(*range(count))]
    await bench.append(count + 1)
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))
    task = bench.tasks.pop()
    task.cancel()
    await asyncio.wait([task])
    return [letter.id for letter in await bench.letters()]


async def test_retried_dead_letter_is_delivered_once_and_is_no_more(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink, 2)
    delivery = await bench.delivery(sink)
    delivery.status.dead_letters = 2
    bench.run(delivery.run())

    delivery.retry(numbers)
    delivery.retry(numbers)
    await bench.delivered(sink, 3)
    await quiet()

    assert ids(sink.lines) == [2, 0, 1]
    assert await bench.letters() == []
    assert delivery.status.dead_letters == 0
    assert await bench.position() == Position(2)


async def test_retried_dead_letter_that_is_refused_again_stays_with_the_new_reason(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink)
    sink.script = [reject(0, reason="still too \udfff long")]
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    delivery.retry(numbers)
    await until(lambda: not delivery._retries)

    letter = (await bench.letters())[0]
    assert (letter.attempts, letter.reason) == (2, "still too ? long")


async def test_retried_dead_letter_that_was_dropped_meanwhile_is_not_sent(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink)
    await bench.store.drop_dead_letters(numbers)
    delivery = await bench.delivery(sink)
    delivery.retry(numbers)
    bench.run(delivery.run())
    await until(lambda: delivery._resting)

    assert ids(sink.lines) == [1]


async def test_retried_dead_letter_waits_while_the_sink_is_down(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink)
    sink.script = [SinkUnavailable("down")] * 3
    delivery = await bench.delivery(sink)
    delivery.retry(numbers)
    bench.run(delivery.run())
    await bench.delivered(sink, 2)
    await until(lambda: delivery._resting)

    assert ids(sink.lines) == [1, 0]
    assert await bench.letters() == []


async def test_retried_dead_letter_that_is_deferred_goes_later_and_live_events_meanwhile(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink)
    await bench.append(1)
    sink.script = [defer(0)]
    delivery = await bench.delivery(sink)
    delivery.retry(numbers)
    bench.run(delivery.run())
    await bench.delivered(sink, 3)

    assert ids(sink.lines) == [1, 2, 0]


async def test_retry_of_thousands_lets_live_events_through_in_between(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink, 60)
    sink.lines.clear()
    await bench.append(1)
    delivery = await bench.delivery(sink)
    delivery.retry(numbers)
    bench.run(delivery.run())
    await bench.delivered(sink, 61)

    live = ids(sink.lines).index(bench.numbers - 1)
    assert live == 20


async def test_unwritable_dead_letter_counts_an_attempt(bench: Workbench) -> None:
    sink = Counting()
    await bench.append(1, raw=b'{"id":"unwritable"}')
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await bench.settled(Position(2))
    delivery.retry([letter.id for letter in await bench.letters()])
    await until(lambda: not delivery._retries)
    await quiet(3)

    assert (await bench.letters())[0].attempts == 2


async def test_crash_between_delivering_and_settling_a_dead_letter_leaves_it_to_the_sinks_intent(
    bench: Workbench,
) -> None:
    """The intent is stored, the letter is still there: what a file has beyond its intent is cut at the next opening."""

    class Crashing(Counting):
        async def prepare(self, batch: Batch) -> bytes:
            return b"intent of %d" % len(self.batches)

    sink = Crashing()
    numbers = await with_letters(bench, sink)
    volume = FullStore(bench.store, "settle")
    delivery = await bench.delivery(sink, volume=volume)
    delivery.retry(numbers)
    task = bench.run(delivery.run())
    await until(lambda: volume.refused)
    task.cancel()
    await asyncio.wait([task])

    assert [letter.id for letter in await bench.letters()] == numbers
    assert (await bench.cursor()).state == b"intent of 1"


# -- stopping -------------------------------------------------------------------------------------------


async def test_stop_lets_the_batch_end_and_settles_it(bench: Workbench) -> None:
    gate = asyncio.Event()

    class Slow(Counting):
        async def deliver(self, batch: Batch) -> Receipt:
            await gate.wait()
            return await super().deliver(batch)

    sink = Slow(BatchLimits(max_events=2))
    await bench.append(6)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: sink.states)
    await quiet(3)
    delivery.stop()
    await quiet(3)
    assert not delivery.stopped

    gate.set()
    await until(lambda: delivery.stopped)
    assert ids(sink.lines) == [0, 1]
    assert await bench.position() == Position(1, 2)
    assert sink.closed == 1


@pytest.mark.parametrize("failure", [SinkUnavailable("down"), SinkDenied("refused"), None])
async def test_stop_ends_every_wait(
    bench: Workbench, slow_clock: FakeClock, failure: SinkUnavailable | SinkDenied | None
) -> None:
    bench.clock = slow_clock
    sink = Counting()
    if failure is not None:
        sink.script = [failure]
        sink.down = failure
        await bench.append(1)
    delivery = await bench.delivery(sink)
    bench.run(delivery.run())
    await until(lambda: delivery._resting or delivery.status.errors)

    delivery.stop()

    await until(lambda: delivery.stopped)


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_cancelling_at_any_moment_loses_and_doubles_nothing(bench: Workbench, turns: int) -> None:
    """The receiver knows what it has, as one with transactions does; the next loop runs on from what is stored."""
    sink = RecordingSink(BatchLimits(max_events=3))
    await bench.append(10)
    task = bench.run((await bench.delivery(sink)).run())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    bench.run((await bench.delivery(sink)).run())
    await bench.settled(Position(2))

    assert ids(sink.lines) == list(range(10))


async def test_crash_of_the_loop_forgets_what_was_under_way(bench: Workbench) -> None:
    sink = Counting()

    def crash(_: Batch) -> Receipt:
        raise ZeroDivisionError

    sink.script = [crash]
    await bench.append(2)
    delivery = await bench.delivery(sink)
    with pytest.raises(ZeroDivisionError):
        await delivery.run()
    bench.run(delivery.run())
    await bench.settled(Position(2))

    assert ids(sink.lines) == [0, 1]


async def test_full_volume_outside_of_settling_is_waited_for(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink)
    sink.script = [reject(0)]
    volume = FullStore(bench.store, "note_attempt")
    delivery = await bench.delivery(sink, volume=volume)
    delivery.retry(numbers)
    bench.run(delivery.run())
    await until(lambda: volume.refused)
    await bench.delivered(sink, 2)

    assert ids(sink.lines) == [1, 0]


async def test_closed_delivery_is_woken_no_more(bench: Workbench) -> None:
    delivery = await bench.delivery(Counting())
    delivery.close()
    await bench.append(1)

    assert not delivery._reader.woken.is_set()


async def test_sink_that_is_full_of_dead_letters_still_takes_those_that_are_sent_again(bench: Workbench) -> None:
    sink = Counting()
    numbers = await with_letters(bench, sink, 30)
    sink.lines.clear()
    delivery = await bench.delivery(sink)
    delivery.status.dead_letters = 10_020
    delivery.retry(numbers)
    bench.run(delivery.run())
    await bench.delivered(sink, 30)

    assert sorted(ids(sink.lines)) == list(range(30))


async def test_events_nobody_takes_behind_what_is_not_certain_yet_wait_with_it(bench: Workbench) -> None:
    sink = Counting()
    certain = asyncio.Event()

    def not_yet(batch: Batch) -> Receipt:
        return Receipt(certain_after=30.0)

    def asked(_: Batch) -> Receipt:
        return Receipt() if certain.is_set() else Receipt(certain_after=30.0)

    sink.script = [not_yet, *[asked] * 1000]
    await bench.append(1)
    delivery = await bench.delivery(sink, route=Route(but=b"dull"))
    bench.run(delivery.run())
    await bench.append(2, raw=b'{"id":"dull"}')
    await bench.settled(Position(3))

    assert ids(sink.lines) == [0]
