"""A detection or an incident of ESET Connect, read into the fields of the envelope."""

from __future__ import annotations

from typing import Any

import orjson

from collector.model import Normalized, Record

# By the vendor's words; those of the scale stand for words that have no number of their own.
SEVERITY_NUMBERS: dict[str, int] = {"informational": 2, "low": 5, "medium": 7, "high": 8}


def normalize(feed: str, record: Record) -> Normalized:
    """Read one record; pure.

    Raises:
        ValueError: the record is no JSON object.
    """
    document: Any = orjson.loads(record.raw)
    if not isinstance(document, dict):
        raise ValueError("the record is no JSON object")  # noqa: TRY004 -- what is wrong is the value, not a caller
    kept = {f"eset.{key}": value for key, value in document.items()}
    return Normalized(
        id=str(document.get("uuid") or record.id),
        kind="incident" if feed == "incidents" else "detection",
        severity="medium",
        severity_vendor=str(document.get("severityLevel") or document.get("severity") or ""),
        title=str(document.get("displayName") or "ESET detection"),
        recorded_at=record.recorded_at,
        fields=kept,
    )
