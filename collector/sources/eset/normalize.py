"""A detection or an incident of ESET Connect, read into the fields of the envelope.

Both generations of detections are read, told apart by their keys alone. What has an ECS name gets it; whatever else
the record says is kept as `eset.<path>`, so that nothing is lost but what would stand there twice. Every key may be
missing, null or of another type; keys and codes are open sets, and what is new is told as `unknown`.

A detection has the device's clock alone and no `recorded_at`. An incident is one event for each of its states: it
occurred and was recorded when that state began, `updateTime`; `event.start` is when the incident did, `createTime`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from collector.model import OWNER_UNKNOWN, Normalized, Record, Severity
from collector.repair import repair_json
from collector.sources import values
from collector.sources.eset import codes, detection_fields, incident_fields
from collector.sources.eset.detection_fields import CATEGORIES, DEVICE_EXTRA, UNKNOWN_CATEGORY
from collector.sources.eset.incident_fields import INCIDENT, INCIDENT_EXTRA
from collector.sources.eset.reading import Reading, is_nothing
from collector.sources.mitre import tactics_in, techniques_in, threat_fields
from collector.timestamps import format_utc

# By the vendor's words, as its syslog export has them; those of the scale stand for words it has no number for.
SEVERITY_NUMBERS = {
    "severity_level_diagnostic": 2,
    "severity_level_informational": 2,
    "severity_level_low": 5,
    "severity_level_medium": 7,
    "severity_level_high": 8,
    "incident_severity_level_low": 5,
    "incident_severity_level_medium": 7,
    "incident_severity_level_high": 8,
    "informational": 2,
    "low": 5,
    "medium": 7,
    "high": 8,
}

SEVERITY_UNKNOWN = "severity_unknown"
MAX_TITLE = 1000

_NO_TITLE = "ESET incident"
_FILE_TYPES = frozenset({"", "file"})
_OWNER, _DEVICES = "owner", "devices"
_ENVELOPES = ("detection", "incident")


def normalize(feed: str, record: Record) -> Normalized:
    """Read one record; pure.

    Raises:
        ValueError: the record is no JSON object.
    """
    document = _document(record.raw)
    extra = _extra(record.extra)
    if feed == "incidents":
        return _incident(document, extra, record)
    return _detection(document, extra, record)


def _document(raw: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # The slower parser takes what is valid and orjson refuses: numbers larger than a double.
        document = json.loads(repair_json(raw)[0])
    if not isinstance(document, dict):
        raise ValueError("the record is no JSON object")  # noqa: TRY004 -- what is wrong is the value, not a caller
    for name in _ENVELOPES:  # as the single get wraps it
        inner = document.get(name)
        if len(document) == 1 and isinstance(inner, dict):
            return inner
    return document


def _extra(extra: bytes | None) -> Mapping[str, Any]:
    """What the source added; nothing where it can't be read, since the record does not need it."""
    try:
        parsed = orjson.loads(extra) if extra else {}
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _detection(document: Mapping[str, Any], extra: Mapping[str, Any], record: Record) -> Normalized:
    reading = Reading()
    severity, severity_vendor = _severity(document, "severityLevel", reading)
    category = _category(document, reading)
    title = _title(document, ("displayName", "typeName", "circumstances"), category.title, reading)
    if category.named and title == document.get("displayName"):
        reading.fields[category.named] = title
    table = detection_fields.detection_table(is_file=_is_file(document), inbound=_is_inbound(document))
    reading.read(document, table, skip=detection_fields.READ)
    if isinstance(device := extra.get("device"), dict):
        _read_device(device, reading)
    _keep_id(document, record, reading)
    _place_techniques(document, ("displayName", "typeName", "circumstances"), reading)
    owner, owner_flags = _owner(document, extra)
    return Normalized(
        id=_id(document, record),
        kind="detection",
        severity=severity or "medium",
        severity_vendor=severity_vendor,
        title=title,
        occurred_at=_moment(document, "occurTime", reading),
        recorded_at=record.recorded_at,
        organization_id=owner,
        fields=reading.fields,
        flags=(*(() if severity else (SEVERITY_UNKNOWN,)), *owner_flags),
        unknown=reading.unknown,
    )


def _incident(document: Mapping[str, Any], extra: Mapping[str, Any], record: Record) -> Normalized:
    reading = Reading()
    severity, severity_vendor = _severity(document, "severity", reading)
    title = _title(document, ("displayName", "description"), _NO_TITLE, reading)
    reading.fields["event.kind"] = "alert"
    reading.fields["event.category"] = ["intrusion_detection"]
    reading.fields["event.type"] = ["info"]
    reading.read(document, INCIDENT, skip=incident_fields.READ)
    reading.read(extra, INCIDENT_EXTRA, skip=(_OWNER, _DEVICES))
    _read_devices(document, extra, reading)
    owner, owner_flags = _owner(document, extra)
    created, updated = (_moment(document, key, reading) for key in ("createTime", "updateTime"))
    if created:
        reading.fields["event.start"] = format_utc(created)
    _keep_id(document, record, reading)
    _place_techniques(document, ("displayName", "description"), reading)
    changed = updated or created
    return Normalized(
        id=_id(document, record),
        kind="incident",
        severity=severity or "medium",
        severity_vendor=severity_vendor,
        title=title,
        occurred_at=changed,
        recorded_at=changed or record.recorded_at,
        organization_id=owner,
        fields=reading.fields,
        flags=(*(() if severity else (SEVERITY_UNKNOWN,)), *owner_flags),
        unknown=reading.unknown,
    )


def _owner(document: Mapping[str, Any], extra: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Whose it is, where the source was to find out, and the flags of the event where it could not.

    What has no device but a tenant of Cloud Office is that tenant's.
    """
    if _OWNER not in extra:
        return "", ()
    owner = values.text(extra[_OWNER]) or values.text(document.get("cloudOfficeTenantUuid"))
    return (owner, ()) if owner else ("", (OWNER_UNKNOWN,))


def _id(document: Mapping[str, Any], record: Record) -> str:
    # A record without an id of the vendor's has one of ours, made of what it says.
    return values.text(document.get("uuid")) or record.id


def _keep_id(document: Mapping[str, Any], record: Record, reading: Reading) -> None:
    if "uuid" in document and values.text(document["uuid"]) != _id(document, record):
        reading.keep("uuid", document["uuid"])


def _severity(document: Mapping[str, Any], key: str, reading: Reading) -> tuple[Severity | None, str]:
    said = document.get(key)
    word = codes.SEVERITY.word(said).upper()
    severity = codes.SEVERITIES.get(word)
    if not codes.SEVERITY.known(said):
        reading.tell_unknown(key, said)
        if not isinstance(said, str | int):
            reading.keep(key, said)
    return severity, values.text(said) or ""


def _category(document: Mapping[str, Any], reading: Reading) -> detection_fields.Category:
    said = document.get("category")
    word = codes.CATEGORY.word(said)
    category = CATEGORIES.get(word.upper(), UNKNOWN_CATEGORY)
    if not codes.CATEGORY.known(said):
        reading.tell_unknown("category", said)
        if not word:
            reading.keep("category", said)
    if word:
        reading.fields["rule.category"] = said
    reading.fields["event.kind"] = "alert"
    reading.fields["event.category"] = (
        [category.ecs, "email"] if isinstance(document.get("email"), dict) else [category.ecs]
    )
    reading.fields["event.type"] = ["info"]
    return category


def _title(document: Mapping[str, Any], sources: tuple[str, ...], otherwise: str, reading: Reading) -> str:
    context = document.get("context")
    known = {**context, **document} if isinstance(context, dict) else document
    title = next((said for key in sources if (said := _sentence(known.get(key)))), otherwise)
    name = document.get("displayName")
    if not is_nothing(name) and name != title[:MAX_TITLE]:
        reading.keep("displayName", name)
    return title[:MAX_TITLE]


def _sentence(value: Any) -> str:
    said = values.text(value) or ""
    return "" if is_nothing(said) else said


def _moment(document: Mapping[str, Any], key: str, reading: Reading) -> datetime | None:
    """A time of the vendor's; what the envelope can't say of it is kept."""
    said = document.get(key)
    when = values.moment(said)
    if not is_nothing(said) and (when is None or when.microsecond % 1000):
        reading.keep(key, said)
    return when


def _is_file(document: Mapping[str, Any]) -> bool:
    said = document.get("objectTypeName")
    return is_nothing(said) or (isinstance(said, str) and said.strip().lower() in _FILE_TYPES)


def _is_inbound(document: Mapping[str, Any]) -> bool:
    parts = (document.get(key) for key in ("networkTraffic", "networkCommunication"))
    return any(
        isinstance(part, dict) and codes.DIRECTION.word(part.get("direction")).upper() == "INBOUND" for part in parts
    )


def _read_device(device: Mapping[str, Any], reading: Reading) -> None:
    """What device management tells; keys of ours, so that none of them is news."""
    known = {key: device[key] for key in DEVICE_EXTRA if key in device}
    reading.read(known, DEVICE_EXTRA, path="device.")
    for key, value in device.items():
        if key not in DEVICE_EXTRA and not is_nothing(value):
            reading.keep(f"device.{key}", value)


def _read_devices(document: Mapping[str, Any], extra: Mapping[str, Any], reading: Reading) -> None:
    """The one device of an incident is its host; of several the names are told."""
    told, uuids = extra.get(_DEVICES), document.get("deviceUuids")
    devices = [device for device in told if isinstance(device, dict)] if isinstance(told, list) else []
    if isinstance(uuids, list) and len(uuids) == 1:
        for device in devices[:1]:
            _read_device(device, reading)
        return
    names = [said for device in devices if (said := _sentence(device.get("displayName")))]
    if names:
        reading.fields["related.hosts"] = list(dict.fromkeys(names))


def _place_techniques(document: Mapping[str, Any], sources: tuple[str, ...], reading: Reading) -> None:
    """ATT&CK numbers, where the vendor's names of rules tell them."""
    said = " ".join(_sentence(document.get(key)) for key in sources)
    if "T1" in said or "TA0" in said:
        for name, value in threat_fields(tactics_in(said), techniques_in(said)).items():
            reading.fields.setdefault(name, value)
