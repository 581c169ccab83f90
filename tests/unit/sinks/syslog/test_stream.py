"""One long connection: receipts are provisional, and a break is noticed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from collector.errors import SinkDenied, SinkUnavailable
from collector.sinks.syslog.stream import PROBATION_SECONDS
from collector.testing import FakeClock
from tests.unit.sinks.syslog.opening import Site, endings, events
from tests.unit.sinks.syslog.receivers import (
    Receiver,
    close_after,
    close_at_once,
    greet,
    never_close,
    never_read,
    read_all,
)


def site(receiver: Receiver, **settings: Any) -> Site:
    return Site(f"tcp://127.0.0.1:{receiver.port}", confirm=False, **settings)


async def test_batches_share_one_connection_and_are_provisional() -> None:
    with Receiver(never_close) as receiver:
        target = site(receiver)
        batches = [target.batch(events(number)) for number in (3, 1, 2)]
        async with target.open() as sink:
            receipts = [await sink.deliver(batch) for batch in batches]
            await asyncio.to_thread(receiver.until, lambda: len(receiver.messages) == 6)

        assert receiver.connections == 1
        assert [receipt.certain_after for receipt in receipts] == [PROBATION_SECONDS] * 3
        assert endings(receiver.messages, [payload for batch in batches for payload in batch.payloads])


async def test_break_is_noticed_by_the_next_question_without_a_message() -> None:
    with Receiver(close_after(1)) as receiver:
        target = site(receiver)
        async with target.open() as sink:
            await sink.deliver(target.batch(events(1)))
            await asyncio.to_thread(receiver.until, receiver.all_left)
            await asyncio.sleep(0.05)
            with pytest.raises(SinkUnavailable):
                await sink.deliver(target.batch([]))


async def test_question_to_a_sound_connection_is_answered() -> None:
    with Receiver(never_close) as receiver:
        target = site(receiver)
        async with target.open() as sink:
            await sink.deliver(target.batch(events(1)))
            await sink.deliver(target.batch([]))


async def test_question_before_anything_was_sent_opens_no_connection() -> None:
    with Receiver(never_close) as receiver:
        await site(receiver).deliver([])

        assert receiver.connections == 0


async def test_receiver_that_takes_nothing_is_unavailable() -> None:
    with Receiver(never_read) as receiver, pytest.raises(SinkUnavailable, match="takes nothing"):
        await site(receiver).deliver(events(2000, 3000))


async def test_receiver_that_speaks_is_none() -> None:
    with Receiver(greet) as receiver, pytest.raises(SinkUnavailable, match="is it one"):
        await site(receiver).deliver(events(1))


async def _break_once(target: Site) -> None:
    async with target.open() as sink:
        for _ in range(100):
            await sink.deliver(target.batch(events(1)))
            await asyncio.sleep(0.005)


async def test_connection_that_never_lasts_is_held() -> None:
    with Receiver(close_after(1)) as receiver:
        target = site(receiver)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await _break_once(target)
        with pytest.raises(SinkDenied, match="3 attempts in a row"):
            await _break_once(target)


async def test_connection_that_lasted_makes_the_next_break_a_first_one() -> None:
    clock = FakeClock()
    with Receiver(close_after(1), close_after(1), close_after(3000), close_after(1)) as receiver:
        target = site(receiver, clock=clock)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await _break_once(target)
        async with target.open() as sink:
            await sink.deliver(target.batch(events(1)))
            await clock.advance(PROBATION_SECONDS)
            await sink.deliver(target.batch([]))
            assert target.context.memory == {}


async def test_probe_is_content_with_a_connection_that_stays() -> None:
    with Receiver(read_all) as receiver:
        await site(receiver).probe()

        await asyncio.to_thread(receiver.until, lambda: len(receiver.streams) == 1)
        assert receiver.stream() == b""


async def test_probe_hears_that_nobody_wants_us() -> None:
    with Receiver(close_at_once) as receiver, pytest.raises(SinkUnavailable):
        await site(receiver).probe()
