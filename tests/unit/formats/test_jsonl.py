"""The json format is the envelope on one line, whatever an event holds."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS
from collector.formats.fitting import TOO_DEEP
from collector.model import Event
from tests.unit.formats.example import EVENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
# What `json.loads` of a vendor's text may hand over: lone surrogates too.
ANY_TEXT = st.text(alphabet=st.characters(codec=None))


def encode(event: Event) -> bytes:
    return FORMATS["json"].encode(event)


def test_the_line_is_the_envelope_to_the_byte() -> None:
    assert encode(EVENT) == (
        b'{"v":1,"uid":"0123456789abcdef0123456789abcdef","id":"5d0e8c11_0","vendor":"WithSecure",'
        b'"product":"Elements","tenant":"acme","labels":{"customer":"Acme Oy"},'
        b'"organization":{"id":"b1f0c3de","name":"Contoso Nordics Oy"},"source":"withsecure",'
        b'"feed":"security_events","kind":"security_event","severity":"medium","severity_vendor":"warning",'
        b'"occurred_at":"2026-03-02T09:14:58.000Z","recorded_at":"2026-03-02T09:15:07.412Z",'
        b'"fetched_at":"2026-03-02T09:16:00.005Z","late_seconds":62.005,"title":"a title",'
        b'"fields":{"host.name":"CN-LT-0417","host.ip":["192.0.2.44"]},"flags":["repaired"],'
        b'"raw":{ "id" : "5d0e8c11_0", "n": 1.50 }}'
    )


def test_a_missing_recording_time_is_null() -> None:
    assert b'"recorded_at":null,' in encode(replace(EVENT, recorded_at=None))


def test_any_mapping_may_hold_fields_and_labels() -> None:
    event = replace(EVENT, fields=MappingProxyType({"a": 1}), labels=MappingProxyType({"b": "c"}))

    assert b'"fields":{"a":1}' in encode(event)
    assert b'"labels":{"b":"c"}' in encode(event)


def test_a_string_may_stand_for_raw() -> None:
    assert encode(replace(EVENT, raw=b'"<html>"')).endswith(b'"raw":"<html>"}')


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    event = replace(EVENT, title="x\ud800y", fields={"k\udfff": ["\ud83d", "\ud83d\ude00"]})

    line = orjson.loads(encode(event))

    assert line["title"] == "x\ufffdy"
    assert line["fields"] == {"k\ufffd": ["\ufffd", "\U0001f600"]}
    assert line["raw"] == {"id": "5d0e8c11_0", "n": 1.5}
    assert encode(event).endswith(b'"raw":{ "id" : "5d0e8c11_0", "n": 1.50 }}')


def test_a_large_integer_keeps_its_digits() -> None:
    event = replace(EVENT, fields={"a": 2**64, "b": [-(2**63) - 1], "c": 10**3000, "d": 1 << 40_000})

    fields = json.loads(encode(event))["fields"]

    assert fields == {"a": 2**64, "b": [-(2**63) - 1], "c": 10**3000, "d": hex(1 << 40_000)}


def test_what_no_number_can_be_is_null() -> None:
    assert b'"fields":{"a":null,"b":null}' in encode(replace(EVENT, fields={"a": float("nan"), "b": float("inf")}))


@pytest.mark.parametrize("depth", [200, 300, 900])
def test_deep_nesting_is_written_or_noted(depth: int) -> None:
    nested = orjson.loads(b"[" * depth + b"]" * depth)

    line = encode(replace(EVENT, fields={"a": nested, "b": 1}))

    assert orjson.loads(line)["fields"]["b"] == 1
    assert (TOO_DEEP.encode() in line) == (depth > 250)


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError):
        encode(replace(EVENT, fields={"a": object()}))


@given(JSON, st.dictionaries(ANY_TEXT, JSON | ANY_TEXT), ANY_TEXT)
def test_any_event_is_one_line_that_parses_back(record: Any, fields: dict[str, Any], title: str) -> None:
    raw = json.dumps(record, ensure_ascii=False).encode()

    line = encode(replace(EVENT, raw=raw, fields=fields, title=title))

    assert not [byte for byte in line if byte < 0x20]
    assert line.endswith(b'"raw":' + raw + b"}")
    assert json.loads(line)["raw"] == record
    assert len(json.loads(line)["fields"]) <= len(fields)


@given(st.dictionaries(st.text(), JSON))
def test_fields_parse_back_as_they_were(fields: dict[str, Any]) -> None:
    assert json.loads(encode(replace(EVENT, fields=fields)))["fields"] == fields
