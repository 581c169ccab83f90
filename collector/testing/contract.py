"""What every sink must do, whatever it is: checks to run against a plugin, built-in or not.

`ScriptedLog` stands in for the engine: it keeps a cursor and a state as the store would, and cuts batches. A check
fails with an `AssertionError` that says what was broken. Run each of `SINK_CHECKS` against a fresh `SinkSubject`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pydantic import BaseModel

from collector.clock import Clock
from collector.errors import SinkError
from collector.model import Event
from collector.sinks.base import Batch, Receipt, Sink, SinkContext, SinkPlugin
from collector.testing.builders import make_event
from collector.testing.clock import FakeClock

_MAX_STATE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class SinkSubject:
    """A plugin under test. `received` tells the payloads its receiver has by now, in order.

    `exactly_once` is false for sinks whose documented gap allows doubles when a batch is cut short. `encode` is the
    format, `events` make up the log. `clock` gives the time of each opening: one that stands still, unless it is told.
    """

    plugin: SinkPlugin
    config: BaseModel
    received: Callable[[], Sequence[bytes]]
    encode: Callable[[Event], bytes]
    exactly_once: bool = True
    events: Sequence[Event] = tuple(make_event(number) for number in range(60))
    clock: Callable[[], Clock] = FakeClock


class ScriptedLog:
    """The engine's side of a delivery: cursor and state move as the store would move them, and survive any crash."""

    def __init__(self, subject: SinkSubject) -> None:
        self.subject = subject
        self.cursor = 0
        self.state: bytes | None = None

    @property
    def left(self) -> int:
        return len(self.subject.events) - self.cursor

    def open(self) -> AbstractAsyncContextManager[Sink]:
        """The sink as after a start."""
        context = SinkContext("contract", self.subject.clock(), self.subject.encode)
        return self.subject.plugin.open(self.subject.config, context, self.state)

    def batch(self, sink: Sink, most: int) -> Batch:
        """The next events, as many as the sink's limits allow and no more than `most`."""
        events: list[Event] = []
        parts: set[str] = set()
        for event in self.subject.events[self.cursor : self.cursor + min(most, sink.limits.max_events)]:
            parts.add(sink.partition(event))
            if len(parts) > (sink.limits.max_destinations or len(parts)):
                break
            events.append(event)
        return Batch("", events, [self.subject.encode(event) for event in events])

    async def deliver(self, sink: Sink, most: int, *, settle: bool = True) -> Receipt:
        """One batch; with `settle=False` the crash comes between the receipt and the store."""
        batch = self.batch(sink, most)
        intent = await sink.prepare(batch)
        self.state = self.state if intent is None else intent
        receipt = await sink.deliver(batch)
        if settle:
            waiting = min(receipt.deferred, default=len(batch))
            self.cursor += waiting
            self.state = self.state if receipt.state is None else receipt.state
        return receipt

    async def run_dry(self, most: int) -> None:
        """Deliver everything that is left, in one session."""
        async with self.open() as sink:
            while self.left:
                await self.deliver(sink, most)

    def check(self) -> None:
        """Everything there, nothing invented; in order and once, where the sink promises it."""
        expected = [self.subject.encode(event) for event in self.subject.events]
        got = list(self.subject.received())
        missing = Counter(expected) - Counter(got)
        _require(not missing, f"{missing.total()} events are missing")
        _require(set(got) <= set(expected), "the receiver has something that was never sent")
        if self.subject.exactly_once:
            _require(len(got) == len(expected), f"{len(got) - len(expected)} events are there twice")
            _require(got == expected, "the order was changed")


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


async def delivers_in_order(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    await log.run_dry(7)
    log.check()


async def survives_a_stop_after_every_batch(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    size = 0
    while log.left:
        size = size % 5 + 1
        async with log.open() as sink:
            await log.deliver(sink, size)
    log.check()


async def survives_a_crash_before_every_settle(subject: SinkSubject) -> None:
    """The batches after each start have other borders than those before."""
    log = ScriptedLog(subject)
    size = 0
    while log.left:
        size = size % 9 + 1
        async with log.open() as sink:
            await log.deliver(sink, size, settle=False)
        async with log.open() as sink:
            await log.deliver(sink, (size * 4) % 7 + 1)
    log.check()


async def survives_an_intent_without_a_delivery(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    for size in (3, 8, 1):
        async with log.open() as sink:
            intent = await sink.prepare(log.batch(sink, size))
            log.state = log.state if intent is None else intent
        async with log.open() as sink:
            await log.deliver(sink, 4)
    await log.run_dry(6)
    log.check()


async def survives_cancellation(subject: SinkSubject) -> None:
    """Cancelled at another await each time, a little later each time."""
    log = ScriptedLog(subject)
    for turns in range(12):
        async with log.open() as sink:
            delivering = asyncio.create_task(log.deliver(sink, 5))
            for _ in range(turns):
                await asyncio.sleep(0)
            delivering.cancel()
            await asyncio.wait([delivering])
    await log.run_dry(6)
    log.check()


async def accepts_a_batch_of_nothing(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    async with log.open() as sink:
        receipt = await log.deliver(sink, 0)
    _require(not receipt.rejected, "rejected a position of an empty batch")
    _require(not receipt.deferred, "deferred a position of an empty batch")
    await log.run_dry(10)
    log.check()


async def names_only_positions_of_the_batch(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    async with log.open() as sink:
        while log.left:
            count = len(log.batch(sink, 11))
            receipt = await log.deliver(sink, 11)
            named = {*receipt.rejected, *receipt.deferred}
            _require(named <= set(range(count)), "a receipt names positions the batch has not")
            _require(not set(receipt.rejected) & receipt.deferred, "both rejected and deferred")
            size = len(receipt.state or b"")
            _require(size <= _MAX_STATE_BYTES, f"a state of {size} bytes")


async def has_sensible_limits(subject: SinkSubject) -> None:
    async with ScriptedLog(subject).open() as sink:
        limits, in_flight = sink.limits, sink.max_in_flight
    _require(1 <= limits.max_events <= 500, "max_events is to be 1 to 500")
    _require(limits.max_bytes >= 1, "max_bytes is to be positive")
    _require((limits.max_destinations or 1) >= 1, "max_destinations is to be positive")
    _require(in_flight >= 1, "max_in_flight is to be positive")


async def probes_without_a_trace(subject: SinkSubject) -> None:
    log = ScriptedLog(subject)
    async with log.open() as sink:
        before = list(subject.received())
        try:
            await sink.probe()
        except SinkError as exc:
            raise AssertionError(f"the receiver works, but the probe says: {exc}") from exc
        _require(list(subject.received()) == before, "the probe left an event behind")
    await log.run_dry(10)
    log.check()


SINK_CHECKS: tuple[Callable[[SinkSubject], Awaitable[None]], ...] = (
    delivers_in_order,
    survives_a_stop_after_every_batch,
    survives_a_crash_before_every_settle,
    survives_an_intent_without_a_delivery,
    survives_cancellation,
    accepts_a_batch_of_nothing,
    names_only_positions_of_the_batch,
    has_sensible_limits,
    probes_without_a_trace,
)
