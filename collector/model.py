"""The values that travel through the engine: frozen, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Literal

Severity = Literal["informational", "low", "medium", "high", "critical"]
Kind = Literal["security_event", "detection", "incident", "unparsed", "heartbeat", "test"]

OWNER_UNKNOWN = "owner_unknown"
"""The flag of an event that was to be delivered by its device's owner, who could not be told in time."""

SEVERITIES: tuple[Severity, ...] = ("informational", "low", "medium", "high", "critical")


class Lane(StrEnum):
    """The ways in which a feed is read; each has its own checkpoint. The order is the order of precedence."""

    TIP = "tip"
    SWEEP = "sweep"
    JOB = "job"


def organization_key(organization_id: str) -> str:
    """What a vendor's organization is known by here: its id, however its letters are written."""
    return organization_id.strip().lower()


@dataclass(frozen=True, slots=True)
class StreamId:
    """One feed of one source of one tenant: the unit of dedup."""

    tenant: str
    source: str
    feed: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.source}/{self.feed}"


@dataclass(frozen=True, slots=True)
class Record:
    """One event as the vendor sent it, before and in the log.

    `id` is valid UTF-8 text without lone surrogates and never empty; it decides what counts as the same event.
    `bucket` is the floored minute since the epoch of a field that can't change, 0 where there is none.
    `raw` is the vendor's own bytes of this one event, untouched; `extra` is JSON the source added when fetching.
    """

    id: str
    bucket: int
    recorded_at: datetime | None
    raw: bytes
    extra: bytes | None = None

    @property
    def is_purged(self) -> bool:
        """Whether the event was taken out of the log: nothing is left but its place in the page."""
        return not self.raw


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One lane's position at the vendor. Stored as JSON; only the source that made it understands `run` and `state`.

    `watermark`: vendor time before which this lane has read everything (sweep: begin of the last complete sweep).
    `run`: the unfinished run (its bounds, page token), None between runs. `state`: what the lane keeps between runs.
    All values in `run` and `state` are JSON values.
    """

    watermark: datetime | None = None
    run: Mapping[str, Any] | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of vendor time, start inclusive, end exclusive; `end` None means up to vendor time."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of a feed that stays unreadable however often it is read: the only way past data."""

    start: datetime
    end: datetime
    reason: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a source: records together with the checkpoint that holds once they are stored.

    `more`: fetch again at once. `watermark`: for status and lag, None while a run is incomplete.
    `retry_after`: seconds before this lane is to be asked again. `fetched_at`: the time to put on its events
    (the answer's `Date` where this host's clock is over 30 s off it). `vendor_time`: the vendor's clock at that answer,
    None where it tells none. `clock_skew`: host clock minus vendor clock in seconds, 0.0 where unknown.
    `request_id`: the vendor's name for the answer (x-transaction). `gaps`: to be recorded with the page.
    """

    records: Sequence[Record]
    checkpoint: Checkpoint
    more: bool
    fetched_at: datetime
    watermark: datetime | None = None
    vendor_time: datetime | None = None
    clock_skew: float = 0.0
    retry_after: float | None = None
    request_id: str = ""
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True)
class Normalized:
    """What a vendor's `normalize` reads out of one record; the engine adds the rest of the `Event`.

    `fields`: dotted ECS names to JSON values, unmapped vendor fields under the vendor's own prefix.
    `occurred_at` is the device's clock, unclamped. `unknown`: names of vendor fields and values no table knows.
    """

    id: str
    kind: Kind
    severity: Severity
    severity_vendor: str
    title: str
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None
    organization_id: str = ""
    organization_name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event on its way out: the envelope of the `json` format, of which every structured format is made.

    Times are aware UTC. `raw` is one line of valid UTF-8 JSON (repaired where the vendor's bytes were not, flag
    `repaired`); for kind `unparsed` it is a JSON string when the vendor's bytes were no JSON at all.
    """

    uid: str
    id: str
    vendor: str
    product: str
    tenant: str
    labels: Mapping[str, str]
    organization_id: str
    organization_name: str
    source: str
    feed: str
    kind: Kind
    severity: Severity
    severity_vendor: str
    occurred_at: datetime
    recorded_at: datetime | None
    fetched_at: datetime
    title: str
    fields: Mapping[str, Any]
    flags: tuple[str, ...]
    raw: bytes

    @property
    def late_seconds(self) -> float:
        """How long after it happened the event was fetched, in seconds."""
        return round((self.fetched_at - self.occurred_at).total_seconds(), 3)


def event_uid(vendor: str, feed: str, record_id: str) -> str:
    """The event's name in every sink: 32 hex digits made of the vendor's words alone, so it survives our renames."""
    return event_hash(vendor, feed, record_id).hex()


def event_hash(vendor: str, feed: str, record_id: str) -> bytes:
    """The 16 bytes behind `event_uid`, which are also the dedup key."""
    text = f"{vendor}\x1f{feed}\x1f{record_id}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
