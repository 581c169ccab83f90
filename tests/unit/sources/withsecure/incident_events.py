"""Events of every shape of incident and of detection, as they are and with hostile text in every field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from collector.model import Event, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.incident_slices import Belonging, detection_record, incident_record
from collector.sources.withsecure.normalize import normalize
from tests.unit.sources.withsecure.cef_events import DATA, spoiled

DOCUMENTS: list[dict[str, Any]] = [json.loads(line) for line in (DATA / "incidents.jsonl").read_bytes().splitlines()]
NAMES = [
    f"{number:02d}-{'detection' if 'detectionId' in document else 'incident'}"
    for number, document in enumerate(DOCUMENTS, 1)
]


def event_of(document: dict[str, Any], incident: str = "Credential theft") -> Event:
    raw = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    belonging = Belonging("i-1", "4411223-17", incident, "b1f0c3de")
    record = detection_record(raw, belonging.extra()) if "detectionId" in document else incident_record(raw)
    event, _ = make_event(
        record,
        stream=StreamId("acme", "withsecure", "incidents"),
        vendor="WithSecure",
        product="Elements",
        labels={"customer": "Acme Oy"},
        organizations={},
        fetched_at=datetime(2026, 3, 2, 9, 21, tzinfo=UTC),
        normalize=normalize,
    )
    return event


def hostile_event_of(document: dict[str, Any], text: str, *, instead: bool) -> Event:
    sendable = text.encode("utf-8", "replace").decode()  # the source keeps of the incident's name what can be stored
    return event_of(spoiled(document, text, instead=instead), sendable)
