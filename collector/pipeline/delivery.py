"""The loop of one sink: read behind the cursor, deliver, settle, back off.

The cursor moves only inside `Store.settle`, to the end of the contiguous accepted prefix. Whatever fails before that,
the sink is closed, opened again from its stored state, and gets the same events. Nothing here throws an event away:
what a receiver refuses for its content becomes a dead letter in the transaction that moves the cursor past it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from pydantic import BaseModel

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import SinkDenied, SinkUnavailable, StoreFull
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.batching import Batcher, Plan, Stage
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.sink_report import SinkReport
from collector.pipeline.status import SinkStatus
from collector.sinks.base import Batch, BatchLimits, Receipt, Sink, SinkContext, SinkPlugin
from collector.store import Cursor, DeadLetter, NewDeadLetter, Position, Store

log = structlog.get_logger()

_BASE, _CAP = 0.5, 60.0
_HELD_BASE, _HELD_CAP = 5.0, 300.0
_SKIP_SECONDS = 1.0
_ALL_REFUSED = 20
_REFUSED_IN_A_ROW = 50
MAX_DEAD_LETTERS = 10_000


class _Refuses(SinkDenied):
    """The receiver rejects event after event: more likely our mistake or its own than theirs."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A configured sink."""

    name: str
    plugin: SinkPlugin
    config: BaseModel
    stage: Stage
    required: bool


class Delivery:
    """Owns one sink and its cursor. `run` is the loop; `idle` tells whether everything in the log is delivered."""

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
        self._state = cursor.state
        self._store = store
        self._reader = log_
        self._events = events
        self._batcher = Batcher(log_, events, receiver.stage)
        self._clock = clock
        self._refused_in_a_row = 0
        self._settled_at = float("-inf")
        self._skip_to: Position | None = None
        self._wake = asyncio.Event()
        self._retries: deque[DeadLetter] = deque()
        self._failures = Backoff(_BASE, _CAP)
        self._held = Backoff(_HELD_BASE, _HELD_CAP)
        self._report = SinkReport(status, clock)
        self._log = log.bind(sink=receiver.name)

    @property
    def idle(self) -> bool:
        """Nothing waits for this sink."""
        return self.position >= self._reader.end

    def skip(self, position: Position) -> None:
        """Move past what has not been delivered, soon: only ever asked of a sink that is not required."""
        self._skip_to = position
        self._wake.set()

    async def run(self) -> None:
        """Deliver, for ever; open the sink again after each failure."""
        while True:
            try:
                await self._skip_if_asked()
                await self._session()
            except SinkDenied as exc:
                self._report.failure(exc, "held")
                await self._pause(self._held.next())
            except SinkUnavailable as exc:
                self._report.failure(exc, "backing_off")
                wait = self._failures.next()
                await self._pause(wait if exc.retry_after is None else max(wait, exc.retry_after))
            except StoreFull as exc:
                self._report.failure(exc, "backing_off")
                await self._pause(self._failures.next())

    def retry(self, letters: Sequence[DeadLetter]) -> None:
        """Have dead letters sent again through this sink, between two batches, once it is up.

        What is refused again stays a dead letter, with the new reason.
        """
        self._retries.extend(letters)
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        await self._or_woken(self._clock.sleep(seconds))

    async def _or_woken(self, ending: Coroutine[None, None, None]) -> None:
        """Wait for `ending`, but no longer than until there is something to skip or to retry."""
        async with asyncio.TaskGroup() as group:
            ends = {group.create_task(ending), group.create_task(self._wake.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()

    async def _session(self) -> None:
        context = SinkContext(self.receiver.name, self._clock)
        async with self.receiver.plugin.open(self.receiver.config, context, self._state) as sink:
            if self.status.state == "held":
                await self._probe(sink)
            self._report.opened()
            while True:
                await self._turn(sink)

    async def _probe(self, sink: Sink) -> None:
        """End `held` by what can double nothing; after a run of rejections by the first event alone."""
        if self._refused_in_a_row:
            plan = await self._batcher.next(self.position, _one_of(sink), None)
            if len(plan.batch):
                await self._deliver(sink, plan, probing=True)
        else:
            await sink.probe()
        self._log.info("sink takes events again")

    async def _turn(self, sink: Sink) -> None:
        await self._skip_if_asked()
        await self._retry_if_asked(sink)
        if self.status.dead_letters >= MAX_DEAD_LETTERS:
            message = f"{self.status.dead_letters} dead letters wait for a decision: retry or drop them"
            raise SinkDenied(message)
        plan = await self._batcher.next(self.position, sink.limits, sink.partition)
        if len(plan.batch):
            await self._deliver(sink, plan, probing=False)
        elif plan.unformatted:
            await self._settle(plan, 0, {}, None)
        else:
            self.position = max(self.position, plan.end)
            await self._note_skipped()
            await self._or_woken(self._reader.wait(self.position))

    async def _deliver(self, sink: Sink, plan: Plan, *, probing: bool) -> None:
        """Deliver the plan's batch; what the sink defers is sent again alone until it is accepted or refused."""
        began = self._clock.monotonic()
        waiting = list(range(len(plan.batch)))
        rejected: dict[int, str] = {}
        while True:
            part = _part(plan.batch, waiting)
            receipt = await self._send(sink, part)
            rejected |= {waiting[index]: reason for index, reason in receipt.rejected.items()}
            self._guard(part, receipt.rejected, probing=probing)
            waiting = [waiting[index] for index in sorted(receipt.deferred)]
            first = waiting[0] if waiting else len(plan.batch)
            await self._settle(plan, first, rejected, receipt.state)
            if not waiting:
                break
            wait = self._failures.next()
            await self._clock.sleep(wait if receipt.retry_after is None else receipt.retry_after)
        METRICS.sink_deliver_seconds.labels(sink=self.receiver.name).observe(self._clock.monotonic() - began)

    def _guard(self, part: Batch, refused: Mapping[int, str], *, probing: bool) -> None:
        """Hold the sink rather than throw a whole stream of events into the dead letters."""
        if len(refused) < len(part):
            self._refused_in_a_row = 0
            return
        self._refused_in_a_row += len(refused)
        if probing or len(part) >= _ALL_REFUSED or self._refused_in_a_row >= _REFUSED_IN_A_ROW:
            reason = next(iter(refused.values()))
            message = f"the receiver refuses every event, the last one with: {reason}"
            raise _Refuses(message)

    async def _settle(self, plan: Plan, first_waiting: int, rejected: dict[int, str], state: bytes | None) -> None:
        """Move the cursor to before the first event that still waits; try for as long as the volume is full."""
        position = plan.before(first_waiting)
        letters = [letter for where, letter in plan.unformatted if self.settled <= where < position]
        delivered: dict[StreamId, tuple[int, int]] = {}
        accepted = 0
        for index in range(first_waiting):
            origin, event = plan.origins[index], plan.batch.events[index]
            if origin.position < self.settled:
                continue
            if index in rejected:
                letters.append(
                    NewDeadLetter(origin.stream, origin.record, event.uid, event.id, event.fetched_at, rejected[index])
                )
                continue
            events, size = delivered.get(origin.stream, (0, 0))
            delivered[origin.stream] = (events + 1, size + len(plan.batch.payloads[index]))
            accepted += 1
        await self._store_settle(position, state, letters, delivered)
        self.position = self.settled = position
        self._settled_at = self._clock.monotonic()
        self._failures.reset()
        self._held.reset()
        self._report.success(accepted, len(letters))

    async def _store_settle(
        self,
        position: Position,
        state: bytes | None,
        letters: list[NewDeadLetter],
        delivered: dict[StreamId, tuple[int, int]],
        resolved: Sequence[int] = (),
    ) -> None:
        wait = Backoff(_BASE, 10.0)
        while True:
            try:
                await self._store.settle(
                    self.receiver.name,
                    self._destination,
                    position,
                    state=state,
                    dead_letters=letters,
                    delivered=delivered,
                    resolved=resolved,
                )
            except StoreFull as exc:
                # What was accepted must not be sent again: no delivery until this is stored.
                self._report.failure(exc, "backing_off")
                await self._clock.sleep(wait.next())
            else:
                self._state = self._state if state is None else state
                return

    async def _retry_if_asked(self, sink: Sink) -> None:
        while self._retries:  # one by one: each verdict is stored with what the sink now knows
            letter = self._retries[0]
            event = self._events.of_dead_letter(letter)
            try:
                payload = self.receiver.stage.encode(event)
            except Exception as exc:  # noqa: BLE001 -- around format: it failed on this event before
                await self._store.note_attempt(letter.id, f"format error: {type(exc).__name__}")
                self._retries.popleft()
                continue
            receipt = await self._send(sink, Batch(self._destination, [event], [payload]))
            if receipt.rejected:
                await self._store.note_attempt(letter.id, receipt.rejected[0])
            elif not receipt.deferred:
                await self._store_settle(self.settled, receipt.state, [], {}, resolved=[letter.id])
                self.status.dead_letters -= 1
            self._retries.popleft()

    async def _send(self, sink: Sink, batch: Batch) -> Receipt:
        """Store the sink's intent, then deliver."""
        intent = await sink.prepare(batch)
        if intent is not None:
            await self._store.store_state(self.receiver.name, self._destination, intent)
            self._state = intent
        return await sink.deliver(batch)

    async def _note_skipped(self) -> None:
        """Store the cursor of a sink that only passes over others' pages, at most once a second."""
        if self.position == self.settled or self._clock.monotonic() - self._settled_at < _SKIP_SECONDS:
            return
        await self._store_settle(self.position, None, [], {})
        self.settled = self.position
        self._settled_at = self._clock.monotonic()

    async def _skip_if_asked(self) -> None:
        target, self._skip_to = self._skip_to, None
        self._wake.clear()  # retries are looked for right after
        if target is None or target <= self.position:
            return
        lost = await self._store.backlog(self.position)
        left = await self._store.backlog(target)
        skipped = lost.events - left.events
        self._log.error("backlog over its limit, events skipped", events=skipped, until=target.seq)
        await self._store_settle(target, None, [], {})
        self.position = self.settled = target
        self._report.skipped(skipped)


def _one_of(sink: Sink) -> BatchLimits:
    return replace(sink.limits, max_events=1)


def _part(batch: Batch, positions: list[int]) -> Batch:
    if len(positions) == len(batch):
        return batch
    return Batch(batch.destination, [batch.events[i] for i in positions], [batch.payloads[i] for i in positions])
