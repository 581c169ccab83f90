"""Cutting the log into batches for one sink: route, format, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collector import faults
from collector.model import Event, Record, StreamId
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.sinks.base import Batch, BatchLimits
from collector.store import LogPage, NewDeadLetter, Position

_READ_BYTES = 1 << 20
_SLICE = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """What of a sink's configuration decides on its events."""

    takes_stream: Callable[[StreamId], bool]
    takes: Callable[[Event], bool]
    encode: Callable[[Event], bytes]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event of a batch stands in the log."""

    stream: StreamId
    record: Record
    position: Position


@dataclass(slots=True)
class Plan:
    """A batch together with what settling it needs.

    `origins[i]` belongs to `batch.events[i]`; `end` is the position behind everything the plan covers, events that the
    route does not take included; `unformatted` are events that no format could write, and where they stand.
    """

    batch: Batch
    origins: Sequence[Origin]
    end: Position
    unformatted: Sequence[tuple[Position, NewDeadLetter]] = ()

    def before(self, index: int) -> Position:
        """The cursor that leaves event `index` and all behind it undelivered."""
        return self.end if index >= len(self.origins) else self.origins[index].position


@dataclass(slots=True)
class _Draft:
    events: list[Event] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    unformatted: list[tuple[Position, NewDeadLetter]] = field(default_factory=list)
    partitions: set[str] = field(default_factory=set)
    size: int = 0


class Batcher:
    """Reads on from wherever it is asked; holds no position of its own."""

    def __init__(self, log: Log, events: Events, stage: Stage) -> None:
        self._log = log
        self._events = events
        self._stage = stage

    async def next(self, after: Position, limits: BatchLimits, partition: Callable[[Event], str] | None) -> Plan:
        """The next batch behind `after`; an empty one only moves the cursor, or is at the end of the log."""
        draft = _Draft()
        end = after
        while True:
            chunk = await self._log.read(end, self._stage.takes_stream, _READ_BYTES)
            for page in chunk.pages:
                stopped = await self._take(page, after, draft, limits, partition)
                if stopped is not None:
                    return self._plan(draft, stopped)
                end = Position(page.seq + 1)
            if chunk.end == end or draft.events or not chunk.pages:
                return self._plan(draft, max(chunk.end, end))
            end = chunk.end

    async def _take(
        self,
        page: LogPage,
        after: Position,
        draft: _Draft,
        limits: BatchLimits,
        partition: Callable[[Event], str] | None,
    ) -> Position | None:
        """Add the page's events to the draft; returns where it had to stop, None if it took them all."""
        events = self._events.of_page(page)
        first = after.offset if page.seq == after.seq else 0
        for offset in range(first, len(events)):
            if offset % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)  # other loops get their turn: formatting is the dearest stage
            event = events[offset]
            if not self._stage.takes(event):
                continue
            here = Position(page.seq, offset)
            if not self._add(event, Origin(page.stream, page.records[offset], here), draft, limits, partition):
                return here
        return None

    def _add(
        self,
        event: Event,
        origin: Origin,
        draft: _Draft,
        limits: BatchLimits,
        partition: Callable[[Event], str] | None,
    ) -> bool:
        if len(draft.events) + len(draft.unformatted) >= limits.max_events:
            return False
        try:
            payload = self._stage.encode(event)
        except Exception as exc:  # noqa: BLE001 -- a format that fails on one event must not stop the others
            reason = f"format error: {type(exc).__name__}"
            letter = NewDeadLetter(origin.stream, origin.record, event.uid, event.id, event.fetched_at, reason)
            draft.unformatted.append((origin.position, letter))
            return True
        if draft.events and draft.size + len(payload) + 1 > limits.max_bytes:
            return False
        if partition is not None and limits.max_destinations is not None:
            name = partition(event)
            if name not in draft.partitions and len(draft.partitions) >= limits.max_destinations:
                return False
            draft.partitions.add(name)
        draft.size += len(payload) + 1
        draft.events.append(event)
        draft.payloads.append(payload)
        draft.origins.append(origin)
        return True

    def _plan(self, draft: _Draft, end: Position) -> Plan:
        faults.point("format.after")
        return Plan(Batch("", draft.events, draft.payloads), draft.origins, end, draft.unformatted)
