"""Incidents and detections, whole and odd ones, give the envelopes and CEF lines that were looked at and approved.

`UPDATE_GOLDEN=1` in the environment writes the files anew; what changed is then to be read in the diff.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from collector.formats import FORMATS
from collector.model import Event, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.incident_slices import Belonging, detection_record, incident_record
from collector.sources.withsecure.normalize import normalize
from tests.unit.sources.withsecure.cef_events import DATA, encoder
from tests.unit.sources.withsecure.test_normalize_golden import moment, words

RECORDS = (DATA / "incidents.jsonl").read_bytes().splitlines()
DOCUMENTS = [json.loads(raw) for raw in RECORDS]
NAMES = [
    f"{number:02d}-{'detection' if 'detectionId' in document else 'incident'}"
    for number, document in enumerate(DOCUMENTS, 1)
]
GOLDEN, GOLDEN_CEF = DATA / "golden_incidents", DATA / "golden_incidents.cef"
BELONGING = Belonging(
    "7c0b2f61-3f0e-4a3e-9a44-6f1de2c90b55",
    "4411223-17",
    "Credential theft on CN-LT-0417",
    "b1f0c3de-5a0e-4c1b-9a55-0d6f1f2a7c01",
)


def record_of(raw: bytes) -> Record:
    return detection_record(raw, BELONGING.extra()) if b'"detectionId"' in raw else incident_record(raw)


def event_of(raw: bytes) -> tuple[Event, tuple[str, ...]]:
    return make_event(
        record_of(raw),
        stream=StreamId("acme", "withsecure", "incidents"),
        vendor="WithSecure",
        product="Elements",
        labels={"customer": "Acme Oy"},
        organizations={"b1f0c3de-5a0e-4c1b-9a55-0d6f1f2a7c01": "acme-nordics"},
        fetched_at=datetime(2026, 3, 2, 9, 21, tzinfo=UTC),
        normalize=normalize,
    )


def envelope_of(raw: bytes) -> dict[str, Any]:
    event, unknown = event_of(raw)
    line = FORMATS["json"].encode(event)
    assert line.endswith(b'"raw":' + raw + b"}")
    envelope: dict[str, Any] = orjson.loads(line)
    del envelope["raw"]  # the record itself, one file away
    return {**envelope, "(record)": record_of(raw).id, "(unknown)": list(unknown)}


@pytest.mark.parametrize(("raw", "name"), tuple(zip(RECORDS, NAMES, strict=True)), ids=NAMES)
def test_the_record_gives_its_golden_envelope(raw: bytes, name: str) -> None:
    golden = GOLDEN / f"{name}.json"
    envelope = envelope_of(raw)

    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(envelope, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    assert envelope == json.loads(golden.read_text(encoding="utf-8"))


def test_every_golden_file_has_its_record() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(NAMES)


def test_the_records_give_their_golden_cef_lines() -> None:
    encode = encoder()
    lines = b"".join(encode(event_of(raw)[0]).rstrip(b"\n") + b"\n" for raw in RECORDS)

    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN_CEF.write_bytes(lines)

    assert lines == GOLDEN_CEF.read_bytes()


@pytest.mark.parametrize("raw", RECORDS, ids=NAMES)
def test_every_value_of_a_record_stands_in_its_event(raw: bytes) -> None:
    envelope = envelope_of(raw)
    fields = envelope["fields"]
    told = words(fields) | words({key: envelope[key] for key in ("id", "organization", "severity_vendor", "title")})
    told |= {(fields.get("user.domain", "") + mark + fields.get("user.name", "")).lower() for mark in "\\/"}
    times = {moment(value) for value in told} | {moment(envelope["occurred_at"]), moment(envelope["recorded_at"])}

    lost = [
        (key, value)
        for key, value in json.loads(raw).items()
        if not words(value) <= told and moment(value) not in times - {None}
    ]

    assert lost == []


def test_a_detection_does_not_take_over_the_times_of_its_incident() -> None:
    envelope = envelope_of(RECORDS[NAMES.index("06-detection")])

    assert envelope["occurred_at"] == "2026-03-02T09:14:58.804Z"
    assert envelope["recorded_at"] == "2026-03-02T09:15:01.390Z"
    assert "2026-03-02T09:15:07" not in json.dumps(envelope)
    assert envelope["fields"]["withsecure.incident.id"] == BELONGING.id
    assert envelope["organization"]["id"] == BELONGING.organization_id
    assert envelope["tenant"] == "acme-nordics"


@pytest.mark.parametrize(
    ("risk", "severity"),
    [("info", "informational"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("severe", "critical")],
)
def test_risk_levels_are_severities(risk: str, severity: str) -> None:
    raw = json.dumps({**DOCUMENTS[0], "riskLevel": risk}).encode()

    assert event_of(raw)[0].severity == severity
    assert event_of(raw)[0].flags == ()


def test_another_risk_level_is_medium_and_told() -> None:
    event, unknown = event_of(json.dumps({**DOCUMENTS[0], "riskLevel": "extreme"}).encode())

    assert (event.severity, event.flags) == ("medium", ("severity_unknown",))
    assert "riskLevel:extreme" in unknown


def test_an_incident_open_for_long_occurs_when_its_state_came_about() -> None:
    raw = json.dumps({**DOCUMENTS[0], "initialReceivedTimestamp": "2025-11-02T09:14:58Z"}).encode()
    event, _ = event_of(raw)

    assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 7, 412_000, tzinfo=UTC)
    assert event.flags == ()
    assert event.fields["event.start"] == "2025-11-02T09:14:58.000Z"
