"""Events of every shape of record, as they are and with hostile text in every field; the encoder their sinks get."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collector.formats import FORMATS, FormatSetup, VendorTables
from collector.formats.cef import CefHeader
from collector.model import Event, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.cef import CEF_TABLE
from collector.sources.withsecure.normalize import SEVERITY_NUMBERS, normalize

DATA = Path(__file__).parents[3] / "data" / "withsecure"
DOCUMENTS: list[dict[str, Any]] = [json.loads(line) for line in (DATA / "records.jsonl").read_bytes().splitlines()]
NAMES = [f"{number:02d}-{document.get('engine', 'none')}" for number, document in enumerate(DOCUMENTS, 1)]


def encoder() -> Callable[[Event], bytes]:
    setup = FormatSetup({"WithSecure": VendorTables(CEF_TABLE, SEVERITY_NUMBERS)}, CefHeader())
    return FORMATS["cef"].encoder(setup)


def event_of(document: dict[str, Any]) -> Event:
    raw = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    event, _ = make_event(
        Record(id="record-1", bucket=0, recorded_at=None, raw=raw),
        stream=StreamId("acme", "withsecure", "security_events"),
        vendor="WithSecure",
        product="Elements",
        labels={"customer": "Acme Oy"},
        organizations={},
        fetched_at=datetime(2026, 3, 2, 9, 16, tzinfo=UTC),
        normalize=normalize,
    )
    return event


def spoiled(document: dict[str, Any], text: str, *, instead: bool = False) -> dict[str, Any]:
    """The document with hostile text behind (or instead of) every text in it, but for those that make it its sort."""
    kept = {"engine", "severity", "alertType", "ruleDirection", "direction", "actionType", "ruleEvent"}

    def spoil(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: spoil(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner, "") for inner in value]
        if not isinstance(value, str) or key in kept:
            return value
        return text if instead else value + text

    spoiled_document: dict[str, Any] = spoil(document, "")
    return spoiled_document
