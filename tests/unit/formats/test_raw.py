"""The raw format is the record alone."""

from __future__ import annotations

from dataclasses import replace

from collector.formats import FORMATS
from tests.unit.formats.example import EVENT


def test_raw_is_the_records_own_bytes() -> None:
    raw = b'{ "b" :1.0 , "a": "\xe2\x84\xa2" }'

    assert FORMATS["raw"].encode(replace(EVENT, raw=raw)) is raw


def test_formats_are_known_by_the_names_of_the_configuration() -> None:
    assert {name: entry.name for name, entry in FORMATS.items()} == {name: name for name in ("json", "raw", "cef")}
