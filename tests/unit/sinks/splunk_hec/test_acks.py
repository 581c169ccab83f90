"""Acknowledgements: true once, kept apart, waited for by many, sent again when they do not come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from collector.errors import SinkDenied, SinkUnavailable
from collector.model import Event
from collector.sinks.base import Receipt
from collector.sinks.splunk_hec.acks import Channel
from collector.testing import FakeClock
from tests.unit.sinks.splunk_hec.emulator import Emulator
from tests.unit.sinks.splunk_hec.opening import Site, events, receiving, uids


class Answers:
    """What a receiver would say to each question; `asked` are the numbers of each."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[list[int]] = []

    async def __call__(self, channel: Channel, numbers: Collection[int]) -> Mapping[str, Any] | None:
        self.asked.append(list(numbers))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        assert answer is None or isinstance(answer, dict)
        return answer


def patient(splunk: Emulator, **settings: Any) -> Site:
    site = Site(splunk.url, acknowledge=True, **settings)
    splunk.now = site.clock.monotonic
    return site


async def is_refused(delivering: Awaitable[Receipt]) -> bool:
    """Whether nothing of it counts as delivered."""
    try:
        return len((await delivering).deferred) > 0
    except SinkUnavailable:
        return True


async def test_questions_come_less_often_the_longer_nobody_is_answered() -> None:
    clock = FakeClock(hurry=True)
    channel = Channel(clock, Answers())

    assert not await channel.confirmed(channel.expect(0), 600.0)

    assert clock.slept[:4] == [0.5, 0.5, 0.5, 0.5]
    assert clock.slept == sorted(clock.slept[:-1]) + clock.slept[-1:]
    assert max(clock.slept) == 10.0
    assert sum(clock.slept) == pytest.approx(600.0)


async def test_one_question_serves_all_who_wait_and_a_true_is_never_forgotten() -> None:
    clock = FakeClock(hurry=True)
    answers = Answers({"0": False, "1": True}, {"0": False, "2": True}, {"0": True})
    channel = Channel(clock, answers)
    acks = [channel.expect(number) for number in range(3)]

    confirmed = await asyncio.gather(*[channel.confirmed(ack, 60.0) for ack in acks])

    assert confirmed == [True, True, True]
    assert answers.asked == [[0, 1, 2], [0, 2], [0]]


@pytest.mark.parametrize("value", [False, None, 1, "true", [], {}], ids=repr)
async def test_only_true_is_true(value: object) -> None:
    channel = Channel(FakeClock(hurry=True), Answers(*[{"0": value}] * 5))

    assert not await channel.confirmed(channel.expect(0), 2.0)


async def test_a_question_that_fails_is_asked_again() -> None:
    trouble = SinkUnavailable("gone")
    channel = Channel(FakeClock(hurry=True), Answers(trouble, SinkDenied("no"), {"0": True}))

    assert await channel.confirmed(channel.expect(0), 60.0)
    assert channel.trouble is None


async def test_who_asked_for_all_may_leave_before_the_others() -> None:
    clock = FakeClock()
    answers = Answers({}, {"1": True})
    channel = Channel(clock, answers)
    first, second = channel.expect(0), channel.expect(1)
    leaving = asyncio.create_task(channel.confirmed(first, 60.0))
    staying = asyncio.create_task(channel.confirmed(second, 60.0))
    await clock.advance(0.6)

    leaving.cancel()
    await clock.advance(0.6)

    assert await staying
    assert leaving.cancelled()


async def test_a_number_that_comes_again_is_that_of_another_body() -> None:
    clock = FakeClock(hurry=True)
    channel = Channel(clock, Answers({"0": True, "1": True}))
    old = [channel.expect(0), channel.expect(1)]
    waiting = [asyncio.create_task(channel.confirmed(ack, 60.0)) for ack in old]

    new = channel.expect(0)

    assert await channel.confirmed(new, 60.0)
    assert [await task for task in waiting] == [False, False]
    assert channel.used_up


async def test_acknowledged_batches_are_delivered() -> None:
    async with receiving(acks=True, ack_after=3.0) as splunk:
        site = patient(splunk)
        assert await site.deliver(batch := events(5)) == Receipt()

    assert splunk.uids() == uids(batch)
    assert splunk.polls == 6


async def test_all_batches_in_flight_are_asked_for_together() -> None:
    async with receiving(acks=True, ack_after=2.0) as splunk:
        site = patient(splunk)
        async with site.open() as sink:
            batches = [site.batch([event]) for event in events(16)]
            receipts = await asyncio.gather(*[sink.deliver(batch) for batch in batches])

    assert receipts == [Receipt()] * 16
    assert splunk.polls <= 6
    assert len({headers["X-Splunk-Request-Channel"] for _, headers in splunk.requests}) == 1


async def test_what_is_never_acknowledged_is_not_delivered() -> None:
    async with receiving(acks=True, acks_lost=True) as splunk:
        site = patient(splunk, ack_timeout="60s")
        with pytest.raises(SinkUnavailable, match="not acknowledged within 60 s: the receiver did not say true"):
            await site.deliver(events(5))

    assert sum(site.clock.slept) == pytest.approx(60.0)  # type: ignore[attr-defined]  # a FakeClock


async def test_one_lost_acknowledgement_costs_the_other_batches_nothing() -> None:
    async with receiving(acks=True, ack_after=1.0) as splunk:
        site = patient(splunk, ack_timeout="5s")
        async with site.open() as sink:
            batches = [site.batch([event]) for event in events(3)]
            splunk.script.append(lambda _: splunk.reply(0, ackId=999))
            lost = asyncio.create_task(sink.deliver(batches[0]))
            others = await asyncio.gather(*[sink.deliver(batch) for batch in batches[1:]])
            assert await is_refused(lost)

    assert others == [Receipt()] * 2


async def test_an_indexer_that_dies_before_it_acknowledges_gets_the_events_again() -> None:
    async with receiving(acks=True, acks_lost=True) as splunk:
        site = patient(splunk, ack_timeout="5s")
        with pytest.raises(SinkUnavailable):
            await site.deliver(batch := events(5))
        splunk.events.clear()
        splunk.restart()
        splunk.acks_lost = False

        assert await site.deliver(batch) == Receipt()

    assert splunk.uids() == uids(batch)


async def test_a_restart_in_a_session_never_lends_a_new_acknowledgement_to_an_old_batch() -> None:
    async with receiving(acks=True, ack_after=1e9) as splunk:
        site = patient(splunk, ack_timeout="30s")
        async with site.open() as sink:
            received = asyncio.Event()
            splunk.script.append(lambda _: received.set())
            old = asyncio.create_task(sink.deliver(site.batch(events(2))))
            await received.wait()
            splunk.restart()
            splunk.ack_after = 0.0
            # Its acknowledgement may be told to the one who asks for the old batch's; then it comes again.
            with suppress(SinkUnavailable):
                await sink.deliver(site.batch(events(4)[2:]))
            assert await is_refused(old)


async def test_the_part_before_a_refused_event_counts_with_the_acknowledgement_behind_it() -> None:
    bad = lambda document: 6 if document["fields"]["id"] == "event-2" else None  # noqa: E731
    async with receiving(acks=True, acks_lost=True, bad=bad) as splunk:
        site = patient(splunk, ack_timeout="5s")
        receipt = await site.deliver(events(5))

    assert set(receipt.rejected) == {2}
    assert receipt.deferred == frozenset({0, 1, 3, 4})


async def test_a_pending_limit_puts_batches_off_and_harms_none() -> None:
    async with receiving(acks=True, ack_after=1.0, max_pending=2) as splunk:
        site = patient(splunk)
        todo = [site.batch([event]) for event in events(8)]
        async with site.open() as sink:
            while todo:
                receipts = await asyncio.gather(*[sink.deliver(batch) for batch in todo])
                todo = [batch for batch, receipt in zip(todo, receipts, strict=True) if receipt.deferred]

    assert sorted(splunk.uids()) == sorted(uids(events(8)))


@pytest.mark.parametrize("how", ["none given", "disabled when asked", "disabled when sent"])
async def test_a_token_without_acknowledgement_is_believed_as_without(how: str) -> None:
    async with receiving() as splunk:
        site = patient(splunk)
        if how == "disabled when asked":
            splunk.script.append(lambda _: splunk.reply(0, ackId=3))
        elif how == "disabled when sent":
            splunk.script.append(14)
        async with site.open() as sink:
            assert await sink.deliver(site.batch(events(3))) == Receipt()
            assert await sink.deliver(site.batch(events(6)[3:])) == Receipt()

    expected = events(6)[3:] if how == "disabled when asked" else events(6)
    assert splunk.uids() == uids(expected)


async def test_a_missing_number_where_there_were_numbers_proves_nothing() -> None:
    async with receiving(acks=True) as splunk:
        site = patient(splunk)
        async with site.open() as sink:
            await sink.deliver(site.batch(events(3)))
            splunk.script.append(0)
            with pytest.raises(SinkUnavailable, match="no ackId"):
                await sink.deliver(site.batch(events(6)[3:]))


async def test_the_probe_tells_once_that_the_token_does_not_acknowledge() -> None:
    async with receiving() as splunk:
        site = patient(splunk)
        with pytest.raises(SinkDenied, match="set acknowledge: false"):
            await site.probe()
        await site.probe()

    assert splunk.events == []


async def test_the_probe_is_content_with_a_token_that_acknowledges() -> None:
    async with receiving(acks=True) as splunk:
        await patient(splunk).probe()

    assert splunk.polls == 1


async def test_a_lost_connection_means_another_channel() -> None:
    async def hang_up(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    async with receiving(acks=True) as splunk:
        site = patient(splunk)
        async with site.open() as sink:
            await sink.deliver(site.batch(events(1)))
            splunk.script.append(hang_up)
            with pytest.raises(SinkUnavailable):
                await sink.deliver(site.batch(events(2)[1:]))
            await sink.deliver(site.batch(events(2)[1:]))

    channels = [headers["X-Splunk-Request-Channel"] for path, headers in splunk.requests if path.endswith("event")]
    assert channels[0] == channels[1] != channels[2]


async def test_numbers_nobody_asks_for_do_not_pile_up_in_one_channel() -> None:
    async with receiving(acks=True) as splunk:
        site = Site(splunk.url)
        async with site.open() as sink:
            await sink.deliver(site.batch(events(1)))
            pool = next(iter(sink._pools.values()))  # type: ignore[attr-defined]  # ten thousand requests take a while
            pool._nodes[0].channel._seen.update(range(10_000))
            await sink.deliver(site.batch(events(1)))

    assert len({headers["X-Splunk-Request-Channel"] for _, headers in splunk.requests}) == 2


async def test_a_receiver_that_acknowledges_nothing_fails_in_the_end_however_many_batches_overlap() -> None:
    async with receiving(acks=True, acks_lost=True) as splunk:
        site = patient(splunk, ack_timeout="2s")
        async with site.open() as sink:
            failed = 0
            for _ in range(3):
                batches = [site.batch([event]) for event in events(20)]
                found = await asyncio.gather(*[sink.deliver(batch) for batch in batches], return_exceptions=True)
                failed += sum(isinstance(one, SinkUnavailable) for one in found)

    assert failed


async def test_acknowledgements_that_take_five_seconds_let_five_batches_a_second_through() -> None:
    """With some 400 events in each of them, that are 2,000 events a second; time is the clock's, not the machine's."""
    batches = 96
    async with receiving(acks=True, ack_after=5.0) as splunk:
        clock = FakeClock()
        splunk.now = clock.monotonic
        site = Site(splunk.url, acknowledge=True, clock=clock)
        async with site.open() as sink:
            room = asyncio.Semaphore(sink.max_in_flight)

            async def deliver(event: Event) -> None:
                async with room:
                    assert await sink.deliver(site.batch([event])) == Receipt()

            began = clock.monotonic()
            tasks = [asyncio.create_task(deliver(event)) for event in events(batches)]
            while not all(task.done() for task in tasks):
                before = None
                while before != (before := (len(splunk.requests), splunk.in_flight)):  # noqa: ASYNC110 -- on their way
                    await asyncio.sleep(0.02)
                await clock.advance(0.1)
            await asyncio.gather(*tasks)

    assert batches / (clock.monotonic() - began) >= 5.0
