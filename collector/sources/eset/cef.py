"""ESET's events as CEF: the header and the keys of its own syslog export, so that its users' searches go on working.

The export's class ids come in a range for each sort of event (100 threats, 200 firewall, ...), `cat` names the range,
`cs1` to `cs5`, `cs7` and `cs8` mean what they mean there. The API tells less than the console's database (no engine
version, no group) and other things besides: those stand in `cs6`. `rt` is milliseconds since the epoch, which every
receiver reads, where the export has `%b %d %Y %H:%M:%S`. The tenant, which has `cs3` in other vendors' events, stands
in `cs9`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.formats.cef import CefTable, Made, Pair, Values
from collector.sources.eset.codes import CATEGORY
from collector.sources.eset.detection_fields import CATEGORIES
from collector.sources.eset.object_rules import is_handled


@dataclass(frozen=True, slots=True)
class _Sort:
    """A sort of events in the vendor's export: a class id in its range, its `cat`, the keys it alone has."""

    class_id: str
    cat: str
    pairs: tuple[Pair, ...] = ()


def _flag(value: bool) -> str:  # noqa: FBT001 -- it is what is written
    return "1" if value else "0"


def _handled(values: Values) -> Made | None:
    return _flag(is_handled(values.get("eset.responses"))), ()


def _restart(values: Values) -> Made | None:
    responses = values.get("eset.responses")
    asked = [one.get("deviceRestartRequired") for one in _objects(responses)]
    return (_flag(True in asked), ()) if any(isinstance(one, bool) for one in asked) else None


def _objects(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


_HANDLED = Pair("cn1", make=_handled, label="Handled")
_RESTART = Pair("cn2", make=_restart, label="Restart Needed")
_RULE_ID = Pair("cs1", "rule.id", label="Rule ID")
_RULE_NAME = Pair("cs2", "rule.name", label="Rule Name")

_THREAT = (
    Pair("cs1", "threat.software.name", label="Threat Name"),
    Pair("cs4", "event.provider", label="Scanner ID"),
    _HANDLED,
    _RESTART,
    Pair("fileType", "eset.objectTypeName"),
    Pair("sprod", "process.executable", "process.name"),
)
_CONNECTION = (
    _HANDLED,
    Pair("deviceProcessName", "process.executable", "process.name"),
)
_FIREWALL = (_RULE_ID, _RULE_NAME, Pair("cs3", "eset.typeName", label="Threat Name"), *_CONNECTION)
_INTRUSION = (_RULE_ID, Pair("cs3", "rule.name", label="Threat Name"), *_CONNECTION)
_HIPS = (
    _RULE_ID,
    _RULE_NAME,
    Pair("cs3", "process.executable", "process.name", label="Application"),
    Pair("cs4", "eset.typeName", label="Operation"),
    Pair("cs5", "file.path", "eset.objectUrl", "eset.objectName", label="Target"),
    _HANDLED,
)
_INSPECT = (_RULE_ID, _RULE_NAME, _HANDLED)
_SITE = (_HANDLED,)

_SORTS: Mapping[str, _Sort] = {
    "ANTIVIRUS": _Sort("100", "ESET Threat Event", _THREAT),
    "FIREWALL_RULE": _Sort("200", "ESET Firewall Event", _FIREWALL),
    "NETWORK_INTRUSION": _Sort("201", "ESET Firewall Event", _INTRUSION),
    "HIPS": _Sort("300", "ESET HIPS Event", _HIPS),
    "HIPS_RULE": _Sort("301", "ESET HIPS Event", _HIPS),
    "CORRELATION_RULE": _Sort("500", "ESET Inspect Event", _INSPECT),
    "EDR_RULE": _Sort("500", "ESET Inspect Event", _INSPECT),
    "SUSPICIOUS_ACTIVITY": _Sort("501", "ESET Inspect Event", _INSPECT),
    "WEB_ACCESS": _Sort("700", "ESET Filtered Website Event", _SITE),
    # Not in the export: ids of ours, beyond its ranges.
    "VULNERABILITY": _Sort("900", "ESET Vulnerability Event"),
    "APPLICATION_PATCH": _Sort("901", "ESET Patch Event"),
}
_INCIDENT = "incident"
# Of an incident with several devices; the one of another is `dvchost`.
_INCIDENT_PAIRS = (Pair("cs1", "related.hosts", label="Hosts"),)
_INCIDENT_ID, _INCIDENT_CAT = "800", "ESET Incident Event"
_OTHER_CAT = "ESET Detection Event"


def _category(values: Values) -> Made | None:
    if values.get("kind") == _INCIDENT:
        return _INCIDENT_CAT, ()
    said = values.get("rule.category")
    sort = _SORTS.get(CATEGORY.word(said).upper())
    if sort is None:
        return (_OTHER_CAT, ()) if values.get("kind") == "detection" else None
    return sort.cat, ("rule.category",)


_BY_VALUE = {CATEGORY.prefixes[0] + word: (word, sort) for word, sort in _SORTS.items()}

CEF_TABLE = CefTable(
    variant="rule.category",
    product="ProtectCloud",
    signature="{rule.category}",
    signatures={value: sort.class_id for value, (_, sort) in _BY_VALUE.items()} | {_INCIDENT: _INCIDENT_ID},
    names={value: CATEGORIES[word].title for value, (word, _) in _BY_VALUE.items()} | {_INCIDENT: "Incident"},
    pairs=(
        Pair("cat", make=_category),
        Pair("filePath", "eset.objectUrl", "file.path"),
        Pair("cs3", "eset.typeName", label="Threat Type"),
        Pair("cs5", "eset.scanUuid", label="Scan ID"),
        Pair("cs7", "message", label="Circumstances"),
        Pair("cs8", "file.hash.sha1", label="Hash"),
        Pair("cs9", "tenant", label="Tenant"),
        Pair("ESETProtectDeviceOsName", "host.os.name"),
    ),
    variants={value: sort.pairs for value, (_, sort) in _BY_VALUE.items()} | {_INCIDENT: _INCIDENT_PAIRS},
)
