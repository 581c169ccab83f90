"""A syslog sink opened as the delivery loop would open it, again and again with one memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from collector.clock import Clock
from collector.formats import FORMATS
from collector.model import Event
from collector.sinks.base import Batch, Receipt, Sink, SinkContext
from collector.sinks.syslog import PLUGIN, SyslogConfig
from collector.testing import FakeClock, make_batch, make_event

QUICK = {"connect_timeout": "2s", "confirm_timeout": "150ms", "send_timeout": "150ms"}


class Site:
    """One configured sink; `deliver` opens it for one batch, as after a failure."""

    def __init__(self, address: str, *, form: str = "json", clock: Clock | None = None, **settings: Any) -> None:
        self.config = SyslogConfig.model_validate({**QUICK, "address": address, "format": form, **settings})
        self.encode: Callable[[Event], bytes] = FORMATS[form].encode
        self.clock = clock or FakeClock()
        self.context = SinkContext("siem", self.clock, self.encode)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Sink]:
        async with PLUGIN.open(self.config, self.context, None) as sink:
            yield sink

    def batch(self, events: Sequence[Event]) -> Batch:
        return make_batch(events, self.encode)

    async def deliver(self, events: Sequence[Event]) -> Receipt:
        async with self.open() as sink:
            return await sink.deliver(self.batch(events))

    async def probe(self) -> None:
        async with self.open() as sink:
            await sink.probe()


def events(count: int, size: int = 0) -> list[Event]:
    """So many events, each with a record of about so many bytes."""
    padding = b'{"p":"%s"}' % (b"x" * size)
    return [make_event(number, raw=padding) if size else make_event(number) for number in range(count)]


def endings(messages: Sequence[bytes], expected: Sequence[bytes]) -> bool:
    """Whether each message ends in its payload, in order."""
    return len(messages) == len(expected) and all(
        message.endswith(payload) for message, payload in zip(messages, expected, strict=True)
    )
