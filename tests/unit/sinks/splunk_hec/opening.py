"""A HEC sink opened as the delivery loop would open it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from collector.clock import Clock
from collector.formats import FORMATS
from collector.model import Event
from collector.sinks.base import Batch, Receipt, Sink, SinkContext
from collector.sinks.splunk_hec import PLUGIN, HecConfig
from collector.testing import FakeClock, make_batch, make_event
from tests.unit.sinks.splunk_hec.emulator import TOKEN, Emulator


class Site:
    """One configured sink at one receiver; its memory outlives its openings."""

    def __init__(
        self, *urls: str, form: str = "json", clock: Clock | None = None, token: str = TOKEN, **settings: Any
    ) -> None:
        given = {"url": list(urls), "token": token, "format": form, "timeout": "2s", **settings}
        self.config = HecConfig.model_validate(given)
        self.encode: Callable[[Event], bytes] = FORMATS[form].encode
        self.clock = clock or FakeClock(hurry=True)
        self.context = SinkContext("splunk", self.clock, self.encode)

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


def events(count: int, **changes: Any) -> list[Event]:
    return [make_event(number, **changes) for number in range(count)]


def uids(found: Sequence[Event]) -> list[str]:
    return [event.uid for event in found]


@asynccontextmanager
async def receiving(**settings: Any) -> AsyncIterator[Emulator]:
    emulator = Emulator(**settings)
    async with emulator.serve():
        yield emulator
