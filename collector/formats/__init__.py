"""The formats an event can take on its way out, by the names the configuration uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from collector.formats import jsonl, raw
from collector.model import Event

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write an event.

    `encode` is pure and gives one line without its line end, never empty; what it raises makes the event a dead
    letter. `content_type` is the media type of one event.
    """

    name: str
    encode: Callable[[Event], bytes]
    content_type: str


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format("json", jsonl.encode, "application/json"),
        "raw": Format("raw", raw.encode, "application/json"),
    }
)
