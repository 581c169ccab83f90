"""A security event of WithSecure Elements, read into the fields of the envelope.

Both generations of the vendor's envelope are read: today's (RFC 3339, `organization`, `device.id`) and the one peers
still met in 2023 (epoch milliseconds, `account`, `device.agentId`). What has an ECS name gets it; whatever else the
record holds is kept, `withsecure.<key>` for the envelope and `withsecure.details.<key>` for the details, so that
nothing is lost but what would stand there twice. Engines, actions, keys and value types are open sets: a record of
an engine no table knows passes like any other, and what is new is told as `unknown`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import islice

from collector.model import Normalized, Record, Severity
from collector.sources import values
from collector.sources.field_rules import Fields, keys, user
from collector.sources.withsecure.engines import ENGINES, UNKNOWN_ENGINE, KnownEngine
from collector.sources.withsecure.normalize_incidents import RISK_NUMBERS, normalize_incidents
from collector.sources.withsecure.reading import document_of, keep, named, part_of
from collector.sources.withsecure.rules import Details

# The vendor's own numbers in CEF, as its Sentinel connector has them; risk levels of incidents take the same.
SEVERITY_NUMBERS = {"info": 1, "warning": 4, "error": 6, "fatal_error": 8, "critical": 10} | RISK_NUMBERS

SEVERITY_UNKNOWN = "severity_unknown"
MAX_TITLE = 1000
MAX_UNKNOWN = 16

_SEVERITIES: dict[str, Severity] = {
    "info": "informational",
    "warning": "medium",
    "error": "medium",
    "fatal_error": "high",
    "critical": "critical",
}
_VERDICTS = {"blocked": "denied", "deny": "denied", "aborted": "denied", "allow": "allowed"}
_NO_TITLE = "WithSecure security event"

# Lists that arrive as JSON text inside a string.
_JSON_LISTS = keys(
    "affectedFiles affectedSharedFolders attachments items processOperations registryOperations topAssets topFindings",
    "urls",
)
# Keys of the envelope that are read here one by one, and those known to have no place but under the vendor's name.
_READ = keys(
    "id engine action severity clientTimestamp serverTimestamp persistenceTimestamp organization account device target",
    "userName message description details",
)
_KEPT = keys(
    "eventTransactionId acknowledged acknowledgedBy ackTimestamp xmRecommendationKey txId source subscription tenant",
    "reporting fingerprint",
)
_PARTS = {
    "organization": keys("id name"),
    "account": keys("uuid name orgPath"),
    "device": keys("id agentId name labels winsAddress winsName clientType"),
    "target": keys("id name"),
}


def normalize(feed: str, record: Record) -> Normalized:
    """Read one record; pure.

    Raises:
        ValueError: the record is no JSON object.
    """
    return normalize_incidents(record) if feed == "incidents" else _security_event(record)


def _security_event(record: Record) -> Normalized:
    document = document_of(record.raw)
    details = part_of(document, "details")
    fields: Fields = {}
    unknown: list[str] = []
    engine, known = _engine(document, fields, unknown)
    severity, severity_vendor = _severity(document, unknown)
    title = _title(document, known, engine, fields)
    _place_in_ecs(document, known, fields)
    organization_id, organization_name = _organization(document, fields)
    _device(document, fields)
    if "userName" in document and not user(document["userName"], fields):
        keep(fields, "userName", document["userName"])
    if values.text(document.get("id")) != record.id and "id" in document:
        keep(fields, "id", document["id"])
    consumed = _details(details, known, fields)
    _target(document, fields)
    occurred_at, recorded_at, same_clock = _times(document, details, fields)
    _keep_rest(document, details, known, consumed | same_clock, fields, unknown)
    return Normalized(
        id=record.id,
        kind="security_event",
        severity=severity or "medium",
        severity_vendor=severity_vendor,
        title=title,
        occurred_at=occurred_at,
        recorded_at=recorded_at or record.recorded_at,
        organization_id=organization_id,
        organization_name=organization_name,
        fields=fields,
        flags=() if severity else (SEVERITY_UNKNOWN,),
        unknown=tuple(unknown[:MAX_UNKNOWN]),
    )


def _engine(document: Details, fields: Fields, unknown: list[str]) -> tuple[str, KnownEngine | None]:
    engine = values.text(document.get("engine")) or ""
    known = ENGINES.get(engine.lower())
    if known is None:
        unknown.append(f"engine:{named(engine)}")
    if engine:
        fields["event.provider"] = engine
    elif "engine" in document:
        keep(fields, "engine", document["engine"])
    return engine, known


def _severity(document: Details, unknown: list[str]) -> tuple[Severity | None, str]:
    word = values.text(document.get("severity")) or ""
    severity = _SEVERITIES.get(word.lower())
    if severity is None:
        unknown.append(f"severity:{named(word)}")
    return severity, word


def _title(document: Details, known: KnownEngine | None, engine: str, fields: Fields) -> str:
    engine_title = known.engine.title if known is not None else engine
    message, description = (values.text(document.get(key)) for key in ("message", "description"))
    title = message or description or engine_title or _NO_TITLE
    for key, said in (("message", message), ("description", description)):
        # The description is mostly the engine's title once more.
        if key in document and (said is None or said not in {title, engine_title}):
            keep(fields, key, document[key])
    if len(title) <= MAX_TITLE:
        return title
    fields["message"] = title
    return title[:MAX_TITLE]


def _place_in_ecs(document: Details, known: KnownEngine | None, fields: Fields) -> None:
    engine = UNKNOWN_ENGINE if known is None else known.engine
    action = values.text(document.get("action"))
    verdict = _VERDICTS.get(action.lower()) if action and engine.verdict else None
    if action:
        fields["event.action"] = action
    elif "action" in document:
        keep(fields, "action", document["action"])
    fields["event.kind"] = engine.kind
    fields["event.category"] = list(engine.category)
    fields["event.type"] = [*engine.types, verdict] if verdict else list(engine.types)


def _organization(document: Details, fields: Fields) -> tuple[str, str]:
    organization, account = part_of(document, "organization"), part_of(document, "account")
    number = values.text(organization.get("id")) or values.text(account.get("uuid")) or ""
    name = values.text(organization.get("name")) or values.text(account.get("name")) or ""
    _keeppart_of(document, "organization", {"id": number, "name": name}, fields)
    _keeppart_of(document, "account", {"uuid": number, "name": name}, fields)
    return number, name


def _device(document: Details, fields: Fields) -> None:
    device = part_of(document, "device")
    # In the old envelope `id` is the integer 0 beside `agentId`.
    number = values.text(device.get("agentId")) or values.text(device.get("id") or None)
    # The vendor's own order where the name is missing.
    name = values.text(device.get("name")) or number or values.text(device.get("winsAddress"))
    if number:
        fields["host.id"] = number
    if name:
        fields["host.name"] = name
    _keeppart_of(document, "device", {"agentId": number, "id": number, "name": name}, fields)


def _target(document: Details, fields: Fields) -> None:
    """Of an endpoint its device once more, of a cloud service the mailbox."""
    target = part_of(document, "target")
    for key in ("id", "name"):
        said = values.text(target.get(key))
        if said and "@" in said:
            fields.setdefault("user.email", said)
    email = fields.get("user.email")
    same = {"id": fields.get("host.id"), "name": fields.get("host.name")}
    _keeppart_of(document, "target", {key: email if target.get(key) == email else same[key] for key in same}, fields)


def _keeppart_of(document: Details, part: str, told: Details, fields: Fields) -> None:
    """Keep an object of the envelope under the vendor's names, but for what `told` says is in the event already."""
    if part not in document:
        return
    whole = document[part]
    if not isinstance(whole, dict):
        keep(fields, part, whole)
        return
    for key, value in whole.items():
        said = values.text(value)
        if said is None or told.get(key) != said:
            keep(fields, f"{part}.{key}", value)


def _details(details: Details, known: KnownEngine | None, fields: Fields) -> set[str]:
    """Apply the engine's table; returns the keys whose values are in the fields completely."""
    engine = UNKNOWN_ENGINE if known is None else known.engine
    consumed = set()
    for key, apply in engine.rules_for(details):
        value = details.get(key)
        if value is not None and apply(value, fields):
            consumed.add(key)
    return consumed


def _times(document: Details, details: Details, fields: Fields) -> tuple[datetime | None, datetime | None, set[str]]:
    """When it happened and was recorded; keeps what the envelope can't say. The set: keys of the details told here."""
    client, inner, server, persistence = (
        values.moment(value)
        for value in (
            document.get("clientTimestamp"),
            details.get("clientTimestamp"),
            document.get("serverTimestamp"),
            document.get("persistenceTimestamp"),
        )
    )
    for key, when in (("clientTimestamp", client), ("persistenceTimestamp", persistence)):
        if key in document and (when is None or when.microsecond % 1000):
            keep(fields, key, document[key])
    if "serverTimestamp" in document:
        keep(fields, "serverTimestamp", document["serverTimestamp"])
    device_clock = client or inner
    told = inner is not None and inner == device_clock and not inner.microsecond % 1000
    return device_clock or server or persistence, persistence, {"clientTimestamp"} if told else set()


def _keep_rest(
    document: Details,
    details: Details,
    known: KnownEngine | None,
    consumed: Collection[str],
    fields: Fields,
    unknown: list[str],
) -> None:
    for key, value in details.items():
        if key not in consumed:
            parsed = values.json_list(value) if key in _JSON_LISTS else None
            keep(fields, f"details.{key}", value if parsed is None else parsed)
        if known is not None and key not in known.keys and len(unknown) < MAX_UNKNOWN:
            unknown.append(f"details.{named(key)}@{known.name}")
    for key, value in document.items():
        if key in _READ:
            continue
        keep(fields, key, value)
        if key not in _KEPT and len(unknown) < MAX_UNKNOWN:
            unknown.append(named(key))
    if "details" in document and not isinstance(document["details"], dict):
        keep(fields, "details", document["details"])
    for part, known_keys in _PARTS.items():
        new = (key for key in part_of(document, part) if key not in known_keys)
        unknown.extend(f"{part}.{named(key)}" for key in islice(new, MAX_UNKNOWN))
