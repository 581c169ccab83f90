"""Records of every nonsensical kind arrive, as events or as kind `unparsed`, in every format."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS
from collector.sources.eset.detection_fields import READ, detection_table
from collector.sources.eset.incident_fields import INCIDENT
from collector.sources.eset.incident_fields import READ as INCIDENT_READ
from collector.sources.eset.reading import MAX_UNKNOWN
from tests.unit.sources.eset.cef_events import encoder, event_of_raw

TABLE = detection_table(is_file=True, inbound=True)
KNOWN = sorted({*READ, *TABLE, *INCIDENT, *INCIDENT_READ})


def every(value: Any) -> bytes:
    """A record in which each key has this value."""
    return json.dumps({key: value for key in KNOWN}).encode()  # noqa: C420 -- the value may be one that changes


NONSENSE: dict[str, bytes] = {
    "too deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "no JSON": b"<html>502</html>",
    "a list": b"[1]",
    "bytes": bytes(range(256)),
}
VARIATIONS: dict[str, bytes] = {
    "empty": b"{}",
    "uuid alone": b'{"uuid":"u"}',
    "all null": every(None),
    "all numbers": every(7),
    "all fractions": every(-0.5),
    "all true": every(True),
    "all texts": every("nil \ud800"),
    "all lists": every([[], {}, None, "x", 1]),
    "all objects": every({"uuid": 1, "": {}}),
    "snake case": b'{"occur_time":"2026-11-21T22:14:05Z","display_name":"x","severity_level":"HIGH"}',
    "renamed": b'{"id":"u","time":"2026-11-21T22:14:05Z","name":"x","hostName":"h"}',
    "another envelope": b'{"data":{"detection":{"uuid":"u"}}}',
    "numeric codes": b'{"uuid":"u","category":3,"severityLevel":4,"status":2,"severity":1}',
    "epochs": b'{"uuid":"u","occurTime":1795299245,"createTime":"1795299245","updateTime":1795299245000}',
    "far times": b'{"uuid":"u","occurTime":"9999-12-31T23:59:59Z","updateTime":"0001-01-01T00:00:00Z"}',
    "not yet a time": b'{"uuid":"u","occurTime":"0000-00-00T00:00:00Z","updateTime":"2026-02-30T00:00:00Z"}',
    "deep": b'{"file":{"containedFiles":' + b'[{"containedFiles":' * 400 + b"[]" + b"}]" * 400 + b"}}",
    "huge text": b'{"displayName":"' + b"x" * 10_000_000 + b'"}',
    "many keys": json.dumps({f"key {number}": number for number in range(50_000)}).encode(),
    "huge number": b'{"severityScore":' + b"9" * 4000 + b',"objectSizeBytes":"' + b"9" * 4000 + b'"}',
    "hostile": json.dumps({"displayName": "x\r\nCEF:0|a|b=c\\", "typeName": "\x00\u2028", "a=b|c": "\\"}).encode(),
    "twice": b'{"uuid":"u","uuid":"v","context":{"userName":"a"},"context":[]}',
}


@pytest.mark.parametrize("raw", VARIATIONS.values(), ids=VARIATIONS)
@pytest.mark.parametrize(("feed", "kind"), [("detections", "detection"), ("incidents", "incident")])
def test_every_variation_arrives_as_an_event(feed: str, kind: str, raw: bytes) -> None:
    event, _ = event_of_raw(raw, feed)

    assert event.kind == kind
    assert json.loads(FORMATS["json"].encode(event))["title"]


@pytest.mark.parametrize("raw", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("feed", ["detections", "incidents"])
def test_what_is_no_object_arrives_unparsed(feed: str, raw: bytes) -> None:
    assert event_of_raw(raw, feed)[0].kind == "unparsed"


@pytest.mark.parametrize("raw", (VARIATIONS | NONSENSE).values(), ids=VARIATIONS | NONSENSE)
@pytest.mark.parametrize("feed", ["detections", "incidents"])
def test_every_variation_is_one_line_in_every_format(feed: str, raw: bytes) -> None:
    event, _ = event_of_raw(raw, feed)

    for encode in (FORMATS["json"].encode, FORMATS["raw"].encode, encoder()):
        line = encode(event)
        assert line
        assert b"\n" not in line


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(("", "nil", "1795299245000", "192.0.2.1", "::1", "C:\\a", "file:///C:/a", "a" * 40, "x@y, z@y")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
INNER = sorted({key for part in TABLE.values() if isinstance(part, dict) for key in part})
PARTS = st.dictionaries(st.sampled_from(INNER), ANY, max_size=6)
KEYS = st.sampled_from(KNOWN)
DOCUMENTS = st.dictionaries(KEYS | st.text(), ANY | PARTS | st.lists(PARTS, max_size=2), max_size=12)


@given(st.sampled_from(["detections", "incidents"]), DOCUMENTS, st.dictionaries(st.text(), ANY, max_size=3) | PARTS)
def test_no_value_of_any_type_breaks_an_event(feed: str, document: dict[str, Any], extra: dict[str, Any]) -> None:
    raw = json.dumps(document).encode()
    event, unknown = event_of_raw(raw, feed, json.dumps({"device": extra, "comments": extra}).encode())

    line = json.loads(FORMATS["json"].encode(event))

    assert event.kind != "unparsed"
    assert line["title"]
    assert len(unknown) <= MAX_UNKNOWN
    for name in ("source.ip", "destination.ip"):
        if name in event.fields:
            ipaddress.ip_address(event.fields[name])
    for name in ("source.port", "destination.port"):
        assert 0 < event.fields.get(name, 1) < 65_536
