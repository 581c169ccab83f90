"""Cutting the log into batches for one sink: route, format, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from collector import faults
from collector.model import Event, Record, StreamId
from collector.pipeline.events import Events
from collector.pipeline.log import LogReader
from collector.sinks.base import Batch, BatchLimits
from collector.store import Chunk, LogPage, NewDeadLetter, Position

# As stored, which is a fifth of the vendor's bytes: what a batch leaves of a chunk waits in memory for the next one.
_READ_BYTES = 128 << 10
# The loop's turn is given up after so much work: an event counts one, and one more for each of these bytes.
_SLICE = 100
_SLICE_BYTES = 4096

Partition = Callable[[Event], str]


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
    """A batch that is being filled."""

    destination: str
    limits: BatchLimits
    partition: Partition | None
    events: list[Event] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    unformatted: list[tuple[Position, NewDeadLetter]] = field(default_factory=list)
    destinations: set[str] = field(default_factory=set)
    size: int = 0

    def add(self, event: Event, origin: Origin, encode: Callable[[Event], bytes]) -> bool:
        """Whether the event found room."""
        if len(self.events) + len(self.unformatted) >= self.limits.max_events:
            return False
        try:
            payload = encode(event)
        except Exception as exc:  # noqa: BLE001 -- a format that fails on one event must not stop the others
            self.unformatted.append((origin.position, refused(origin, event, format_error(exc))))
            return True
        if self.events and self.size + len(payload) + 1 > self.limits.max_bytes:
            return False
        if not self._reaches(event):
            return False
        self.size += len(payload) + 1
        self.events.append(event)
        self.payloads.append(payload)
        self.origins.append(origin)
        return True

    def _reaches(self, event: Event) -> bool:
        most = self.limits.max_destinations
        if self.partition is None or most is None:
            return True
        name = self.partition(event)
        if name not in self.destinations and len(self.destinations) >= most:
            return False
        self.destinations.add(name)
        return True

    def plan(self, end: Position) -> Plan:
        faults.point("format.after")
        return Plan(Batch(self.destination, self.events, self.payloads), self.origins, end, self.unformatted)


class Batcher:
    """Reads on from wherever it is asked; keeps nothing but what it has read ahead."""

    def __init__(self, reader: LogReader, events: Events, stage: Stage, destination: str = "") -> None:
        self.destination = destination
        self._reader = reader
        self._events = events
        self._stage = stage
        self._ahead: tuple[Position, Chunk] | None = None
        self._work = 0

    async def next(self, after: Position, limits: BatchLimits, partition: Partition | None) -> Plan:
        """The next batch behind `after`; an empty one only moves the cursor, or is at the end of the log."""
        draft = _Draft(self.destination, limits, partition)
        end = after
        while True:
            chunk = await self._read(end)
            for page in chunk.pages:
                stopped = await self._take(page, after, draft)
                if stopped is not None:
                    return draft.plan(stopped)
                end = Position(page.seq + 1)
            ended = chunk.end <= end or not chunk.pages
            end = max(chunk.end, end)
            if ended or draft.events:
                return draft.plan(end)

    def forget(self) -> None:
        """Let go of what was read ahead."""
        self._ahead = None

    async def _read(self, after: Position) -> Chunk:
        if self._ahead is not None:
            start, chunk = self._ahead
            if start <= after < chunk.end:
                return Chunk([page for page in chunk.pages if page.seq >= after.seq], chunk.end)
        chunk = await self._reader.read(after, _READ_BYTES)
        self._ahead = (after, chunk) if chunk.pages else None
        return chunk

    async def _take(self, page: LogPage, after: Position, draft: _Draft) -> Position | None:
        """Add the page's events to the draft; returns where it had to stop, None if it took them all."""
        events = self._events.of_page(page)
        first = after.offset if page.seq == after.seq else 0
        await self._give_way(1)
        for offset in range(first, len(events)):
            if page.records[offset].is_purged:
                continue
            event = events[offset]
            await self._give_way(1 + len(event.raw) // _SLICE_BYTES)
            if not self._stage.takes(event):
                continue
            here = Position(page.seq, offset)
            if not draft.add(event, Origin(page.stream, page.records[offset], here), self._stage.encode):
                return here
        return None

    async def _give_way(self, work: int) -> None:
        """Let other loops have their turn now and then: formatting is the dearest stage."""
        self._work += work
        if self._work >= _SLICE:
            self._work = 0
            await asyncio.sleep(0)


def refused(origin: Origin, event: Event, reason: str) -> NewDeadLetter:
    """The dead letter of an event of the log."""
    return NewDeadLetter(
        origin.stream, origin.record, event.uid, storable(event.id), event.fetched_at, storable(reason)
    )


def format_error(exc: Exception) -> str:
    """Why there is no payload; without the error's own text, which may quote the event."""
    return f"format error: {type(exc).__name__}"


def storable(text: str) -> str:
    """Without lone surrogates: a verdict that can't be stored would have the whole batch sent again, for ever."""
    return text.encode("utf-8", "replace").decode()
