"""Events of every shape of record, as they are and with hostile text in every field; the encoder their sinks get."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collector.formats import FORMATS, FormatSetup, VendorTables
from collector.formats.cef import CefHeader
from collector.model import Event, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.eset.cef import CEF_TABLE
from collector.sources.eset.normalize import SEVERITY_NUMBERS, normalize

DATA = Path(__file__).parents[3] / "data" / "eset"
FETCHED = datetime(2026, 11, 22, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Shape:
    """A record of one feed and what the source adds when it reads it."""

    feed: str
    document: Mapping[str, Any]
    extra: Mapping[str, Any] | None = None


def _shape(line: bytes) -> Shape:
    parsed = json.loads(line)
    return Shape(parsed["feed"], parsed["record"], parsed.get("extra"))


def _name(number: int, shape: Shape) -> str:
    word = str(shape.document.get("category", "none")).removeprefix("DETECTION_CATEGORY_").lower()
    return f"{number:02d}-{'incident' if shape.feed == 'incidents' else word}"


SHAPES = [_shape(line) for line in (DATA / "records.jsonl").read_bytes().splitlines()]
NAMES = [_name(number, shape) for number, shape in enumerate(SHAPES, 1)]


def encoder(header: CefHeader | None = None) -> Callable[[Event], bytes]:
    setup = FormatSetup({"ESET": VendorTables(CEF_TABLE, SEVERITY_NUMBERS)}, header or CefHeader())
    return FORMATS["cef"].encoder(setup)


def json_of(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def made(shape: Shape) -> tuple[Event, tuple[str, ...]]:
    return event_of_raw(json_of(shape.document), shape.feed, None if shape.extra is None else json_of(shape.extra))


def event_of(shape: Shape) -> Event:
    return made(shape)[0]


def event_of_raw(raw: bytes, feed: str = "detections", extra: bytes | None = None) -> tuple[Event, tuple[str, ...]]:
    return make_event(
        Record(id="record-1", bucket=0, recorded_at=None, raw=raw, extra=extra),
        stream=StreamId("acme", "eset", feed),
        vendor="ESET",
        product="PROTECT",
        labels={"customer": "Acme Oy"},
        organizations={},
        fetched_at=FETCHED,
        normalize=normalize,
    )


def spoiled(shape: Shape, text: str, *, instead: bool = False) -> Shape:
    """The record with hostile text behind (or instead of) every text in it, but for those that make it its sort."""
    kept = {"category", "severityLevel", "severity", "direction", "objectTypeName"}

    def spoil(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: spoil(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner, "") for inner in value]
        if not isinstance(value, str) or key in kept:
            return value
        return text if instead else value + text

    return Shape(shape.feed, spoil(shape.document, ""), spoil(shape.extra, ""))
