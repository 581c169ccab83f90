"""The formats an event can take on its way out, by the names the configuration uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from collector.formats import jsonl, raw
from collector.formats.cef import CefHeader, CefTable, compile_encoder
from collector.model import Event

__all__ = ["FORMATS", "Encode", "Format", "FormatSetup", "VendorTables"]

Encode = Callable[[Event], bytes]


@dataclass(frozen=True, slots=True)
class VendorTables:
    """What a vendor module declares for the formats; `severity_numbers` is by the vendor's own words."""

    cef: CefTable
    severity_numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FormatSetup:
    """What the formats need of the vendors (by the name on their events) and of one sink's configuration.

    `time` is the time that goes into the receiver's own time field.
    """

    vendors: Mapping[str, VendorTables] = field(default_factory=dict)
    cef: CefHeader = field(default_factory=CefHeader)
    time: Literal["occurred", "fetched"] = "occurred"


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write an event.

    `encoder` gives the function that writes, made for one sink; it is pure and gives one line without its line end,
    never empty; what it raises makes the event a dead letter. `content_type` is the media type of one event.

    `encoder` raises ValueError for a setup that makes no sense.
    """

    name: str
    encoder: Callable[[FormatSetup], Encode]
    content_type: str

    @property
    def encode(self) -> Encode:
        """The function that writes without knowing any vendor or sink."""
        return self.encoder(FormatSetup())


def _cef(setup: FormatSetup) -> Encode:
    tables = {name: (vendor.cef, vendor.severity_numbers) for name, vendor in setup.vendors.items()}
    return compile_encoder(tables, setup.cef, setup.time)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format("json", lambda _: jsonl.encode, "application/json"),
        "raw": Format("raw", lambda _: raw.encode, "application/json"),
        "cef": Format("cef", _cef, "text/plain"),
    }
)
