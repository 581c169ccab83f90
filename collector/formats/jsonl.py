"""Format `json`: the envelope as one line of JSON, with the vendor's own bytes spliced in as `raw`.

    {"v": 1, "uid": …, "id": …, "vendor": …, "product": …, "tenant": …, "labels": {}, "organization": {"id", "name"},
     "source": …, "feed": …, "kind": …, "severity": …, "severity_vendor": …, "occurred_at": …, "recorded_at": …,
     "fetched_at": …, "late_seconds": 0.0, "title": …, "fields": {}, "flags": [], "raw": …}

Every key is always there, in this order. Times are UTC with milliseconds; `recorded_at` is null where the vendor
gives none. `v` rises when a key changes its meaning.
"""

from __future__ import annotations

from typing import Any

import orjson

from collector.formats.fitting import fit
from collector.model import Event
from collector.timestamps import format_utc

VERSION = 1


def encode(event: Event) -> bytes:
    """One line, without its line end. `raw` is never serialized again: its bytes are the event's.

    Raises:
        TypeError: a field or label is no JSON value.
    """
    envelope = _envelope(event)
    try:
        return orjson.dumps(envelope)
    except orjson.JSONEncodeError:
        raw = envelope.pop("raw")
        return orjson.dumps({**fit(envelope), "raw": raw})


def _envelope(event: Event) -> dict[str, Any]:
    return {
        "v": VERSION,
        "uid": event.uid,
        "id": event.id,
        "vendor": event.vendor,
        "product": event.product,
        "tenant": event.tenant,
        "labels": dict(event.labels),
        "organization": {"id": event.organization_id, "name": event.organization_name},
        "source": event.source,
        "feed": event.feed,
        "kind": event.kind,
        "severity": event.severity,
        "severity_vendor": event.severity_vendor,
        "occurred_at": format_utc(event.occurred_at),
        "recorded_at": None if event.recorded_at is None else format_utc(event.recorded_at),
        "fetched_at": format_utc(event.fetched_at),
        "late_seconds": event.late_seconds,
        "title": event.title,
        "fields": dict(event.fields),
        "flags": event.flags,
        "raw": orjson.Fragment(event.raw),
    }
