"""From a record of the log to the event that goes out: what every vendor's events have in common.

The vendor's `normalize` reads the record; here the event gets what is ours to say: its uid, tenant, labels, a
believable time, bytes that can be sent. Pure, so that the log can be read again at any time with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from collector.model import Event, Normalized, Record, StreamId, event_uid, organization_key
from collector.repair import repair_json
from collector.timestamps import format_utc

Normalize = Callable[[str, Record], Normalized]

# A device's clock is believed this far back from the vendor's recording and this far ahead of our fetching.
MAX_AGE = timedelta(days=30)
MAX_AHEAD = timedelta(minutes=5)

CLOCK = "clock"
REPAIRED = "repaired"
UNPARSED = "unparsed"
ORIGINAL_TIME = "edr.occurred_at_original"
UNPARSED_TITLE = "unparsed record"

_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """What all records of one stream share.

    `organizations`: vendor organization id, as `organization_key` has it, to the tenant on its events;
    `mapped_labels`: the labels of those tenants that have some of their own.
    """

    stream: StreamId
    vendor: str
    product: str
    labels: Mapping[str, str]
    organizations: Mapping[str, str]
    mapped_labels: Mapping[str, Mapping[str, str]]


def make_event(  # noqa: PLR0913 -- by name only; what of a stream, a tenant and a page goes into an event
    record: Record,
    *,
    stream: StreamId,
    vendor: str,
    product: str,
    labels: Mapping[str, str],
    organizations: Mapping[str, str],
    fetched_at: datetime,
    normalize: Normalize,
    mapped_labels: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> tuple[Event, tuple[str, ...]]:
    """Make the event of one record; also the names of vendor fields and values that no table knows, to be counted.

    Never raises for what a record holds: what can't be understood goes out as kind `unparsed`, raw intact, with the
    class of the error in `error.type`. The same record gives the same event each time.
    """
    origin = Origin(stream, vendor, product, labels, organizations, mapped_labels)
    raw, repaired = repair_json(record.raw)
    readable = record if raw is record.raw else replace(record, raw=raw)
    try:
        seen = normalize(stream.feed, readable)
        event = _event(seen, origin, record, raw, fetched_at)
        unknown = seen.unknown
    except Exception as error:  # noqa: BLE001 -- a vendor module's trouble with one record must not hold the others
        event = _event(_unparsed(record, error), origin, record, raw, fetched_at)
        unknown = ()
    return (replace(event, flags=(*event.flags, REPAIRED)) if repaired else event), unknown


def _event(seen: Normalized, origin: Origin, record: Record, raw: bytes, fetched_at: datetime) -> Event:
    recorded_at = seen.recorded_at or record.recorded_at
    claimed = seen.occurred_at or recorded_at or fetched_at
    occurred_at = _believable(claimed, recorded_at or fetched_at, fetched_at)
    fields, flags = seen.fields, seen.flags
    if occurred_at != claimed:
        fields = {**fields, ORIGINAL_TIME: format_utc(claimed)}
        flags = (*flags, CLOCK)
    mapped = origin.organizations.get(organization_key(seen.organization_id)) if origin.organizations else None
    return Event(
        uid=event_uid(origin.vendor, origin.stream.feed, record.id),
        id=seen.id,
        vendor=origin.vendor,
        product=origin.product,
        tenant=mapped or origin.stream.tenant,
        labels=origin.mapped_labels.get(mapped, origin.labels) if mapped else origin.labels,
        organization_id=seen.organization_id,
        organization_name=seen.organization_name,
        source=origin.stream.source,
        feed=origin.stream.feed,
        kind=seen.kind,
        severity=seen.severity,
        severity_vendor=seen.severity_vendor,
        occurred_at=occurred_at,
        recorded_at=recorded_at,
        fetched_at=fetched_at,
        title=seen.title,
        fields=fields,
        flags=flags,
        raw=raw,
    )


def _believable(claimed: datetime, recorded_at: datetime, fetched_at: datetime) -> datetime:
    earliest = recorded_at - MAX_AGE if recorded_at - _FIRST_MOMENT > MAX_AGE else _FIRST_MOMENT
    # The later bound wins where a vendor claims to have recorded the event long after we fetched it.
    return min(max(claimed, earliest), fetched_at + MAX_AHEAD)


def _unparsed(record: Record, error: Exception) -> Normalized:
    return Normalized(
        id=record.id,
        kind="unparsed",
        severity="medium",
        severity_vendor="",
        title=UNPARSED_TITLE,
        # Not the error's text, which may quote the record.
        fields={"error.type": type(error).__name__},
        flags=(UNPARSED,),
    )
