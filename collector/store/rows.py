"""The values the store gives and takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from collector.model import Record, StreamId

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch: exact, unlike `timestamp()`."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)


def from_day(day: int) -> date:
    """The inverse of `to_day`."""
    return EPOCH.date() + timedelta(days=day)


def to_day(moment: datetime) -> int:
    """Days since the epoch."""
    return (moment - EPOCH).days


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The next event to read: page number and index within that page's records."""

    seq: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of the log: the new records of one answer, in the vendor's order. Never empty."""

    seq: int
    stream: StreamId
    source_type: str
    fetched_at: datetime
    records: Sequence[Record]
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pages read in log order; `end` is where to read on, also past pages that were not asked for."""

    pages: Sequence[LogPage]
    end: Position


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a page's records: `seq` is None when every record was known."""

    appended: int
    duplicates: int
    seq: int | None
    records: Sequence[Record] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A sink's position in the log for one destination, and the state its receipts asked to keep."""

    sink: str
    destination: str
    position: Position
    state: bytes | None


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """An event a sink refused for its content, on its way into the store."""

    stream: StreamId
    record: Record
    uid: str
    event_id: str
    fetched_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused event as the store holds it."""

    id: int
    sink: str
    destination: str
    stream: StreamId
    source_type: str
    uid: str
    event_id: str
    fetched_at: datetime
    reason: str
    at: datetime
    attempts: int
    record: Record = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies before a cursor: events, bytes as stored, when the oldest was fetched (None: nothing waits)."""

    events: int
    stored_bytes: int
    oldest: datetime | None
    streams: frozenset[StreamId] = frozenset()


@dataclass(frozen=True, slots=True)
class DailyCount:
    """What a sink accepted of a tenant's feed in a day (UTC); `sink` "": what was fetched, under the source's tenant.

    `rows`: of how many such counts this is the sum. `tenant` and `feed` are None where it is more than one.
    """

    day: date
    tenant: str | None
    feed: str | None
    sink: str
    events: int
    size: int
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes.

    `used`: the file without its free pages, and its WAL. `free_pages`: what the file holds for reuse.
    """

    used: int
    free_pages: int
    wal: int
    volume_free: int
    volume_size: int
