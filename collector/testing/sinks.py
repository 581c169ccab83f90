"""A sink that remembers, and fails when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pydantic import BaseModel

from collector.errors import SinkError
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext, SinkPlugin


class RecordingSink:
    """A receiver in memory that recognizes what it has already got by the event's uid, as Elasticsearch does.

    The same object is opened again and again: it is the receiver, too.

    - `script`: what the next deliveries do, one entry each: an exception is raised before anything is accepted; a
      callable gets the batch and returns the receipt (what it neither rejects nor defers is accepted), or raises after
      `accept`. When the script has ended, everything is accepted.
    - `lines`: payloads accepted, in order. `batches`: sizes of what was delivered. `states`: what `open` was given.
    - `down`: what `probe` raises, None when it succeeds.
    """

    def __init__(self, limits: BatchLimits | None = None, *, max_in_flight: int = 1) -> None:
        self.limits = limits or BatchLimits()
        self.max_in_flight = max_in_flight
        self.script: list[SinkError | Callable[[Batch], Receipt]] = []
        self.lines: list[bytes] = []
        self.batches: list[int] = []
        self.states: list[bytes | None] = []
        self.closed = 0
        self.down: SinkError | None = None
        self._seen: set[str] = set()

    def partition(self, event: Event) -> str:  # noqa: ARG002 -- the protocol's
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:  # noqa: ARG002 -- the protocol's
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        self.batches.append(len(batch))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, SinkError):
            raise step
        receipt = Receipt(state=b"%d" % len(self.batches)) if step is None else step(batch)
        self.accept(batch, without={*receipt.rejected, *receipt.deferred})
        return receipt

    async def probe(self) -> None:
        if self.down is not None:
            raise self.down

    def accept(self, batch: Batch, without: set[int] | frozenset[int] = frozenset()) -> None:
        """Take what is new of a batch."""
        for position, (event, payload) in enumerate(zip(batch.events, batch.payloads, strict=True)):
            if position not in without and event.uid not in self._seen:
                self._seen.add(event.uid)
                self.lines.append(payload)


class RecordingConfig(BaseModel):
    """A configuration with nothing to configure."""


def recording_plugin(sink: RecordingSink) -> SinkPlugin:
    """A plugin whose every opening gives this one sink."""

    @asynccontextmanager
    async def opened(state: bytes | None) -> AsyncIterator[RecordingSink]:
        sink.states.append(state)
        try:
            yield sink
        finally:
            sink.closed += 1

    def open_(
        config: BaseModel,  # noqa: ARG001 -- the protocol's
        context: SinkContext,  # noqa: ARG001 -- the protocol's
        state: bytes | None,
    ) -> AbstractAsyncContextManager[RecordingSink]:
        return opened(state)

    return SinkPlugin(config=RecordingConfig, open=open_)
