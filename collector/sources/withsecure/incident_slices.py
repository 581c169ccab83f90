"""Items of the incident endpoints become records: of each only its name, its state and two times are read.

An incident lives: each state of it is a record, named `incidentId@updatedTimestamp#hash` with a hash over status, risk
level and resolution, since nobody vouches that every change moves the time. A detection is immutable and named by its
`detectionId`; what it belongs to stands in `Record.extra`, for a detection itself names the incident by its UUID alone.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import orjson

from collector.model import Record
from collector.sources.slicing import content_id, moment_of
from collector.sources.withsecure.slicing import is_name, minute_of, read_head
from collector.timestamps import format_utc


class _Incident(msgspec.Struct):
    incidentId: object = None  # noqa: N815 -- the vendor's name, as all below
    incidentPublicId: object = None  # noqa: N815
    organizationId: object = None  # noqa: N815
    name: object = None
    status: object = None
    riskLevel: object = None  # noqa: N815
    resolution: object = None
    createdTimestamp: object = None  # noqa: N815
    updatedTimestamp: object = None  # noqa: N815


class _Detection(msgspec.Struct):
    detectionId: object = None  # noqa: N815
    createdTimestamp: object = None  # noqa: N815
    initialReceivedTimestamp: object = None  # noqa: N815


class _Extra(msgspec.Struct):
    incident: dict[str, str]


_INCIDENT = msgspec.json.Decoder(_Incident)
_DETECTION = msgspec.json.Decoder(_Detection)
_LONGEST_NAME = 1000
_CLOSED = frozenset({"closed"})


class Belonging(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of an incident beside each of its detections; `created` is milliseconds since the epoch."""

    id: str
    public_id: str = ""
    name: str = ""
    organization_id: str = ""
    created: int | None = None

    def extra(self) -> bytes:
        """For `Record.extra`; none of the incident's times, which would say nothing about the detection."""
        told = {
            "incidentId": self.id,
            "incidentPublicId": self.public_id,
            "name": self.name,
            "organizationId": self.organization_id,
        }
        return orjson.dumps({"incident": {key: value for key, value in told.items() if value}})


def incident_record(raw: bytes) -> Record:
    """One state of one incident."""
    head = read_head(raw, _INCIDENT)
    updated = moment_of(head.updatedTimestamp)
    identity = content_id(raw, _none)
    number = _name(head.incidentId)
    if number:
        when = _word(head.updatedTimestamp) if updated is None else format_utc(updated)
        state = orjson.dumps([_word(head.status), _word(head.riskLevel), _word(head.resolution)])
        identity = f"{number}@{when}#{blake2b(state, digest_size=4).hexdigest()}"
    return Record(
        id=identity,
        bucket=minute_of(moment_of(head.createdTimestamp)),
        recorded_at=updated,
        raw=raw,
    )


def belonging_of(raw: bytes) -> Belonging | None:
    """The incident whose detections are to be read; None where it has no name to ask for them by."""
    head = read_head(raw, _INCIDENT)
    number = _name(head.incidentId)
    if not number:
        return None
    created = moment_of(head.createdTimestamp)
    return Belonging(
        number,
        _word(head.incidentPublicId),
        _word(head.name)[:_LONGEST_NAME],
        _word(head.organizationId),
        None if created is None else round(created.timestamp() * 1000),
    )


def organization_of(record: Record) -> str:
    """The id of the organization of a record of this feed; "" where it has none."""
    if record.extra is None:
        return _word(read_head(record.raw, _INCIDENT).organizationId)
    return msgspec.json.decode(record.extra, type=_Extra).incident.get("organizationId", "")


def is_open(raw: bytes) -> bool:
    """Whether more may happen in an incident; what can't be told counts as open."""
    return _word(read_head(raw, _INCIDENT).status) not in _CLOSED


def detection_record(raw: bytes, extra: bytes) -> Record:
    """One detection."""
    head = read_head(raw, _DETECTION)
    created = moment_of(head.createdTimestamp)
    return Record(
        id=_name(head.detectionId) or content_id(raw, _none),
        bucket=minute_of(created),
        recorded_at=created or moment_of(head.initialReceivedTimestamp),
        raw=raw,
        extra=extra,
    )


def _name(value: object) -> str:
    """An id as text, a number too; "" where it can be none."""
    if type(value) is int:
        return str(value)
    return value if is_name(value) else ""


def _none(_: str) -> bool:
    """No member of these records changes without making them others."""
    return False


def _word(value: object) -> str:
    """A scalar as text that can be stored; "" for anything else."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return "" if value is None or isinstance(value, (list, dict, bool)) else str(value)
