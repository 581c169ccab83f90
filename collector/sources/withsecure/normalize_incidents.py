"""An incident of WithSecure Elements, or one of its detections, read into the fields of the envelope.

One feed serves both: a detection has a `detectionId`, or comes with the incident it was asked for by (`Record.extra`).
They are linked by `withsecure.incident.id`, which every detection has. A state of an incident occurred when it came
about: its time is `updatedTimestamp`; when all began is `event.start`. What has no ECS name is kept under
`withsecure.<key>`; keys that no table knows are told as `unknown`. The name of the organization, which neither of them
has, comes from `Record.extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import orjson

from collector.model import Normalized, Record, Severity
from collector.sources import values
from collector.sources.field_rules import Apply, Fields, digest, executable, keys, moment, number, put, text, user
from collector.sources.mitre import tactics_of, techniques_in, threat_fields
from collector.sources.withsecure.reading import document_of, keep, named, part_of

RISK_NUMBERS = {"low": 4, "medium": 6, "high": 8, "severe": 10}

INCIDENT: Literal["incident"] = "incident"
DETECTION: Literal["detection"] = "detection"
_SEVERITY_UNKNOWN = "severity_unknown"
_MAX_TITLE, _MAX_UNKNOWN, _MAX_CATEGORIES = 1000, 16, 64
_NO_TITLE = {INCIDENT: "WithSecure incident", DETECTION: "WithSecure detection"}
_RISKS: dict[str, Severity] = {
    "info": "informational",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "severe": "critical",
    # Words of the other scale, should they stand here.
    "warning": "medium",
    "error": "medium",
    "fatal_error": "high",
    "critical": "critical",
}

# Categories that name a tactic by another word than the matrix has; those that may be several name none.
_TACTICS = {
    "CC_NETWORK_CONNECTION": "TA0011",
    "SCRIPTING_ABUSE": "TA0002",
    "ABNORMAL_PROCESS_EXECUTION": "TA0002",
    "INJECTION": "TA0005",
    "INJECTION_TARGET": "TA0005",
    "SENSOR_TAMPER": "TA0005",
    "CHANGING_SECURITY_SETTINGS": "TA0005",
    "CHANGING_FILE_VISIBILITY": "TA0005",
}


def _risk_score(value: Any, fields: Fields) -> bool:
    is_score = type(value) in {int, float} and abs(value) < 1e15
    return is_score and put(fields, "event.risk_score", value)


_INCIDENT_RULES: Mapping[str, Apply] = {
    "incidentPublicId": text("withsecure.incident.publicId"),
    "status": text("event.action"),
    "riskScore": _risk_score,
    "initialReceivedTimestamp": moment("event.start"),
}
_DETECTION_RULES: Mapping[str, Apply] = {
    "incidentId": text("withsecure.incident.id"),
    "deviceId": text("host.id"),
    "detectionClass": text("event.action"),
    "exePath": executable("process"),
    "exeName": text("process.name"),
    "exeHash": digest("process.hash"),
    "cmdl": text("process.command_line"),
    "pid": number("process.pid"),
    "username": user,
}
_INCIDENT_KEPT = keys("severity resolution categories sources createdTimestamp archived")
_DETECTION_KEPT = keys("severity privileges activityContext")


def normalize_incidents(record: Record) -> Normalized:
    """Read one record of the feed `incidents`; pure.

    Raises:
        ValueError: the record is no JSON object.
    """
    document = document_of(record.raw)
    extra = _extra(record)
    if "incident" in extra or "detectionId" in document:
        return _detection(record, document, extra)
    return _incident(record, document, extra)


def _incident(record: Record, document: dict[str, Any], extra: dict[str, Any]) -> Normalized:
    fields: Fields = {"event.provider": INCIDENT}
    number_of = values.text(document.get("incidentId"))
    if number_of is not None:
        fields["withsecure.incident.id"] = number_of
    updated = values.moment(document.get("updatedTimestamp"))
    words = document.get("categories")
    categories = words[:_MAX_CATEGORIES] if isinstance(words, list) else []
    tactics = tactics_of(_TACTICS.get(word, word) for word in categories if isinstance(word, str))
    return _normalized(
        record,
        document,
        extra,
        kind=INCIDENT,
        id=number_of or record.id,
        fields=_ecs(fields, tactics, document),
        rules=_INCIDENT_RULES,
        kept=_INCIDENT_KEPT,
        times={"updatedTimestamp": updated},
        occurred_at=updated,
        recorded_at=updated,
    )


def _detection(record: Record, document: dict[str, Any], extra: dict[str, Any]) -> Normalized:
    fields: Fields = {"event.provider": DETECTION}
    incident = part_of(extra, "incident")
    created, received = (values.moment(document.get(key)) for key in ("createdTimestamp", "initialReceivedTimestamp"))
    tactics = tactics_of([document.get("detectionClass")])
    normalized = _normalized(
        record,
        document,
        extra,
        kind=DETECTION,
        id=values.text(document.get("detectionId")) or record.id,
        fields=_ecs(fields, tactics, document),
        rules=_DETECTION_RULES,
        kept=_DETECTION_KEPT,
        times={"createdTimestamp": created, "initialReceivedTimestamp": received},
        occurred_at=received or created,
        recorded_at=created or received,
        organization_id=values.text(incident.get("organizationId")) or "",
    )
    for key, target in (("incidentId", "id"), ("incidentPublicId", "publicId"), ("name", "name")):
        said = values.text(incident.get(key))
        if said is not None:
            fields.setdefault(f"withsecure.incident.{target}", said)
    return normalized


def _extra(record: Record) -> dict[str, Any]:
    """What the source added; nothing where it can't be read."""
    try:
        extra = orjson.loads(record.extra or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return extra if isinstance(extra, dict) else {}


def _organization_name(extra: dict[str, Any], organization_id: str) -> str:
    """Its name, if that is whose name was found out."""
    told = part_of(extra, "organization")
    return (values.text(told.get("name")) or "") if values.text(told.get("id")) == organization_id else ""


def _ecs(fields: Fields, tactics: Iterable[str], document: dict[str, Any]) -> Fields:
    fields["event.kind"] = "alert"
    fields["event.category"] = ["intrusion_detection"]
    fields["event.type"] = ["info"]
    said = " ".join(values.text(document.get(key)) or "" for key in ("name", "description"))
    fields.update(threat_fields(tactics, techniques_in(said)))
    return fields


def _normalized(  # noqa: PLR0913 -- what an envelope is made of
    record: Record,
    document: dict[str, Any],
    extra: dict[str, Any],
    *,
    kind: Literal["incident", "detection"],
    id: str,  # noqa: A002 -- the envelope's word
    fields: Fields,
    rules: Mapping[str, Apply],
    kept: frozenset[str],
    times: Mapping[str, datetime | None],
    occurred_at: datetime | None,
    recorded_at: datetime | None,
    organization_id: str = "",
) -> Normalized:
    unknown: list[str] = []
    risk = values.text(document.get("riskLevel")) or values.text(document.get("severity")) or ""
    severity = _RISKS.get(risk.lower())
    if severity is None:
        unknown.append(f"riskLevel:{named(risk)}")
    organization_id = values.text(document.get("organizationId")) or organization_id
    title = _title(document, kind, fields)
    told = {
        f"{kind}Id": id,
        "organizationId": organization_id,
        "name": title,
        "description": title,
        "riskLevel": risk,
    }
    for key, value in document.items():
        rule = rules.get(key)
        if key in times:
            when = times[key]
            if when is None or when not in {occurred_at, recorded_at} or when.microsecond % 1000:
                keep(fields, key, value)
        elif key in told:
            said = values.text(value)
            if said is None or said not in {told[key], fields.get("message")}:
                keep(fields, key, value)
        elif rule is None or value is None or not rule(value, fields):
            keep(fields, key, value)
            if rule is None and key not in kept and len(unknown) < _MAX_UNKNOWN:
                unknown.append(named(key))
    return Normalized(
        id=id,
        kind=kind,
        severity=severity or "medium",
        severity_vendor=risk,
        title=title,
        occurred_at=occurred_at,
        recorded_at=recorded_at or record.recorded_at,
        organization_id=organization_id,
        organization_name=_organization_name(extra, organization_id),
        fields=fields,
        flags=() if severity else (_SEVERITY_UNKNOWN,),
        unknown=tuple(unknown),
    )


def _title(document: dict[str, Any], kind: str, fields: Fields) -> str:
    name, description = (values.text(document.get(key)) for key in ("name", "description"))
    title = name or description or _NO_TITLE[kind]
    if description is not None and description != title:
        fields["message"] = description
    if len(title) > _MAX_TITLE:
        fields.setdefault("message", title)
        if fields["message"] != title:
            keep(fields, "name", title)
    return title[:_MAX_TITLE]
