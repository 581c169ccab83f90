"""Records of every engine and both generations give the envelopes that were looked at and approved.

`UPDATE_GOLDEN=1` in the environment writes the files anew; what changed is then to be read in the diff.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.formats import FORMATS
from collector.model import Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.cloud_engines import CLOUD_ENGINES
from collector.sources.withsecure.endpoint_engines import ENDPOINT_ENGINES
from collector.sources.withsecure.engines import engine_title
from collector.sources.withsecure.normalize import normalize

DATA = Path(__file__).parents[3] / "data" / "withsecure"
RECORDS = (DATA / "records.jsonl").read_bytes().splitlines()
DOCUMENTS = [json.loads(raw) for raw in RECORDS]
NAMES = [f"{number:02d}-{document.get('engine', 'none')}" for number, document in enumerate(DOCUMENTS, 1)]


def envelope_of(raw: bytes) -> dict[str, Any]:
    record = Record(id=orjson.loads(raw)["id"], bucket=0, recorded_at=None, raw=raw)
    event, unknown = make_event(
        record,
        stream=StreamId("acme", "withsecure", "security_events"),
        vendor="WithSecure",
        product="Elements",
        labels={"customer": "Acme Oy"},
        organizations={"b1f0c3de-5a0e-4c1b-9a55-0d6f1f2a7c01": "acme-nordics"},
        fetched_at=datetime(2026, 3, 2, 9, 16, tzinfo=UTC),
        normalize=normalize,
    )
    line = FORMATS["json"].encode(event)
    assert line.endswith(b'"raw":' + raw + b"}")
    envelope: dict[str, Any] = orjson.loads(line)
    del envelope["raw"]  # the record itself, one file away
    return {**envelope, "(unknown)": list(unknown)}


@pytest.mark.parametrize(("raw", "name"), tuple(zip(RECORDS, NAMES, strict=True)), ids=NAMES)
def test_the_record_gives_its_golden_envelope(raw: bytes, name: str) -> None:
    golden = DATA / "golden" / f"{name}.json"
    envelope = envelope_of(raw)

    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(envelope, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    assert envelope == json.loads(golden.read_text(encoding="utf-8"))


def test_every_golden_file_has_its_record() -> None:
    assert sorted(path.stem for path in (DATA / "golden").glob("*.json")) == sorted(NAMES)


def test_every_engine_of_the_tables_has_a_record() -> None:
    seen = {document.get("engine", "").lower() for document in DOCUMENTS}
    # The old names of engines that have a record under the new one, with the same table.
    aliases = {"collaborationprotectionemailscan", "cloud"}

    assert {name.lower() for name in ENDPOINT_ENGINES | CLOUD_ENGINES} - seen == aliases


@pytest.mark.parametrize("raw", RECORDS, ids=NAMES)
def test_every_value_of_a_record_stands_in_its_event(raw: bytes) -> None:
    document = json.loads(raw)
    envelope = envelope_of(raw)
    fields = envelope["fields"]
    told = words(fields) | words({key: envelope[key] for key in ("id", "organization", "severity_vendor", "title")})
    told |= {(fields.get("user.domain", "") + mark + fields.get("user.name", "")).lower() for mark in "\\/"}
    told |= {f"{fields.get('network.transport')}({fields.get('network.iana_number')})"}
    told |= words(engine_title(document.get("engine", "")))
    times = {moment(value) for value in told} | {moment(envelope["occurred_at"]), moment(envelope["recorded_at"])}
    details = document.get("details")
    values = list(details.items()) if isinstance(details, dict) else []

    lost = [
        (key, value)
        for key, value in [*values, *document.items()]
        if key != "details" and not words(value) <= told and moment(value) not in times - {None}
    ]

    assert lost == []


def words(value: Any) -> set[str]:
    """Every scalar in a value; JSON inside a string counts as what it says."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return words(json.loads(value))
        except ValueError:
            pass
    if isinstance(value, dict):
        return {word for inner in value.values() for word in words(inner)}
    if isinstance(value, list):
        return {word for inner in value for word in words(inner)}
    return {str(value).lower()}


def moment(value: Any) -> float | None:
    """Seconds since the epoch of whatever looks like a time."""
    try:
        count = float(value)
    except (TypeError, ValueError):
        try:
            return datetime.fromisoformat(value.upper()).timestamp()
        except (AttributeError, ValueError):
            return None
    return count / 1000 if count > 1e11 else count
