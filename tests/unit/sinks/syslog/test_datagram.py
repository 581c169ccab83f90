"""One datagram per message."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from collector.errors import SinkUnavailable
from collector.testing import FakeClock
from tests.unit.sinks.syslog.opening import Site, endings, events
from tests.unit.sinks.syslog.receivers import datagrams


def received(sock: socket.socket, count: int) -> list[bytes]:
    return [sock.recv(70_000) for _ in range(count)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_every_event_is_one_datagram(host: str) -> None:
    with datagrams(host) as sock:
        address = f"[{host}]" if ":" in host else host
        target = Site(f"udp://{address}:{sock.getsockname()[1]}")
        batch = target.batch(events(20))

        receipt = await target.deliver(batch.events)

        assert not receipt.rejected
        assert receipt.certain_after is None
        assert endings(received(sock, 20), batch.payloads)


async def test_largest_datagram_goes_through_and_what_is_larger_is_reduced() -> None:
    with datagrams() as sock:
        target = Site(f"udp://127.0.0.1:{sock.getsockname()[1]}", max_message="64KiB", header="none")
        overhead = len(target.batch(events(1, 1)).payloads[0]) - 1

        await target.deliver([*events(1, 65_507 - overhead), *events(1, 65_508 - overhead)])

        first, second = received(sock, 2)
        assert len(first) == 65_507
        assert b"truncated" in second


async def test_nobody_there_is_heard_with_the_next_datagram() -> None:
    with datagrams() as sock:
        port = sock.getsockname()[1]
    target = Site(f"udp://127.0.0.1:{port}")

    with pytest.raises(SinkUnavailable, match="Connection refused"):
        await target.deliver(events(50))


async def test_name_is_resolved_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with datagrams() as first, datagrams() as second:
        answers = [first.getsockname(), second.getsockname()]

        async def getaddrinfo(*_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", answers.pop(0))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        target = Site("udp://siem.example.com", clock=clock)
        async with target.open() as sink:
            await sink.deliver(target.batch(events(1)))
            await sink.deliver(target.batch(events(1)))
            await clock.advance(60)
            await sink.deliver(target.batch(events(1)))

        assert len(received(first, 2)) == 2
        assert len(received(second, 1)) == 1


class Full:
    """A socket whose buffer is full for a while."""

    def __init__(self, *failures: OSError) -> None:
        self.failures = list(failures)
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)
        return len(message)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("failure", [BlockingIOError(), OSError(errno.ENOBUFS, "no buffer space")])
async def test_full_buffer_is_waited_for(failure: OSError) -> None:
    target = Site("udp://127.0.0.1:9", clock=FakeClock(hurry=True))
    full: Any = Full(failure, failure)
    async with target.open() as sink:
        sink._sock, sink._resolved_at = full, target.clock.monotonic()  # type: ignore[attr-defined]  # a datagram sink
        await sink.deliver(target.batch(events(2)))

    assert len(full.sent) == 2


async def test_probe_finds_out_whether_the_name_resolves() -> None:
    await Site("udp://127.0.0.1:9").probe()
    with pytest.raises(SinkUnavailable, match="can't be resolved"):
        await Site("udp://nobody.invalid").probe()


async def test_no_way_to_the_receiver_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("255.255.255.255", 9))]  # broadcasting is not allowed

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    with pytest.raises(SinkUnavailable, match="no way to"):
        await Site("udp://siem.example.com").deliver(events(1))
