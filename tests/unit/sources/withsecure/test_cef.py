"""WithSecure's events as CEF have the names its own connector has, and every shape of them is read back equal.

`UPDATE_GOLDEN=1` in the environment writes the golden lines anew; what changed is then to be read in the diff.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import Any

import pytest

from collector.formats.cef.base import DERIVED, PAIRS
from collector.formats.cef.table import Pair
from collector.model import Event
from collector.sources.withsecure.cef import CEF_TABLE
from collector.sources.withsecure.normalize import SEVERITY_NUMBERS
from tests.unit.formats.cef_reader import TEXTS, assert_sound, canonical
from tests.unit.formats.hostile import HOSTILE
from tests.unit.sources.withsecure.cef_events import DATA, DOCUMENTS, NAMES, encoder, event_of, spoiled

ENCODE = encoder()
GOLDEN = DATA / "golden.cef"
BASE: dict[str, Any] = {"id": "a_0", "engine": "fileScanning", "action": "quarantined", "severity": "warning"}


def pairs_of(details: dict[str, Any], /, **envelope: Any) -> dict[str, str]:
    event = event_of(BASE | envelope | {"details": details})
    return assert_sound(ENCODE(event), event).pairs


def test_the_records_give_their_golden_lines() -> None:
    lines = b"".join(ENCODE(event_of(document)) + b"\n" for document in DOCUMENTS)

    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_bytes(lines)

    assert lines.splitlines() == GOLDEN.read_bytes().splitlines()


# -- the vendor's own names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "title"),
    [
        ("fileScanning", "File Scanning event"),
        ("realtimeScanning", "Real - time Scanning event"),
        ("deepGuard", "DeepGuard event"),
        ("connectionControl", "Network connection event"),
        ("browsingProtection", "Browsing Protection event"),
        ("reputationBasedBrowsing", "Browsing Protection event"),
        ("amsi", "Antimalware Scan Interface (AMSI) event"),
        ("AMSI", "Antimalware Scan Interface (AMSI) event"),
        ("edr", "Endpoint Detection and Response (EDR) event"),
        ("activityMonitor", "Server Share Protection event"),
        ("systemEventsLog", "System event"),
        ("setting", "Setting event"),
        ("connector", "Elements Connector event"),
        ("xFence", "XFENCE event"),
        ("emailScan", "Email scanning event"),
        ("oneDriveScan", "Microsoft OneDrive scanning event"),
        ("somethingNew", "somethingNew"),
    ],
)
def test_the_header_is_that_of_the_vendors_connector(engine: str, title: str) -> None:
    event = event_of(BASE | {"engine": engine, "message": "what happened"})

    header = assert_sound(ENCODE(event), event).header

    assert header == ["WithSecure", "Elements", "1.0", f"{engine}.quarantined", title, "4"]


@pytest.mark.parametrize(("word", "number"), list(SEVERITY_NUMBERS.items()))
def test_severities_have_the_vendors_numbers(word: str, number: int) -> None:
    event = event_of(BASE | {"severity": word})

    assert assert_sound(ENCODE(event), event).header[5] == str(number)


def test_an_event_without_an_action_has_its_engine_as_signature() -> None:
    event = event_of({"id": "a", "engine": "edr"})

    assert assert_sound(ENCODE(event), event).header[3] == "edr"


def test_who_and_where_stand_under_the_vendors_keys() -> None:
    pairs = pairs_of(
        {"userName": "CONTOSO\\a.virtanen"}, device={"id": "dev-1", "name": "CN-LT-0417"}, message="what happened"
    )

    assert (pairs["act"], pairs["suser"], pairs["shost"]) == ("quarantined", "CONTOSO\\a.virtanen", "CN-LT-0417")
    assert (pairs["msg"], pairs["deviceExternalId"]) == ("what happened", "dev-1")


@pytest.mark.parametrize(("device", "host"), [({"id": "dev-1"}, "dev-1"), ({"winsAddress": "WINS-1"}, "WINS-1")])
def test_a_host_without_a_name_has_what_the_vendor_takes_instead(device: dict[str, str], host: str) -> None:
    assert pairs_of({}, device=device)["shost"] == host


@pytest.mark.parametrize("engine", ["fileScanning", "manualScanning", "realtimeScanning"])
@pytest.mark.parametrize("malware", ["name", "infectionName"])
@pytest.mark.parametrize("infected", ["filePath", "object", "path"])
def test_a_scanners_object_and_malware_are_found_in_both_generations(engine: str, malware: str, infected: str) -> None:
    pairs = pairs_of({infected: "C:\\a.exe", malware: "Trojan:A"}, engine=engine)

    assert (pairs["cs1Label"], pairs["cs1"]) == ("Infected object", "C:\\a.exe")
    assert (pairs["cs2Label"], pairs["cs2"]) == ("Malware", "Trojan:A")


@pytest.mark.parametrize("name", ["Rarity: 2, Reputation: 0", "DeepGuard blocks a rare application"])
def test_a_remark_on_rarity_is_no_malware(name: str) -> None:
    pairs = pairs_of({"filePath": "/a", "name": name}, engine="deepGuard")

    assert pairs["cs1"] == "/a"
    assert "cs2" not in pairs
    assert pairs_of({"filePath": "/a", "name": "Trojan:A"}, engine="deepGuard")["cs2"] == "Trojan:A"


def test_amsi_tells_path_and_infection() -> None:
    pairs = pairs_of({"path": "C:\\cscript.exe", "infectionName": "Testfile:JS", "appName": "JScript"}, engine="amsi")

    assert (pairs["cs1"], pairs["cs2"]) == ("C:\\cscript.exe", "Testfile:JS")


@pytest.mark.parametrize(
    "details",
    [
        {"alertType": "web_traffic_scanning.url.block", "url": "hxxp://x/", "process": "C:\\bin\\curl.exe"},
        {"websiteUrl": "hxxp://x/", "filePath": "C:\\bin\\curl.exe"},
    ],
)
def test_web_traffic_tells_url_and_program(details: dict[str, str]) -> None:
    pairs = pairs_of(details, engine="webTrafficScanning")

    assert (pairs["cs1"], pairs["cs2"]) == ("hxxp://x/", "curl.exe")


def test_engines_that_find_no_malware_leave_its_keys_out() -> None:
    assert not {"cs1", "cs2"} & set(pairs_of({"targetPath": "/a", "processPath": "/b"}, engine="xFence"))


@pytest.mark.parametrize(
    ("count", "told"), [("12", "13"), (3, "4"), ("0", None), ("-1", None), ("x", None), ([], None)]
)
def test_what_the_device_suppressed_is_counted(count: Any, told: str | None) -> None:
    assert pairs_of({"throttledCount": count}).get("cnt") == told


def test_the_category_is_the_vendors_type_of_alert() -> None:
    assert pairs_of({"alertType": "file", "systemDataEventId": "4625"}, engine="systemEventsLog")["cat"] == "file"
    assert pairs_of({"alertType": "file"})["cat"] == "file"
    assert pairs_of({})["cat"] == "malware,file"


def test_who_started_a_program_is_the_source_process() -> None:
    started = {"targetPath": "C:\\new.exe", "parentPath": "C:\\old.exe", "ruleEvent": "application_start"}

    pairs = pairs_of(started, engine="applicationControl")
    opened = pairs_of(started | {"ruleEvent": "file_access"}, engine="applicationControl")

    assert (pairs["sproc"], pairs["dproc"]) == ("C:\\old.exe", "C:\\new.exe")
    assert (opened["sproc"], opened["filePath"]) == ("C:\\old.exe", "C:\\new.exe")
    assert "dproc" not in opened


# -- every shape, as it is and hostile ---------------------------------------------------------

_BY_KEY = {pair.key: pair for pair in (*PAIRS, *CEF_TABLE.pairs)}
_VARIANTS = {name.lower(): pairs for name, pairs in CEF_TABLE.variants.items()}


def expected_texts(event: Event) -> dict[str, str]:
    """What every key of text without a rule of its own has to hold, found anew for each event."""
    engine = event.fields.get("event.provider")
    sort = _VARIANTS.get(engine.lower(), ()) if isinstance(engine, str) else ()
    pairs: dict[str, Pair] = {**_BY_KEY, **{pair.key: pair for pair in sort}}
    envelope = {
        "uid": event.uid,
        "id": event.id,
        "tenant": event.tenant,
        "organization.name": event.organization_name,
        "organization.id": event.organization_id,
    }
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
    pairs = assert_sound(ENCODE(event), event).pairs
    for key, text in expected_texts(event).items():
        # A cut does not end in space or inside of what is seen as one.
        assert text.startswith(pairs[key])
        assert len(pairs[key]) >= min(len(text), TEXTS[key] - 16), key
    details = json.loads(pairs.get("cs6", "{}"))
    if "truncated" in pairs.get("flexString2", ""):
        return
    told = {*pairs.values(), *pairs.get("suser", "").split("\\"), str(int(pairs.get("cnt", "1")) - 1)}
    lost = {
        name: value
        for name, value in event.fields.items()
        if name not in details and name not in DERIVED and not told & {written(value), *written(value).split("\\", 1)}
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_shape_is_read_back_equal(document: dict[str, Any]) -> None:
    assert_told(event_of(document))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("instead", [False, True], ids=["behind", "instead"])
def test_every_shape_is_read_back_equal_with_hostile_text_in_every_field(text: str, instead: bool) -> None:
    for document in DOCUMENTS:
        assert_told(event_of(spoiled(document, text, instead=instead)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_engine_and_action_stay_in_the_header(text: str) -> None:
    event = event_of(BASE | {"engine": text, "action": text, "severity": text})

    line = assert_sound(ENCODE(event), event)

    assert line.header[0] == "WithSecure"
    assert "forged" not in (line.pairs["externalId"], line.pairs["act"])
