"""Confirmed batches: what makes an event count as delivered, and what never does."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from collector.errors import SinkDenied, SinkError, SinkUnavailable
from collector.sinks.syslog.trials import NO_ANSWER
from tests.unit.sinks.syslog.opening import Site, endings, events
from tests.unit.sinks.syslog.receivers import (
    Conduct,
    Receiver,
    answer_batches_never,
    close_after,
    close_at_once,
    close_unread,
    greet,
    half_close_first,
    lose_all,
    never_close,
    never_read,
    read_all,
    read_slowly,
    reset_after,
    talk,
)

MANY = events(400, 1000)


def site(receiver: Receiver, **settings: Any) -> Site:
    return Site(f"tcp://127.0.0.1:{receiver.port}", **settings)


async def test_batch_that_is_read_to_its_end_counts() -> None:
    with Receiver(read_all) as receiver:
        target = site(receiver)
        batch = target.batch(events(30))

        receipt = await target.deliver(batch.events)

        assert receipt.rejected == {}
        assert receipt.certain_after is None
        assert endings(receiver.messages, batch.payloads)


async def test_every_batch_has_a_connection_of_its_own() -> None:
    with Receiver(read_all) as receiver:
        target = site(receiver)
        async with target.open() as sink:
            for number in range(3):
                await sink.deliver(target.batch(events(number + 1)))

        assert [len(stream) > 0 for stream in receiver.streams] == [True] * 3
        assert len(receiver.messages) == 6


async def test_batch_without_messages_opens_no_connection() -> None:
    with Receiver(read_all) as receiver:
        await site(receiver).deliver([])

        assert receiver.connections == 0


@pytest.mark.parametrize(
    "conduct",
    [
        close_at_once,
        close_after(1),
        close_after(100_000),
        reset_after(1),
        reset_after(100_000),
        half_close_first,
        close_unread,
        never_close,
        never_read,
        talk,
        greet,
    ],
    ids=lambda conduct: conduct.__qualname__.partition(".")[0],
)
async def test_no_unpleasant_receiver_makes_a_batch_count(conduct: Conduct) -> None:
    with Receiver(conduct) as receiver, pytest.raises(SinkUnavailable):
        await site(receiver).deliver(MANY)


@pytest.mark.parametrize("conduct", [close_after(1), reset_after(100_000), never_close, talk])
async def test_no_receiver_gets_the_same_batch_for_ever(conduct: Conduct) -> None:
    with Receiver(conduct) as receiver:
        target = site(receiver)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await target.deliver(MANY)
        for _ in range(2):
            with pytest.raises(SinkDenied):
                await target.deliver(MANY)


async def test_receiver_that_never_closes_is_held_with_what_to_do() -> None:
    with Receiver(never_close) as receiver:
        target = site(receiver)
        for _ in range(2):
            with pytest.raises(SinkUnavailable, match="does not answer half-close"):
                await target.deliver(events(1))
        with pytest.raises(SinkDenied, match=f"^{NO_ANSWER}$"):
            await target.deliver(events(1))


async def test_receiver_that_answers_only_empty_connections_gets_one_try_per_probe() -> None:
    with Receiver(answer_batches_never) as receiver:
        target = site(receiver)
        for _ in range(3):
            with pytest.raises(SinkError):
                await target.deliver(events(1))

        await target.probe()
        with pytest.raises(SinkDenied):
            await target.deliver(events(1))


async def test_good_batch_makes_the_next_failure_a_first_one() -> None:
    with Receiver(reset_after(1), reset_after(1), read_all, reset_after(1)) as receiver:
        target = site(receiver)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await target.deliver(MANY)
        await target.deliver(MANY)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await target.deliver(MANY)


async def test_receiver_that_closes_before_the_first_byte_is_never_held() -> None:
    with Receiver(close_at_once) as receiver:
        target = site(receiver)
        for _ in range(5):
            with pytest.raises(SinkUnavailable):
                await target.deliver(MANY)


async def test_receiver_that_reads_to_the_end_and_loses_it_counts_as_documented() -> None:
    with Receiver(lose_all) as receiver:
        await site(receiver).deliver(events(5))


async def test_slow_receiver_has_all_the_time_it_makes_use_of() -> None:
    with Receiver(read_slowly(0.02)) as receiver:
        target = site(receiver, confirm_timeout="300ms")
        batch = target.batch(MANY)

        began = time.monotonic()
        await target.deliver(batch.events)

        assert time.monotonic() - began > 0.5  # longer than the timeout, which counts from the last sign of life
        assert endings(receiver.messages, batch.payloads)


async def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = Site(f"tcp://127.0.0.1:{port}")

    for _ in range(4):
        with pytest.raises(SinkUnavailable, match="Connection refused"):
            await target.deliver(events(1))


async def test_name_that_does_not_resolve_is_unavailable() -> None:
    with pytest.raises(SinkUnavailable, match="can't be resolved"):
        await Site("tcp://nobody.invalid:514").deliver(events(1))


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(read_all) as receiver, socket.create_server(("127.0.0.1", 0)) as closed:
        answers = [("127.0.0.1", closed.getsockname()[1]), ("127.0.0.1", receiver.port)]
        closed.close()

        async def getaddrinfo(*_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in answers]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        await Site("tcp://siem.example.com:514").deliver(events(1))

        assert len(receiver.messages) == 1


async def test_name_is_resolved_anew_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(read_all) as first, Receiver(read_all) as second:
        ports = [first.port, second.port]

        async def getaddrinfo(*_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", ports.pop(0)))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        target = Site("tcp://siem.example.com:514")
        async with target.open() as sink:
            await sink.deliver(target.batch(events(1)))
            await sink.deliver(target.batch(events(2)))

        assert (len(first.messages), len(second.messages)) == (1, 2)


async def test_ipv6_address_is_reached() -> None:
    with Receiver(read_all, host="::1") as receiver:
        await Site(f"tcp://[::1]:{receiver.port}").deliver(events(2))

        assert len(receiver.messages) == 2


async def test_lines_are_separated_by_line_feeds_where_asked() -> None:
    with Receiver(read_all) as receiver:
        target = site(receiver, framing="lf")
        batch = target.batch(events(3))

        await target.deliver(batch.events)

        assert endings(receiver.stream().split(b"\n"), [*batch.payloads, b""])


async def test_probe_leaves_nothing_behind() -> None:
    with Receiver(read_all) as receiver:
        await site(receiver).probe()

        assert receiver.stream() == b""


@pytest.mark.parametrize(
    ("conduct", "words"),
    [
        (never_close, NO_ANSWER),
        (close_at_once, "closed the connection"),
        (talk, "is it one"),
        (greet, "is it one"),
    ],
)
async def test_probe_says_what_is_wrong(conduct: Conduct, words: str) -> None:
    with Receiver(conduct) as receiver, pytest.raises(SinkError, match=words):
        await site(receiver).probe()


async def test_cancelled_delivery_leaves_no_socket_behind() -> None:
    with Receiver(never_close) as receiver:
        target = site(receiver, confirm_timeout="30s")
        delivering = asyncio.create_task(target.deliver(events(1)))
        await asyncio.to_thread(receiver.until, lambda: len(receiver.streams) == 1)

        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering

        # An unclosed socket would be a ResourceWarning, which is an error here.
