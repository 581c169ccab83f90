"""Takes batches of the log to one destination and settles what arrived: one at a time, or several in flight.

The cursor follows the contiguous accepted prefix, whatever order the sink answers in. What a sink took or refused
behind an event that waits is remembered while this process lives, so that a failure has only those sent again of which
nothing is known; after a crash everything that was not settled comes again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import SinkError, StoreFull
from collector.pipeline.batching import Batcher, Plan
from collector.pipeline.bookkeeping import Bookkeeping
from collector.pipeline.convoy import Convoy
from collector.pipeline.flight import Flight
from collector.pipeline.log import LogReader
from collector.pipeline.pausing import pause
from collector.pipeline.probation import LOOK_SECONDS, Probation, Settlement, together
from collector.pipeline.refusals import Refusals
from collector.pipeline.shipment import Shipment
from collector.pipeline.sink_report import SinkReport
from collector.sinks.base import Batch, Receipt, Sink
from collector.store import Position

_LEAST_WAIT = 0.1
MOST_WAIT = 3600.0
_BASE, _CAP = 0.5, 60.0
_HELD_BASE, _HELD_CAP = 5.0, 300.0


class Carrier:
    """Everything before `position` is delivered or not for this sink; `settled` is the cursor as the store has it.

    `failures` and `held_waits` say how long to wait after the next failure; they begin anew when something arrives.
    """

    def __init__(  # noqa: PLR0917 -- its collaborators
        self,
        position: Position,
        reader: LogReader,
        batcher: Batcher,
        books: Bookkeeping,
        report: SinkReport,
        clock: Clock,
        asked: asyncio.Event,
    ) -> None:
        self.position = self.settled = position
        self.failures = Backoff(_BASE, _CAP)
        self.held_waits = Backoff(_HELD_BASE, _HELD_CAP)
        self.refusals = Refusals()
        self.probation = Probation()
        self._flight = Flight()
        self._reader = reader
        self._batcher = batcher
        self._books = books
        self._report = report
        self._clock = clock
        self._asked = asked

    @property
    def busy(self) -> bool:
        """Something was read that is not settled."""
        return bool(self._flight) or bool(self.probation)

    @property
    def ahead(self) -> Position:
        """Behind what was read. The reader is told nothing of it: it may have to come back."""
        return max(self.position, self.probation.end, self._flight.end)

    def forget(self) -> None:
        """Begin again at what is settled: nothing is known of what was sent."""
        self._flight.clear()
        self.probation.clear()
        self._batcher.forget()

    def failed(self) -> None:
        """The sink failed: read again what it may have got, but not what it is known to have."""
        self._flight.fail(certain=not self.probation)
        self.probation.clear()
        self._batcher.forget()

    def move(self, position: Position) -> None:
        """The cursor was moved by others."""
        self.forget()
        self.position = self.settled = position

    def rest(self) -> None:
        """Nothing is there to be sent."""
        self.position = self._reader.reach(self.position)
        self._batcher.forget()

    # -- one at a time ------------------------------------------------------------------------

    async def turn(self, sink: Sink) -> None:
        """Send one batch, or what of one waits; or see whether what was sent counts by now."""
        waiting = self._flight.undecided()
        if waiting:
            await self.send_waiting(sink, waiting[0], most=None, probing=False)
        elif self.probation:
            await self._go_on(sink)
        else:
            self.position = self._reader.reach(self.position)
            await self._deliver(sink, await self._next(sink))

    async def probe(self, sink: Sink) -> bool:
        """Send the first event alone; returns whether anything was decided."""
        waiting = self._flight.undecided()
        if waiting:
            return await self.send_waiting(sink, waiting[0], most=1, probing=True)
        plan = await self._batcher.next(self.ahead, replace(sink.limits, max_events=1), None)
        return await self._deliver(sink, plan, probing=True)

    async def _go_on(self, sink: Sink) -> None:
        """Deliver behind what is not certain yet; settle what has become so."""
        if await self._look(sink):
            return
        if self.probation.is_full or self._reader.has_all(self.ahead):
            await pause(self._clock, LOOK_SECONDS, self._reader.woken)
            return
        await self._deliver(sink, await self._next(sink))

    async def _look(self, sink: Sink) -> bool:
        """Ask the sink, now and then, whether what it took holds; settle what has become certain."""
        now = self._clock.monotonic()
        if not self.probation.look(now):
            return False
        await self._books.send(sink, Batch(self._batcher.destination, (), ()))
        certain = self.probation.due(now)
        if certain is not None:
            self.failures.reset()
            self.held_waits.reset()
            await self.store_settlement(certain)
        return True

    async def _deliver(self, sink: Sink, plan: Plan, *, probing: bool = False) -> bool:
        shipment = self._begin(plan)
        if shipment is not None and shipment.waiting:
            return await self.send_waiting(sink, shipment, most=None, probing=probing)
        await self._settle_landed()
        return True

    async def send_waiting(self, sink: Sink, shipment: Shipment, *, most: int | None, probing: bool) -> bool:
        """Send what of the batch is not decided; what the sink defers goes again, alone, at a later turn.

        Returns whether anything was decided.
        """
        positions, part = shipment.part(most)
        receipt = await self._books.send(sink, part)
        wait = self._note(shipment, positions, receipt, probing=probing)
        await self._settle_landed()
        if wait is not None:
            await pause(self._clock, wait, self._asked)
        return len(receipt.deferred) < len(part)

    # -- several in flight --------------------------------------------------------------------

    async def launch(self, sink: Sink, convoy: Convoy) -> None:
        """Give the sink one more batch; where it may have no more, wait for something to come of those it has."""
        if await self._look(sink):
            return
        now = self._clock.monotonic()
        shipment = self._flight.ready(now)
        if shipment is None and self._may_read(sink):
            if not self.busy:
                self.position = self._reader.reach(self.position)
            shipment = self._begin(await self._next(sink))
            if shipment is None or not shipment.waiting:
                await self._settle_landed()
                return
        if shipment is not None:
            convoy.launch(shipment)
            return
        due = self._flight.next_due()
        waits = [LOOK_SECONDS] * bool(self.probation) + ([] if due is None else [due - now])
        if waits:
            await pause(self._clock, min(waits), self._reader.woken)
        else:
            await self._reader.woken.wait()

    async def land(self, convoy: Convoy) -> None:
        """Take in what the sink has answered by now, and settle what can be.

        Raises:
            SinkError, StoreFull: one of the batches failed; what came of the others is noted.
        """
        failure: SinkError | StoreFull | None = None
        for shipment, positions, answer in convoy.answers():
            try:
                if isinstance(answer, Exception):
                    raise answer
                self._note(shipment, positions, answer, probing=False)
            except (SinkError, StoreFull) as exc:
                failure = failure or exc
        await self._settle_landed()
        if failure is not None:
            raise failure

    async def bring_in(self, convoy: Convoy, seconds: float) -> None:
        """Wait, at most so long, for those that are under way: what is not known to have arrived is sent again."""
        ends = self._clock.monotonic() + seconds
        while convoy and self._clock.monotonic() < ends:
            self._reader.woken.clear()
            await pause(self._clock, ends - self._clock.monotonic(), self._reader.woken)
            with suppress(SinkError, StoreFull):
                await self.land(convoy)
        with suppress(SinkError, StoreFull):
            await self.land(convoy)

    def _may_read(self, sink: Sink) -> bool:
        return (
            self._flight.has_room(sink.max_in_flight)
            and not self.probation.is_full
            and not self._reader.has_all(self.ahead)
        )

    # -- one batch ----------------------------------------------------------------------------

    async def _next(self, sink: Sink) -> Plan:
        return await self._batcher.next(self.ahead, sink.limits, sink.partition)

    def _begin(self, plan: Plan) -> Shipment | None:
        """Take a plan into the row; one that brings nothing to send or settle, and has nothing before it, moves us."""
        if not len(plan.batch) and not plan.unformatted and not self.busy:
            self.position = max(self.position, plan.end)
            return None
        return self._flight.add(plan)

    def _note(self, shipment: Shipment, positions: list[int], receipt: Receipt, *, probing: bool) -> float | None:
        """Take in a receipt; returns how long to wait before what it defers is sent again, None: it defers nothing."""
        self.refusals.judge(len(positions), receipt, probing=probing)
        shipment.note(positions, receipt)
        now = self._clock.monotonic()
        if receipt.certain_after is not None:
            shipment.certain = max(shipment.certain or now, now + receipt.certain_after)
        elif len(receipt.deferred) < len(positions):
            self.failures.reset()
            if not probing:
                self.held_waits.reset()
        if not receipt.deferred:
            return None
        if len(receipt.deferred) < len(positions):
            shipment.waits.reset()
        wait = shipment.waits.next() if receipt.retry_after is None else max(_LEAST_WAIT, receipt.retry_after)
        wait = min(wait, MOST_WAIT)
        shipment.due = now + wait
        return wait

    async def _settle_landed(self) -> None:
        """Settle what stands before the first event that waits, at once or when it is certain."""
        now, ready = self._clock.monotonic(), []
        for certain, settlement in self._flight.landed():
            if certain is None and not self.probation:
                ready.append(settlement)
            else:  # behind what is not certain yet nothing is settled either
                self.probation.add(settlement, now if certain is None else certain)
        if ready:
            await self.store_settlement(together(ready))

    async def store_settlement(self, settlement: Settlement) -> None:
        """Settle what is certain."""
        position, letters, resolved = settlement.position, settlement.letters, settlement.resolved
        await self._books.settle(position, settlement.state, letters, settlement.delivered, resolved)
        self.position = self.settled = position
        self._report.settled(settlement.accepted, len(letters))
        for _ in resolved:
            self._report.resolved()
