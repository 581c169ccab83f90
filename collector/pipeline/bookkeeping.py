"""What one destination keeps in the store: its cursor, and the state its sink asked to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import StoreFull
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.receiver import deadline
from collector.pipeline.sink_report import SinkReport
from collector.sinks.base import Batch, Receipt, Sink
from collector.store import Cursor, NewDeadLetter, Position, Store

_BASE, _CAP = 0.5, 10.0


class Bookkeeping:
    """Writes intents before a sink touches anything, and settlements after; `state` is what `open` gets next time."""

    def __init__(self, sink: str, cursor: Cursor, store: Store, clock: Clock, report: SinkReport) -> None:
        self.state = cursor.state
        self._sink = sink
        self._destination = cursor.destination
        self._store = store
        self._clock = clock
        self._report = report

    async def send(self, sink: Sink, batch: Batch) -> Receipt:
        """Store the sink's intent, then deliver."""
        async with deadline():
            intent = await sink.prepare(batch)
        if intent is not None:
            await self._store.store_state(self._sink, self._destination, intent)
            self.state = intent
        began = self._clock.monotonic()
        async with deadline():
            receipt = await sink.deliver(batch)
        METRICS.sink_deliver_seconds.labels(sink=self._sink).observe(self._clock.monotonic() - began)
        return receipt

    async def settle(
        self,
        position: Position,
        state: bytes | None = None,
        letters: Sequence[NewDeadLetter] = (),
        delivered: Mapping[StreamId, tuple[int, int]] | None = None,
        resolved: Sequence[int] = (),
    ) -> None:
        """Settle; try for as long as the volume is full: what was accepted must not be sent again.

        `delivered`: events and bytes by stream, under the tenant that the events carry.
        """
        waits = Backoff(_BASE, _CAP)
        while True:
            try:
                await self._store.settle(
                    self._sink,
                    self._destination,
                    position,
                    state=state,
                    dead_letters=letters,
                    delivered=delivered,
                    resolved=resolved,
                )
            except StoreFull as exc:
                self._report.failure(exc, "backing_off")
                await self._clock.sleep(waits.next())
            else:
                self.state = self.state if state is None else state
                for stream, (events, size) in (delivered or {}).items():
                    METRICS.count_delivered(stream.tenant, stream.feed, self._sink, events, size)
                return
