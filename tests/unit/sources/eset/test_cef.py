"""ESET's events as CEF have the header and keys of its own export, and every shape of them is read back equal.

`UPDATE_GOLDEN=1` in the environment writes the golden lines anew; what changed is then to be read in the diff.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import Any

import pytest

from collector.formats.cef import CefHeader
from collector.formats.cef.base import DERIVED, PAIRS
from collector.formats.cef.table import Pair
from collector.model import Event
from collector.sources.eset.cef import CEF_TABLE
from tests.unit.formats.cef_reader import TEXTS, assert_sound, canonical
from tests.unit.formats.hostile import HOSTILE
from tests.unit.sources.eset.cef_events import DATA, NAMES, SHAPES, Shape, encoder, event_of, spoiled

ENCODE = encoder()
GOLDEN = DATA / "golden.cef"


def detection(category: str, /, **keys: Any) -> Shape:
    base = {"uuid": "u-1", "occurTime": "2026-11-21T22:14:05Z", "severityLevel": "SEVERITY_LEVEL_MEDIUM"}
    return Shape("detections", base | {"category": f"DETECTION_CATEGORY_{category}"} | keys)


def pairs_of(shape: Shape) -> dict[str, str]:
    event = event_of(shape)
    return assert_sound(ENCODE(event), event).pairs


def header_of(shape: Shape) -> list[str]:
    event = event_of(shape)
    return assert_sound(ENCODE(event), event).header


def labelled(pairs: dict[str, str]) -> dict[str, str]:
    return {pairs[f"{key}Label"]: value for key, value in pairs.items() if re.fullmatch("c[sn][0-9]", key)}


def test_the_records_give_their_golden_lines() -> None:
    lines = b"".join(ENCODE(event_of(shape)) + b"\n" for shape in SHAPES)

    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_bytes(lines)

    assert lines.splitlines() == GOLDEN.read_bytes().splitlines()


# -- the vendor's own names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "class_ids", "cat", "name"),
    [
        ("ANTIVIRUS", range(100, 200), "ESET Threat Event", "Antivirus detection"),
        ("FIREWALL_RULE", range(200, 300), "ESET Firewall Event", "Firewall detection"),
        ("NETWORK_INTRUSION", range(200, 300), "ESET Firewall Event", "Network intrusion"),
        ("HIPS", range(300, 400), "ESET HIPS Event", "HIPS detection"),
        ("HIPS_RULE", range(300, 400), "ESET HIPS Event", "HIPS rule"),
        ("CORRELATION_RULE", range(500, 600), "ESET Inspect Event", "EDR rule"),
        ("EDR_RULE", range(500, 600), "ESET Inspect Event", "EDR rule"),
        ("SUSPICIOUS_ACTIVITY", range(500, 600), "ESET Inspect Event", "Suspicious activity"),
        ("WEB_ACCESS", range(700, 800), "ESET Filtered Website Event", "Filtered website"),
        ("VULNERABILITY", range(900, 1000), "ESET Vulnerability Event", "Vulnerability"),
        ("APPLICATION_PATCH", range(900, 1000), "ESET Patch Event", "Application patch"),
    ],
)
def test_a_category_has_its_place_in_the_vendors_export(category: str, class_ids: range, cat: str, name: str) -> None:
    shape = detection(category, displayName="what was found")

    vendor, product, version, class_id, title, severity = header_of(shape)

    assert (vendor, product, version, title, severity) == ("ESET", "ProtectCloud", "1.0", name, "7")
    assert int(class_id) in class_ids
    assert pairs_of(shape)["cat"] == cat


def test_an_incident_has_its_place_in_the_vendors_export() -> None:
    shape = Shape("incidents", {"uuid": "i-1", "displayName": "x", "status": "INCIDENT_STATUS_OPEN"})

    assert header_of(shape)[3:5] == ["800", "Incident"]
    assert (pairs_of(shape)["cat"], pairs_of(shape)["act"]) == ("ESET Incident Event", "open")


def test_an_incident_tells_the_names_of_its_devices() -> None:
    one, several = pairs_of(SHAPES[9]), pairs_of(SHAPES[23])

    assert (one["dvchost"], one["shost"], one["dvc"]) == ("ws-fin-31", "ws-fin-31", "10.4.1.31")
    assert one["deviceExternalId"] == "d3f0c0de-0000-4000-8000-000000000031"
    assert "Hosts" not in labelled(one)
    assert labelled(several)["Hosts"] == "ws-sales-01,ws-sales-02"
    assert not {"dvchost", "shost", "deviceExternalId"} & set(several)


def test_a_new_category_is_its_own_class() -> None:
    shape = detection("SOMETHING_NEW")

    assert header_of(shape)[3:5] == ["DETECTION_CATEGORY_SOMETHING_NEW"] * 2
    assert pairs_of(shape)["cat"] == "ESET Detection Event"


@pytest.mark.parametrize("category", [None, 7, "", "DETECTION_CATEGORY_UNSPECIFIED"])
def test_a_detection_without_a_category_has_its_kind_for_a_class(category: Any) -> None:
    shape = Shape("detections", {"uuid": "u-1", "category": category})

    assert header_of(shape)[3:5] == ["detection", "Detection"]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("SEVERITY_LEVEL_DIAGNOSTIC", "2"),
        ("SEVERITY_LEVEL_INFORMATIONAL", "2"),
        ("SEVERITY_LEVEL_LOW", "5"),
        ("SEVERITY_LEVEL_MEDIUM", "7"),
        ("SEVERITY_LEVEL_HIGH", "8"),
        ("HIGH", "8"),
        ("SEVERITY_LEVEL_UNSPECIFIED", "7"),
        ("SEVERITY_LEVEL_GRAVE", "7"),
        (None, "7"),
    ],
)
def test_severities_have_the_numbers_of_the_vendors_export(word: Any, number: str) -> None:
    assert header_of(detection("ANTIVIRUS", severityLevel=word))[5] == number


def test_an_incidents_severity_has_the_same_numbers() -> None:
    shape = Shape("incidents", {"uuid": "i-1", "severity": "INCIDENT_SEVERITY_LEVEL_LOW"})

    assert header_of(shape)[5] == "5"


def test_an_operator_may_ask_for_another_header() -> None:
    event = event_of(detection("ANTIVIRUS"))
    encode = encoder(CefHeader(product="Protect", version="12.0", signature="{rule.category}"))

    header = assert_sound(encode(event), event).header

    assert header[1:4] == ["Protect", "12.0", "DETECTION_CATEGORY_ANTIVIRUS"]


def test_a_threat_has_the_exports_keys() -> None:
    pairs = pairs_of(SHAPES[0])

    assert labelled(pairs) == {
        "Threat Name": "Win32/Sample.Agent.QX",
        "Threat Type": "Trojan",
        "Scanner ID": "Real-time file system protection",
        "Circumstances": "Event occurred on a newly created file",
        "Hash": "0f2d9c4b7a6e51838c9b0a1d2e3f405162738495",
        "Handled": "1",
        "Restart Needed": "0",
        "Tenant": "acme",
        "Details": pairs["cs6"],
    }
    assert (pairs["cs1"], pairs["cs3"], pairs["cs4"], pairs["cs7"][:5], pairs["cs8"][:4], pairs["cs9"]) == (
        "Win32/Sample.Agent.QX",
        "Trojan",
        "Real-time file system protection",
        "Event",
        "0f2d",
        "acme",
    )
    assert (pairs["act"], pairs["fileType"], pairs["suser"]) == ("Cleaned by deleting", "File", "ACME\\m.novak")
    assert pairs["filePath"] == "file:///C:/Users/m.novak/Downloads/invoice_1142.exe"
    assert pairs["sprod"] == pairs["sproc"] == "C:\\Program Files\\Browser\\browser.exe"
    assert (pairs["deviceExternalId"], pairs["dvchost"]) == ("d3f0c0de-0000-4000-8000-000000000017", "ws-sales-17")
    assert (pairs["dvc"], pairs["ESETProtectDeviceOsName"]) == ("10.4.1.17", "Windows 11 Pro")


def test_a_connection_has_the_exports_keys() -> None:
    network = {
        "direction": "NETWORK_COMMUNICATION_DIRECTION_INBOUND",
        "localIpAddress": "10.4.1.20",
        "localPort": 8080,
        "protocolName": "TCP",
        "remoteIpAddress": "203.0.113.77",
        "remotePort": 51522,
    }
    shape = detection(
        "FIREWALL_RULE",
        displayName="Block inbound",
        typeName="Exploitation attempt",
        networkCommunication=network,
        context={"process": {"path": "C:\\srv.exe"}},
    )

    pairs = pairs_of(shape)

    assert (pairs["src"], pairs["spt"], pairs["dst"], pairs["dpt"]) == ("203.0.113.77", "51522", "10.4.1.20", "8080")
    assert (pairs["proto"], pairs["deviceDirection"], pairs["deviceProcessName"]) == ("tcp", "0", "C:\\srv.exe")
    assert (pairs["cs2Label"], pairs["cs2"]) == ("Rule Name", "Block inbound")
    assert (pairs["cs3Label"], pairs["cs3"]) == ("Threat Name", "Exploitation attempt")
    assert (pairs["cn1Label"], pairs["cn1"]) == ("Handled", "0")


def test_an_intrusion_is_a_threat_by_its_name() -> None:
    pairs = pairs_of(detection("NETWORK_INTRUSION", displayName="Port scan", typeName="Network attack"))

    assert (pairs["cs3Label"], pairs["cs3"]) == ("Threat Name", "Port scan")
    assert "Network attack" in pairs["cs6"]


def test_hips_has_the_exports_keys() -> None:
    shape = detection(
        "HIPS",
        displayName="No children",
        edrRuleUuid="r-1",
        typeName="Start new application",
        objectUrl="C:\\drop.exe",
        process={"path": "C:\\wscript.exe"},
        responses=[{"displayName": "Blocked"}],
    )

    assert {key: value for key, value in labelled(pairs_of(shape)).items() if key not in {"Tenant", "Details"}} == {
        "Rule ID": "r-1",
        "Rule Name": "No children",
        "Application": "C:\\wscript.exe",
        "Operation": "Start new application",
        "Target": "C:\\drop.exe",
        "Handled": "1",
    }


def test_an_edr_rule_tells_rule_and_command() -> None:
    shape = detection(
        "EDR_RULE",
        displayName="Shell started",
        edrRuleUuid="r-1",
        process={"path": "/bin/sh", "commandLine": "sh -c id"},
    )

    pairs = pairs_of(shape)

    assert (pairs["cs1Label"], pairs["cs1"]) == ("Rule ID", "r-1")
    assert (pairs["cs2Label"], pairs["cs2"]) == ("Rule Name", "Shell started")
    assert (pairs["msg"], pairs["sproc"]) == ("Shell started", "/bin/sh")
    assert json.loads(pairs["cs6"])["process.command_line"] == "sh -c id"


@pytest.mark.parametrize(
    ("responses", "told"),
    [
        ([], "0"),
        (None, "0"),
        ([{}], "0"),
        ("done", "0"),
        ([{"displayName": "Cleaned"}], "1"),
        ([{"description": "moved away"}], "1"),
        ([{"actionType": "OBJECT_ACTION_TYPE_DELETE"}], "1"),
        ([{"actionType": "OBJECT_ACTION_TYPE_NO_ACTION", "displayName": "None"}], "0"),
        ([{"actionType": "OBJECT_ACTION_TYPE_ERROR"}, {"displayName": "Cleaned"}], "1"),
        ([{"actionType": "OBJECT_ACTION_TYPE_UNSPECIFIED"}], "0"),
    ],
)
def test_a_threat_is_handled_where_a_response_says_what_was_done(responses: Any, told: str) -> None:
    assert pairs_of(detection("ANTIVIRUS", responses=responses))["cn1"] == told


@pytest.mark.parametrize(("asked", "told"), [([True], "1"), ([False, True], "1"), ([False], "0"), ([None, "x"], None)])
def test_whether_a_restart_is_needed_is_told_where_a_response_tells_it(asked: list[Any], told: str | None) -> None:
    shape = detection("ANTIVIRUS", responses=[{"deviceRestartRequired": one} for one in asked])

    assert pairs_of(shape).get("cn2") == told


def test_addresses_of_version_6_have_keys_of_their_own() -> None:
    sides = {"localIpAddress": "2001:db8::20", "remoteIpAddress": "2001:db8:ffff::77"}
    pairs = pairs_of(
        Shape(
            "detections",
            detection("NETWORK_INTRUSION", networkTraffic=sides).document,
            {"device": {"primaryLocalIpAddress": "2001:db8::1"}},
        )
    )

    assert not {"src", "dst", "dvc"} & set(pairs)
    assert (pairs["c6a1"], pairs["c6a2"], pairs["c6a3"]) == ("2001:db8::1", "2001:db8::20", "2001:db8:ffff::77")


def test_times_are_milliseconds_and_ids_both_there() -> None:
    pairs = pairs_of(detection("ANTIVIRUS"))

    assert pairs["rt"] == pairs["end"] == "1795299245000"
    assert pairs["flexString1"] == "u-1"
    assert re.fullmatch("[0-9a-f]{32}", pairs["externalId"])


# -- every shape, as it is and hostile ---------------------------------------------------------

_BY_KEY = {pair.key: pair for pair in (*PAIRS, *CEF_TABLE.pairs)}
_VARIANTS = {name.lower(): pairs for name, pairs in CEF_TABLE.variants.items()}


def expected_texts(event: Event) -> dict[str, str]:
    """What every key of text without a rule of its own has to hold, found anew for each event."""
    category = event.fields.get("rule.category", event.kind)
    sort = _VARIANTS.get(category.lower(), ()) if isinstance(category, str) else ()
    pairs: dict[str, Pair] = {**_BY_KEY, **{pair.key: pair for pair in sort}}
    envelope = {"uid": event.uid, "id": event.id, "tenant": event.tenant, "title": event.title}
    expected = {}
    for key, pair in pairs.items():
        for name in pair.sources if key in TEXTS else ():
            value = {**event.fields, **envelope}.get(name)
            text = canonical(",".join(value) if isinstance(value, list) else str(value)) if value is not None else ""
            if text:
                expected[key] = text
                break
    return expected


def assert_told(event: Event) -> None:
    """Both readers find every key's value, and every field of the event somewhere."""
    line = assert_sound(ENCODE(event), event)
    pairs = line.pairs
    for key, text in expected_texts(event).items():
        # A cut does not end in space or inside of what is seen as one.
        assert text.startswith(pairs[key])
        assert len(pairs[key]) >= min(len(text), TEXTS[key] - 16), key
    details = json.loads(pairs.get("cs6", "{}"))
    if "truncated" in pairs.get("flexString2", ""):
        return
    told = {*pairs.values(), *pairs.get("suser", "").split("\\")}
    lost = {
        name: value
        for name, value in event.fields.items()
        if name not in {*details, *DERIVED, "rule.category"}
        and not told & {written(value), *written(value).split("\\", 1)}
    }
    assert lost == {}


def written(value: Any) -> str:
    """A field's value as a key of another type than text has it."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ",".join(value)
    if value in ("inbound", "outbound"):
        return str(("inbound", "outbound").index(value))
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
        return str(round(datetime.fromisoformat(value).timestamp() * 1000))
    return str(value)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_every_shape_is_read_back_equal(shape: Shape) -> None:
    assert_told(event_of(shape))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("instead", [False, True], ids=["behind", "instead"])
def test_every_shape_is_read_back_equal_with_hostile_text_in_every_field(text: str, instead: bool) -> None:
    for shape in SHAPES:
        assert_told(event_of(spoiled(shape, text, instead=instead)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_category_stays_in_the_header(text: str) -> None:
    event = event_of(Shape("detections", {"uuid": "u-1", "category": text, "severityLevel": text, "displayName": text}))

    line = assert_sound(ENCODE(event), event)

    assert line.header[0] == "ESET"
    assert "forged" not in line.pairs["externalId"]
