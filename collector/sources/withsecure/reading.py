"""A record as a document, and where what has no ECS name is kept."""

from __future__ import annotations

import json
from typing import Any

import orjson

from collector.repair import repair_json
from collector.sources.field_rules import Fields
from collector.sources.withsecure.rules import Details

_MAX_WORD = 64


def document_of(raw: bytes) -> dict[str, Any]:
    """Read a record.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # The slower parser takes what is valid and orjson refuses: numbers larger than a double.
        document = json.loads(repair_json(raw)[0])
    if not isinstance(document, dict):
        raise ValueError("the record is no JSON object")  # noqa: TRY004 -- what is wrong is the value, not a caller
    return document


def part_of(document: Details, key: str) -> dict[str, Any]:
    """An object within a document, empty where there is none."""
    part = document.get(key)
    return part if isinstance(part, dict) else {}


def keep(fields: Fields, key: str, value: Any) -> None:
    """Keep a value under the vendor's own name."""
    name = f"withsecure.{key}"
    while name in fields:  # a key of the envelope that spells a key of the details
        name += "_"
    fields[name] = value


def named(word: str) -> str:
    """A name as it can be told: printable, not long."""
    return "".join(letter if letter.isprintable() else "?" for letter in word[:_MAX_WORD])
