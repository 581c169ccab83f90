"""The loop of one sink: read behind the cursor, deliver, settle, back off.

The cursor moves only inside `Store.settle`, to the end of the contiguous accepted prefix. Whatever fails before that,
the sink is closed, opened again from its stored state, and gets the same events. Nothing here throws an event away:
what a receiver refuses for its content becomes a dead letter in the transaction that moves the cursor past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal

import structlog

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import SinkDenied, SinkUnavailable, StoreFull
from collector.model import Event, StreamId
from collector.pipeline.batching import Batcher, Plan, refused
from collector.pipeline.bookkeeping import Bookkeeping
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.notices import Notices, Outcome
from collector.pipeline.pausing import pause
from collector.pipeline.probation import LOOK_SECONDS, Probation, Settlement
from collector.pipeline.receiver import Receiver, deadline
from collector.pipeline.refusals import Refusals, RefusesAll
from collector.pipeline.retries import Retries
from collector.pipeline.shipment import Shipment
from collector.pipeline.sink_report import SinkReport
from collector.pipeline.status import SinkStatus
from collector.sinks.base import Batch, Receipt, Sink
from collector.store import Cursor, DeadLetter, Position, Store

log = structlog.get_logger()

_BASE, _CAP = 0.5, 60.0
_HELD_BASE, _HELD_CAP = 5.0, 300.0
_FULL_CAP = 10.0
_LEAST_WAIT, _MOST_WAIT = 0.1, 3600.0
MAX_DEAD_LETTERS = 10_000


class Delivery:
    """Owns one sink and its cursor.

    `run` is the loop, `stop` has it come to rest between two batches. Everything before `position` is delivered or not
    for this sink; `settled` is the cursor as the store has it.
    """

    def __init__(  # noqa: PLR0917 -- the loop's collaborators
        self,
        receiver: Receiver,
        cursor: Cursor,
        store: Store,
        log_: Log,
        events: Events,
        clock: Clock,
        status: SinkStatus,
    ) -> None:
        self.receiver = receiver
        self.position = cursor.position
        self.settled = cursor.position
        self.status = status
        self._destination = cursor.destination
        self._store = store
        self._reader = log_.reader(receiver.stage.takes_stream)
        self._events = events
        self._batcher = Batcher(self._reader, events, receiver.stage)
        self._clock = clock
        self._shipment: Shipment | None = None
        self._probation = Probation()
        self._refusals = Refusals()
        self._held: Literal["denied", "refuses"] | None = None
        self._skip_to: Position | None = None
        self._retries = Retries(receiver.name, store, events, receiver.stage.encode)
        self._notices = Notices(receiver.stage.encode)
        self._resting = False
        self._stopping = False
        self.stopped = False
        self._asked = asyncio.Event()
        self._failures = Backoff(_BASE, _CAP)
        self._held_waits = Backoff(_HELD_BASE, _HELD_CAP)
        self._report = SinkReport(status, clock)
        self._books = Bookkeeping(receiver.name, cursor, store, clock, self._report)
        self._log = log.bind(sink=receiver.name)

    # -- what others ask of it --------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Nothing in the log waits for this sink."""
        return self._reader.has_all(self.position)

    @property
    def holds(self) -> Position:
        """What lies before it is of no more use to this sink, whatever happens."""
        return self._reader.reach(self.position)

    @property
    def skipping(self) -> bool:
        """It was asked to skip and has not done so yet."""
        return self._skip_to is not None

    def streams(self) -> Sequence[StreamId]:
        """The streams it takes."""
        return self._reader.streams()

    def skip(self, position: Position) -> None:
        """Move past what has not been delivered, soon: only ever asked of a sink that is not required."""
        self._skip_to = position
        self.wake()

    def retry(self, letters: Iterable[int]) -> None:
        """Have dead letters sent again through this sink, between two batches, once it is up.

        What is refused again stays a dead letter, with the new reason.
        """
        self._retries.ask(letters)
        self.wake()

    def say(self, event: Event) -> Outcome:
        """Have an event of our own sent, between two batches, once the sink is up; see `Notices`."""
        outcome = self._notices.add(event)
        self.wake()
        return outcome

    def release(self) -> None:
        """Try again at once, as if it had never failed: somebody may have changed the reason why it is held."""
        self._held = None
        self._refusals.forget()
        self.wake()

    def stop(self) -> None:
        """Send nothing more after the batch it is at; `stopped` is true when that is settled, or has failed."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look up from whatever it waits for."""
        self._asked.set()
        self._reader.woken.set()

    async def pass_over(self) -> None:
        """Store that the cursor is past pages of others; called now and then, since nobody is woken for those."""
        target = self.holds
        if not self._resting or target <= self.settled:
            return
        self.position = self.settled = target  # before the wait: the loop may deliver, and settle, meanwhile
        with suppress(StoreFull):  # nothing is lost by a cursor that stays behind
            await self._store.settle(self.receiver.name, self._destination, target)

    def close(self) -> None:
        """The loop has ended for good."""
        self._reader.close()

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver, for ever; open the sink again after each failure."""
        self._shipment = None  # after a crash nothing is known of it
        self._probation.clear()
        while not self._stopping:
            self._asked.clear()
            try:
                await self._skip_if_asked()
                await self._session()
            except SinkDenied as exc:
                self._held = "refuses" if isinstance(exc, RefusesAll) else "denied"
                await self._failed(exc, self._held_waits.next())
            except SinkUnavailable as exc:
                waits = self._failures if self._held is None else self._held_waits
                await self._failed(exc, max(waits.next(), exc.retry_after or 0.0))
            except StoreFull as exc:
                await self._failed(exc, self._failures.next())
        self.stopped = True
        await asyncio.Event().wait()  # until cancelled: a loop that returns looks like one that died

    async def _failed(self, exc: Exception, wait: float) -> None:
        if self._shipment is not None and not self._shipment.scattered:
            self._shipment = None
        self._probation.clear()
        self._batcher.forget()
        self._report.failure(exc, "backing_off" if self._held is None else "held")
        await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody asks for something."""
        await pause(self._clock, min(seconds, _MOST_WAIT), self._asked)

    async def _session(self) -> None:
        async with self.receiver.opened(self._clock, self._books.state) as sink:
            if self._held is not None:
                await self._probe(sink)
            while not self._stopping:
                await self._turn(sink)

    async def _probe(self, sink: Sink) -> None:
        """End `held` by what can double nothing; after a run of rejections by the first event alone."""
        good = True
        if self._held == "denied":
            async with deadline():
                await sink.probe()
        elif self._shipment is not None:
            good = await self._send_waiting(sink, self._shipment, most=1, probing=True)
        else:
            plan = await self._batcher.next(self.position, replace(sink.limits, max_events=1), None)
            good = await self._deliver(sink, plan, probing=True)
        if not good:
            raise SinkUnavailable("the receiver defers the event it was probed with")
        self._held = None
        self._refusals.forget()
        self._report.recovered()

    async def _turn(self, sink: Sink) -> None:
        self._reader.woken.clear()
        self._asked.clear()
        await self._skip_if_asked()
        await self._retry_if_asked(sink)
        if self.status.dead_letters >= MAX_DEAD_LETTERS:
            await self._wait_for_decisions()
        elif self._notices:
            await self._speak(sink)
        elif self._shipment is not None:
            await self._send_waiting(sink, self._shipment, most=None, probing=False)
        elif self._probation:
            await self._go_on(sink)
        elif self.idle and not self._retries:
            await self._rest()
        else:
            self.position = self._reader.reach(self.position)
            plan = await self._batcher.next(self.position, sink.limits, sink.partition)
            await self._deliver(sink, plan, probing=False)

    async def _go_on(self, sink: Sink) -> None:
        """Deliver behind what is not certain yet; settle what has become so."""
        now = self._clock.monotonic()
        if self._probation.look(now):
            await self._books.send(sink, Batch(self._destination, (), ()))
            certain = self._probation.due(now)
            if certain is not None:
                self._failures.reset()
                self._held_waits.reset()
                await self._store_settlement(certain)
            return
        ahead = self._probation.end  # of which the reader is told nothing yet: it may have to come back
        if self._probation.is_full or self._reader.has_all(ahead):
            await pause(self._clock, LOOK_SECONDS, self._reader.woken)
            return
        plan = await self._batcher.next(ahead, sink.limits, sink.partition)
        await self._deliver(sink, plan, probing=False)

    async def _rest(self) -> None:
        """Wait for something to deliver."""
        self.position = self._reader.reach(self.position)
        self._batcher.forget()
        self._report.recovered()
        self._resting = True
        try:
            await self._reader.woken.wait()
        finally:
            self._resting = False

    async def _wait_for_decisions(self) -> None:
        if self._retries:
            return
        exc = SinkDenied(f"{MAX_DEAD_LETTERS} dead letters wait for a decision: retry or drop them")
        self._report.failure(exc, "held")
        await self._pause(_CAP)

    # -- one batch --------------------------------------------------------------------------

    async def _deliver(self, sink: Sink, plan: Plan, *, probing: bool) -> bool:
        """Begin with a plan; one without a batch only moves the cursor. Returns whether anything was decided."""
        waiting = list(range(len(plan.batch)))
        if waiting:
            self._shipment = Shipment(plan, waiting)
            return await self._send_waiting(sink, self._shipment, most=None, probing=probing)
        if plan.unformatted:
            await self._settle(plan, 0, {}, Receipt())
        elif self._probation:
            self._probation.add(Settlement(plan.end), self._clock.monotonic())
        else:
            self.position = max(self.position, plan.end)
        return True

    async def _send_waiting(self, sink: Sink, shipment: Shipment, *, most: int | None, probing: bool) -> bool:
        """Send what of the batch is not decided; what the sink defers goes again, alone, at a later turn.

        Returns whether anything was decided.
        """
        positions, part = shipment.part(most)
        receipt = await self._books.send(sink, part)
        self._refusals.judge(len(part), receipt, probing=probing)
        shipment.note(positions, receipt)
        await self._settle(shipment.plan, shipment.first_waiting, shipment.refused, receipt)
        decided = len(receipt.deferred) < len(part)
        if decided and receipt.certain_after is None:
            self._failures.reset()
            if not probing:
                self._held_waits.reset()
        if not shipment.waiting:
            self._shipment = None
        elif receipt.deferred:
            wait = self._failures.next() if receipt.retry_after is None else max(_LEAST_WAIT, receipt.retry_after)
            await self._pause(wait)
        return decided

    async def _settle(self, plan: Plan, first_waiting: int, rejected: dict[int, str], receipt: Receipt) -> None:
        """Move the cursor to before the first event that still waits, at once or when the receipt is certain."""
        position = plan.before(first_waiting)
        done = max(self.settled, self._probation.end)
        letters = [letter for where, letter in plan.unformatted if done <= where < position]
        delivered: dict[StreamId, tuple[int, int]] = {}
        accepted = 0
        for index in range(first_waiting):
            origin, event = plan.origins[index], plan.batch.events[index]
            if origin.position < done:
                continue
            if index in rejected:
                letters.append(refused(origin, event, rejected[index]))
                continue
            events, size = delivered.get(origin.stream, (0, 0))
            delivered[origin.stream] = (events + 1, size + len(plan.batch.payloads[index]))
            accepted += 1
        settlement = Settlement(position, receipt.state, letters, delivered, accepted)
        if receipt.certain_after is None and not self._probation:
            await self._store_settlement(settlement)
        else:  # behind what is not certain yet nothing is settled either
            self._probation.add(settlement, self._clock.monotonic() + (receipt.certain_after or 0.0))

    async def _store_settlement(self, settlement: Settlement) -> None:
        """Settle what is certain."""
        position, letters, resolved = settlement.position, settlement.letters, settlement.resolved
        await self._books.settle(position, settlement.state, letters, settlement.delivered, resolved)
        self.position = self.settled = position
        self._report.settled(settlement.accepted, len(letters))
        for _ in resolved:
            self._report.resolved()

    # -- notices, dead letters, skipping -------------------------------------------------------------

    async def _speak(self, sink: Sink) -> None:
        put_off = await self._notices.some(partial(self._books.send, sink), self._keep, self._destination)
        if put_off is not None:
            await self._pause(max(_LEAST_WAIT, put_off.retry_after or _BASE))

    async def _keep(self, receipt: Receipt) -> None:
        if not receipt.rejected:
            self._report.spoke()
        if receipt.state is not None:  # the cursor stays: nothing of the log was sent
            await self._books.settle(self.settled, receipt.state)

    async def _retry_if_asked(self, sink: Sink) -> None:
        if not self._retries:
            return
        put_off = await self._retries.some(partial(self._books.send, sink), self._resolve, self._destination)
        if put_off is not None:
            await self._pause(max(_LEAST_WAIT, put_off.retry_after or _BASE))

    async def _resolve(self, letter: DeadLetter, size: int, receipt: Receipt) -> None:
        delivered = {letter.stream: (1, size)}
        if receipt.certain_after is not None:
            end = max(self.position, self._probation.end)
            settlement = Settlement(end, receipt.state, (), delivered, 0, [letter.id])
            self._probation.add(settlement, self._clock.monotonic() + receipt.certain_after)
            return
        await self._books.settle(self.settled, receipt.state, (), delivered, resolved=[letter.id])
        self._report.resolved()

    async def _skip_if_asked(self) -> None:
        target, self._skip_to = self._skip_to, None
        if target is None or target <= self.position:
            return
        lost = await self._store.backlog(self.position, self.streams())
        left = await self._store.backlog(target, self.streams())
        skipped = lost.events - left.events
        self._log.error(
            "backlog over its limit, events skipped", events=skipped, since=self.position.seq, until=target.seq
        )
        self._shipment = None
        self._probation.clear()
        await self._books.settle(target)
        self.position = self.settled = target
        self._report.skipped(skipped)
