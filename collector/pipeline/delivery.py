"""The loop of one sink: read behind the cursor, deliver, settle, back off.

The cursor moves only inside `Store.settle`, to the end of the contiguous accepted prefix. Whatever fails before that,
the sink is closed, opened again from its stored state, and gets the same events. Nothing here throws an event away:
what a receiver refuses for its content becomes a dead letter in the transaction that moves the cursor past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import structlog

from collector.clock import Clock
from collector.errors import SinkDenied, SinkError, SinkUnavailable, StoreFull
from collector.model import Event, StreamId
from collector.pipeline.batching import Batcher
from collector.pipeline.bookkeeping import Bookkeeping
from collector.pipeline.carrier import MOST_WAIT, Carrier
from collector.pipeline.convoy import Convoy
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.notices import Notices, Outcome
from collector.pipeline.pausing import pause
from collector.pipeline.probation import Settlement
from collector.pipeline.receiver import SINK_SECONDS, Receiver, deadline
from collector.pipeline.refusals import RefusesAll
from collector.pipeline.retries import Retries
from collector.pipeline.shipment import as_delivered
from collector.pipeline.sink_report import SinkReport
from collector.pipeline.status import SinkStatus
from collector.sinks.base import Receipt, Sink
from collector.store import Cursor, DeadLetter, Position, Store

log = structlog.get_logger()

_BASE, _CAP = 0.5, 60.0
_LEAST_WAIT = 0.1
# For batches that are with a sink of which another one failed: what it answers need not be sent again.
_ANSWER_SECONDS = 10.0
MAX_DEAD_LETTERS = 10_000


class Delivery:
    """Owns one sink and its cursor.

    `run` is the loop, `stop` has it come to rest between two batches.
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
        self.status = status
        self._destination = cursor.destination
        self._store = store
        self._reader = log_.reader(receiver.stage.takes_stream)
        self._events = events
        self._clock = clock
        self._held: Literal["denied", "refuses"] | None = None
        self._skip_to: Position | None = None
        self._retries = Retries(receiver.name, store, events, receiver.stage.encode)
        self._notices = Notices(receiver.stage.encode)
        self._resting = False
        self._stopping = False
        self.stopped = False
        self._asked = asyncio.Event()
        self._report = SinkReport(status, clock, receiver.held)
        self._books = Bookkeeping(receiver.name, cursor, store, clock, self._report)
        self._rendered = receiver.destination
        batcher = Batcher(self._reader, events, receiver.stage, receiver.destination)
        self._carrier = Carrier(cursor.position, self._reader, batcher, self._books, self._report, clock, self._asked)
        self._log = log.bind(sink=receiver.name)

    # -- what others ask of it --------------------------------------------------------------

    @property
    def position(self) -> Position:
        """What lies before it is delivered, or not for this sink."""
        return self._carrier.position

    @property
    def settled(self) -> Position:
        """The cursor as the store has it."""
        return self._carrier.settled

    @property
    def cursor(self) -> Cursor:
        """As the store has it."""
        return Cursor(self.receiver.name, self._destination, self.settled, self._books.state)

    @property
    def asked(self) -> bool:
        """Something beside the log is to be sent."""
        return bool(self._retries) or bool(self._notices)

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
        self._carrier.refusals.forget()
        self.wake()

    def stop(self) -> None:
        """Send nothing more after the batch it is at; `stopped` is true when that is settled, or has failed."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look up from whatever it waits for."""
        self._asked.set()
        self._reader.woken.set()

    def passed(self) -> Cursor | None:
        """The cursor, where it only passed over pages of others: to be stored now and then, nobody is woken for it."""
        target = self.holds
        if not (self._resting or (self.stopped and self.idle)) or target <= self.settled:
            return None
        self._carrier.move(target)
        return self.cursor

    def close(self) -> None:
        """The loop has ended for good."""
        self._reader.close()

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver, for ever; open the sink again after each failure."""
        self._carrier.forget()  # after a crash nothing is known of what was sent
        while not self._stopping:
            self._asked.clear()
            try:
                await self._skip_if_asked()
                await self._session()
            except SinkDenied as exc:
                self._held = "refuses" if isinstance(exc, RefusesAll) else "denied"
                await self._failed(exc, self._carrier.held_waits.next())
            except SinkUnavailable as exc:
                waits = self._carrier.failures if self._held is None else self._carrier.held_waits
                await self._failed(exc, max(waits.next(), exc.retry_after or 0.0))
            except StoreFull as exc:
                await self._failed(exc, self._carrier.failures.next())
        self.stopped = True
        await asyncio.Event().wait()  # until cancelled: a loop that returns looks like one that died

    async def _failed(self, exc: Exception, wait: float) -> None:
        self._carrier.failed()
        self._report.failure(exc, "backing_off" if self._held is None else "held")
        await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody asks for something."""
        await pause(self._clock, min(seconds, MOST_WAIT), self._asked)

    async def _session(self) -> None:
        async with self.receiver.opened(self._clock, self._books.state) as sink:
            if self._held is not None:
                await self._probe(sink)
            if sink.max_in_flight > 1:
                await self._go_together(sink)
            while not self._stopping:
                await self._turn(sink)

    async def _probe(self, sink: Sink) -> None:
        """End `held` by what can double nothing; after a run of rejections by the first event alone."""
        good = True
        if self._held == "denied":
            async with deadline():
                await sink.probe()
        else:
            good = await self._carrier.probe(sink)
        if not good:
            raise SinkUnavailable("the receiver defers the event it was probed with")
        self._held = None
        self._carrier.refusals.forget()
        self._report.recovered()

    async def _go_together(self, sink: Sink) -> None:
        """Have several batches with the sink at the same time; one that fails ends it for all, but not at once."""
        failure: SinkError | StoreFull | None = None
        async with asyncio.TaskGroup() as group:
            convoy = Convoy(group, partial(self._books.send, sink), self._reader.woken)
            try:
                while not self._stopping:
                    await self._turn(sink, convoy)
            except (SinkError, StoreFull) as exc:
                failure = exc
            await self._carrier.bring_in(convoy, SINK_SECONDS if failure is None else _ANSWER_SECONDS)
            convoy.cancel()
        if failure is not None:
            raise failure

    async def _turn(self, sink: Sink, convoy: Convoy | None = None) -> None:
        self._reader.woken.clear()
        self._asked.clear()
        full = self.status.dead_letters >= MAX_DEAD_LETTERS
        if convoy is not None:
            await self._carrier.land(convoy)
            if convoy and (full or self.skipping):
                await self._reader.woken.wait()
                return
        await self._skip_if_asked()
        await self._retry_if_asked(sink)
        if self.status.dead_letters >= MAX_DEAD_LETTERS:
            await self._wait_for_decisions()
        elif self._notices:
            await self._speak(sink)
        elif self.idle and not self._carrier.busy and not self._retries:
            await self._rest()
        elif convoy is None:
            await self._carrier.turn(sink)
        else:
            await self._carrier.launch(sink, convoy)

    async def _rest(self) -> None:
        """Wait for something to deliver."""
        self._carrier.rest()
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

    # -- notices, dead letters, skipping -------------------------------------------------------------

    async def _speak(self, sink: Sink) -> None:
        put_off = await self._notices.some(partial(self._books.send, sink), self._keep, self._rendered)
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
        put_off = await self._retries.some(partial(self._books.send, sink), self._resolve, self._rendered)
        if put_off is not None:
            await self._pause(max(_LEAST_WAIT, put_off.retry_after or _BASE))

    async def _resolve(self, letter: DeadLetter, size: int, receipt: Receipt) -> None:
        tenant = self._events.of_dead_letter(letter).tenant
        delivered = {as_delivered(letter.stream, tenant): (1, size)}
        if receipt.certain_after is not None:
            end = max(self.position, self._carrier.probation.end)
            settlement = Settlement(end, receipt.state, (), delivered, 0, [letter.id])
            self._carrier.probation.add(settlement, self._clock.monotonic() + receipt.certain_after)
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
        self._carrier.forget()
        await self._books.settle(target)
        self._carrier.move(target)
        self._report.skipped(skipped)
