"""What is known of the keys of an incident and of its comments."""

from __future__ import annotations

from typing import Any

from collector.sources import values
from collector.sources.eset import codes
from collector.sources.eset.reading import KEPT, Each, Table
from collector.sources.field_rules import Fields, put, text

# Read elsewhere: what the envelope has.
READ = ("uuid", "createTime", "updateTime", "severity", "displayName")


def _tags(value: Any, fields: Fields) -> bool:
    found = [said for one in value if (said := values.text(one))] if isinstance(value, list) else []
    return bool(found) and put(fields, "tags", found) and found == value


def _only_device(value: Any, fields: Fields) -> bool:
    """An event of ECS has one host; of several none is more it than the others."""
    return isinstance(value, list) and len(value) == 1 and text("host.id")(value[0], fields)


INCIDENT: Table = {
    "description": text("message"),
    "status": codes.INCIDENT_STATUS,
    "resolveReason": codes.RESOLVE_REASON,
    "assigneeUuid": KEPT,
    "triageDuration": KEPT,
    "responseDuration": KEPT,
    "deviceUuids": _only_device,
    "detectionUuids": KEPT,
    "tags": _tags,
    "metrics": {"deviceCount": KEPT, "executableCount": KEPT, "processCount": KEPT},
}

_COMMENT = ("uuid", "incidentUuid", "authorUuid", "text", "createTime", "updateTime", "isFinalComment")
INCIDENT_EXTRA: Table = {"comments": Each(dict.fromkeys(_COMMENT, KEPT))}
"""What is asked for beside the incident when it is read."""
