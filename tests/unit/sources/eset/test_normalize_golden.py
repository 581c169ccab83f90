"""Records of every shape ESET is known to send give the envelopes that were looked at and approved.

`UPDATE_GOLDEN=1` in the environment writes the files anew; what changed is then to be read in the diff.
"""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
import pytest

from collector.formats import FORMATS
from collector.sources.eset.codes import CATEGORY
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.eset.cef_events import DATA, NAMES, SHAPES, Shape, json_of, made

GOLDEN = DATA / "golden"


def envelope_of(shape: Shape) -> dict[str, Any]:
    event, unknown = made(shape)
    line = FORMATS["json"].encode(event)
    assert line.endswith(b'"raw":' + json_of(shape.document) + b"}")
    envelope: dict[str, Any] = orjson.loads(line)
    del envelope["raw"]  # the record itself, one file away
    return {**envelope, "(unknown)": list(unknown)}


@pytest.mark.parametrize(("shape", "name"), tuple(zip(SHAPES, NAMES, strict=True)), ids=NAMES)
def test_the_record_gives_its_golden_envelope(shape: Shape, name: str) -> None:
    golden = GOLDEN / f"{name}.json"
    envelope = envelope_of(shape)

    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(envelope, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    assert envelope == json.loads(golden.read_text(encoding="utf-8"))


def test_every_golden_file_has_its_record() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(NAMES)


def test_every_category_of_the_tables_has_a_record() -> None:
    assert {CATEGORY.word(shape.document.get("category")) for shape in SHAPES} >= CATEGORY.words


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_every_value_of_a_record_stands_in_its_event(shape: Shape) -> None:
    envelope = envelope_of(shape)
    fields = envelope["fields"]
    told = words(fields) | words([envelope[key] for key in ("id", "severity_vendor", "title", "occurred_at")])
    told |= {(fields.get("user.domain", "") + "\\" + fields.get("user.name", "")).lower()}
    told |= {str(fields.get(f"{side}.mac")).replace("-", ":").lower() for side in ("source", "destination")}
    nothing = {"", "nil", "none", "0", "00:00:00:00:00:00"}

    lost = [
        word
        for word in words(shape.document) | words(shape.extra)
        if word not in told | nothing and not word.endswith("_unspecified") and not coded(word, told)
    ]

    assert lost == []


def coded(word: str, told: set[str]) -> bool:
    """A code without its prefix is told; a time is, in whatever form."""
    try:
        return format_utc(parse_rfc3339(word.upper())).lower() in told
    except ValueError:
        return any(word.endswith(f"_{one}") for one in told if one)


def words(value: Any) -> set[str]:
    """Every scalar in a value."""
    if isinstance(value, dict):
        return {word for inner in value.values() for word in words(inner)}
    if isinstance(value, list):
        return {word for inner in value for word in words(inner)}
    return {str(value).lower()}
