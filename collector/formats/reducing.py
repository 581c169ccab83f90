"""An event made small enough for a receiver with a limit: without `raw`, its longest values cut.

What is missing is said in the event: flag `truncated`, and in `fields` the `raw_sha256` and `raw_bytes` of the record
that was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from collector.formats.fitting import fit
from collector.model import Event

TRUNCATED = "truncated"

# Longest value, in characters, of the attempts made one after the other.
_CUTS = (4096, 1024, 256, 64, 16)


def reduce_event(event: Event, fits: Callable[[Event], bool], *, record_only: bool = False) -> Event | None:
    """The event as large as it may be, None when nothing of it is small enough.

    `fits` tells whether an event, written, is within the limit. `record_only` is for formats that write the record
    alone: they get a record of ours that says what was left out, since an empty one would say nothing.
    """
    digest = sha256(event.raw).hexdigest()
    note: dict[str, Any] = {"raw_sha256": digest, "raw_bytes": len(event.raw)}
    flags = event.flags if TRUNCATED in event.flags else (*event.flags, TRUNCATED)
    if record_only:
        record = {"id": event.id[:255], "uid": event.uid, TRUNCATED: True} | note
        small = replace(event, raw=orjson.dumps(record, default=str), flags=flags)
        return small if fits(small) else None
    bare = replace(event, raw=b"null", flags=flags, fields={**event.fields, **note})
    if fits(bare):
        return bare
    for most in _CUTS:
        small = replace(bare, title=bare.title[:most], fields=_cut(event.fields, most) | note)
        if fits(small):
            return small
    smallest = replace(bare, title=bare.title[: _CUTS[-1]], fields=note)
    return smallest if fits(smallest) else None


def _cut(fields: Mapping[str, Any], most: int) -> dict[str, Any]:
    """The fields whose names are no longer than a value may be, with their values cut."""
    return {name: _short(value, most) for name, value in fields.items() if len(name) <= max(most, 64)}


def _short(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value[:most]
    if isinstance(value, Mapping | list | tuple):
        text = orjson.dumps(fit(value)).decode()
        return value if len(text) <= most else text[:most]
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)[:most]
    return value
