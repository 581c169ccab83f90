"""The Splunk add-on: files that Splunk reads, about the sourcetypes and fields that we send."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.formats import FORMATS
from collector.sinks.splunk_hec import HecConfig
from collector.sinks.splunk_hec.metadata import Wrapper, indexed_fields, sourcetype_of_raw
from collector.testing import make_event
from tests.unit.sources.eset import cef_events as eset
from tests.unit.sources.withsecure import cef_events as withsecure

ADDON = Path(__file__).parents[2] / "deploy" / "splunk" / "TA-edr-collector"
FILES = sorted([*ADDON.glob("default/*.conf"), *ADDON.glob("metadata/*.meta")])
ENVELOPE = {"uid", "id", "tenant", "feed", "kind", "severity", "vendor", "product", "title"}
STEADY = {
    "TRUNCATE": "0",
    "SHOULD_LINEMERGE": "false",
    "LINE_BREAKER": r"([\r\n]+)",
}


def stanzas(file: Path) -> dict[str, dict[str, str]]:
    """A conf file, read as strictly as its syntax allows: no key twice, nothing outside a stanza."""
    found: dict[str, dict[str, str]] = {}
    here: dict[str, str] | None = None
    for line in file.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        head = re.fullmatch(r"\[(.*)\]", line)
        if head:
            assert head[1] not in found
            here = found[head[1]] = {}
            continue
        key, equals, value = line.partition(" = ")
        assert here is not None
        assert equals, line
        assert (key, value) == (key.strip(), value.strip()), line
        assert key not in here, line
        here[key] = value
    return found


PROPS = stanzas(ADDON / "default" / "props.conf")


def sourcetypes() -> set[str]:
    """What the sink gives to events of either vendor, by format."""
    found = set()
    for form in FORMATS:
        if form != "raw":
            config = HecConfig.model_validate({"url": "https://s", "token": "t", "format": form})
            found.add(Wrapper(config)._sourcetype(make_event()))
    for kind in ("security_event", "incident", "detection"):
        found.add(sourcetype_of_raw(make_event(kind=kind)))
    for kind in ("incident", "detection"):
        found.add(sourcetype_of_raw(make_event(vendor="ESET", product="PROTECT", kind=kind)))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_every_file_is_one_that_splunk_reads(file: Path) -> None:
    assert stanzas(file)
    assert file.read_text().isascii()


def test_every_sourcetype_has_its_stanza() -> None:
    assert sourcetypes() <= set(PROPS)


@pytest.mark.parametrize("name", PROPS)
def test_events_stay_whole_and_fields_come_once(name: str) -> None:
    assert STEADY.items() <= PROPS[name].items()
    assert "INDEXED_EXTRACTIONS" not in PROPS[name]
    if PROPS[name]["KV_MODE"] == "json":
        for field in indexed_fields(make_event()):
            assert "mvindex(" in PROPS[name][f"EVAL-{field}"]


@pytest.mark.parametrize("name", PROPS)
def test_parentheses_and_quotes_of_every_calculation_close(name: str) -> None:
    for key, value in PROPS[name].items():
        if key.startswith("EVAL-"):
            bare = re.sub(r'"[^"]*"', "", value)
            assert bare.count("(") == bare.count(")"), key
            assert bare.count("'") % 2 == 0, key
            assert '"' not in bare, key


def test_the_fields_of_the_envelope_that_are_read_are_fields_we_send() -> None:
    events = [withsecure.event_of(document) for document in withsecure.DOCUMENTS]
    events += [eset.event_of(shape) for shape in eset.SHAPES]
    known = {name for event in events for name in event.fields}
    read = {
        name for key, value in PROPS["edr:collector:json"].items() for name in re.findall(r"'fields\.([^']+)'", value)
    }

    assert read
    assert read <= known


def test_the_models_alerts_and_malware_find_their_fields() -> None:
    wanted = {"dest", "user", "signature", "severity", "file_hash", "vendor_product", "id", "type", "action"}

    assert {f"EVAL-{field}" for field in wanted} <= PROPS["edr:collector:json"].keys()


def test_tags_and_event_types_refer_to_what_there_is() -> None:
    types = stanzas(ADDON / "default" / "eventtypes.conf")
    tags = stanzas(ADDON / "default" / "tags.conf")

    assert {name.removeprefix("eventtype=") for name in tags} <= types.keys()
    assert tags["eventtype=edr_collector_alert"] == {"alert": "enabled"}
    for stanza in types.values():
        assert set(re.findall(r"eventtype=(\w+)", stanza["search"])) <= types.keys()
