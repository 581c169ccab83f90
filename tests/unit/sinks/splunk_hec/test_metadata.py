"""The objects that events travel in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from collector.formats import FORMATS
from collector.model import Event
from collector.sinks.splunk_hec import HecConfig
from collector.sinks.splunk_hec.metadata import Wrapper
from collector.testing import make_event
from tests.unit.formats.hostile import HOSTILE


def wrapped(event: Event, index: str | None = None, **settings: Any) -> dict[str, Any]:
    config = HecConfig.model_validate({"url": "https://splunk.example.com:8088", "token": "t", **settings})
    content = Wrapper(config).wrap(event, FORMATS[config.format].encode(event), index)
    assert b"\n" not in content
    found = json.loads(content)
    assert isinstance(found, dict)
    assert found.keys() <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}
    return found


def test_an_event_travels_with_its_metadata() -> None:
    event = make_event(3)

    found = wrapped(event, "edr")

    assert found.pop("event") == json.loads(FORMATS["json"].encode(event))
    assert found == {
        "time": event.occurred_at.timestamp(),
        "host": "ws-042",
        "source": "acme/withsecure/security_events",
        "sourcetype": "edr:collector:json",
        "index": "edr",
        "fields": {
            "uid": event.uid,
            "id": "event-3",
            "tenant": "acme",
            "feed": "security_events",
            "kind": "security_event",
            "severity": "medium",
        },
    }


def test_without_an_index_that_of_the_token_is_left_to_decide() -> None:
    assert "index" not in wrapped(make_event())


def test_the_time_is_a_decimal_with_milliseconds() -> None:
    event = make_event()
    content = Wrapper(HecConfig.model_validate({"url": "https://s", "token": "t"})).wrap(event, b"{}", None)

    assert b'"time":1795342270.345,' in content


def test_the_time_of_fetching_can_be_the_time() -> None:
    event = make_event()

    assert wrapped(event, time="fetched")["time"] == event.fetched_at.timestamp()


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({}, "acme"),
        ({"host.name": ""}, "acme"),
        ({"host.name": 17}, "acme"),
        ({"host.name": ["ws-1", "ws-2"]}, "ws-1"),
        ({"host.name": []}, "acme"),
        ({"host.name": "h" * 300}, "h" * 255),
    ],
    ids=str,
)
def test_the_host_is_the_device_or_else_the_tenant(fields: dict[str, Any], host: str) -> None:
    assert wrapped(make_event(fields=fields))["host"] == host


def test_host_source_and_sourcetype_can_be_templates() -> None:
    event = make_event(labels={"site": "hki"})

    found = wrapped(event, host="{label.site}", source="edr:{feed}", sourcetype="{source}:{feed}")

    assert found["host"] == "hki"
    assert found["source"] == "edr:security_events"
    assert found["sourcetype"] == "withsecure:security_events"


def test_templates_that_give_nothing_give_way_to_the_defaults() -> None:
    found = wrapped(make_event(), host="{label.x}", source="{label.x}", sourcetype="{label.x}")

    assert [found[key] for key in ("host", "source", "sourcetype")] == [
        "acme",
        "acme/withsecure/security_events",
        "edr:collector:json",
    ]


@pytest.mark.parametrize(
    ("changes", "sourcetype"),
    [
        ({}, "withsecure:epp:security_event"),
        ({"kind": "incident"}, "withsecure:epp:bcd_incident"),
        ({"kind": "detection"}, "withsecure:epp:bcd_detection"),
        ({"kind": "unparsed"}, "withsecure:elements:unparsed"),
        ({"vendor": "ESET", "product": "PROTECT", "kind": "detection"}, "eset:protect:detection"),
        ({"vendor": "Ä B", "product": "", "kind": "test"}, "b:other:test"),
    ],
    ids=str,
)
def test_raw_records_have_the_sourcetype_their_users_know(changes: dict[str, Any], sourcetype: str) -> None:
    assert wrapped(make_event(**changes), format="raw")["sourcetype"] == sourcetype


def test_other_formats_have_a_sourcetype_of_their_own() -> None:
    found = wrapped(make_event(), format="cef")

    assert found["sourcetype"] == "edr:collector:cef"
    assert found["event"].startswith("CEF:0|")


@pytest.mark.parametrize("raw", [b"null", b"12", b"true", b'""', b"[1]", b'"text"'], ids=bytes.decode)
def test_a_record_that_is_no_object_travels_as_text(raw: bytes) -> None:
    assert wrapped(make_event(raw=raw), format="raw")["event"] == raw.decode()


def test_fields_are_flat_texts_and_never_empty() -> None:
    fields = wrapped(make_event(id="", uid="u"))["fields"]

    assert "id" not in fields
    assert all(isinstance(value, str) and value for value in fields.values())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("form", ["json", "raw", "cef"])
def test_hostile_text_stays_inside_its_value(text: str, form: str) -> None:
    raw = json.dumps({"x": text}).encode()
    event = make_event(id=text or "x", title=text, tenant="t", fields={"host.name": text}, raw=raw, uid="u")

    found = wrapped(replace(event, organization_name=text), "edr", format=form)

    assert found["fields"]["uid"] == "u"
    assert found["index"] == "edr"
    if form == "raw":
        assert found["event"] == {"x": text}


def test_a_lone_surrogate_is_repaired() -> None:
    assert wrapped(make_event(fields={"host.name": "a\ud800b"}))["host"] == "a\ufffdb"
