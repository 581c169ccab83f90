"""What a security event says is read, whatever generation, types and nonsense it comes with."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS
from collector.model import Normalized, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.engines import ENGINES, engine_title
from collector.sources.withsecure.normalize import MAX_UNKNOWN, SEVERITY_NUMBERS, normalize

PERSISTED = datetime(2026, 3, 2, 9, 15, 7, 412_000, tzinfo=UTC)
BASE: dict[str, Any] = {
    "id": "a_0",
    "engine": "firewall",
    "action": "blocked",
    "severity": "info",
    "clientTimestamp": "2026-03-02T09:14:58Z",
    "serverTimestamp": "2026-03-02T09:15:03.980Z",
    "persistenceTimestamp": "2026-03-02T09:15:07.412Z",
    "organization": {"id": "org-1", "name": "Contoso Nordics Oy"},
    "device": {"id": "dev-1", "name": "CN-LT-0417"},
    "details": {},
}
GONE = object()


def read(details: Any = GONE, **changes: Any) -> Normalized:
    document = {**BASE, **({} if details is GONE else {"details": details}), **changes}
    document = {key: value for key, value in document.items() if value is not GONE}
    return read_raw(json.dumps(document).encode())


def read_raw(raw: bytes) -> Normalized:
    return normalize("security_events", Record(id="a_0", bucket=0, recorded_at=PERSISTED, raw=raw))


# -- the envelope ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("info", "informational"),
        ("warning", "medium"),
        ("error", "medium"),
        ("fatal_error", "high"),
        ("critical", "critical"),
        ("CRITICAL", "critical"),
    ],
)
def test_each_severity_has_its_place_on_the_scale(word: str, severity: str) -> None:
    event = read(severity=word)

    assert (event.severity, event.severity_vendor, event.flags) == (severity, word, ())


@pytest.mark.parametrize(
    ("word", "shown"), [("grave", "grave"), (GONE, ""), (None, ""), (7, "7"), ([], ""), ("", ""), ("x" * 99, "x" * 99)]
)
def test_any_other_severity_is_medium_and_flagged(word: Any, shown: str) -> None:
    event = read(severity=word)

    assert (event.severity, event.severity_vendor, event.flags) == ("medium", shown, ("severity_unknown",))
    assert event.unknown == (f"severity:{shown[:64]}",)


def test_the_vendors_own_severity_numbers_are_kept() -> None:
    events = {"info": 1, "warning": 4, "error": 6, "fatal_error": 8, "critical": 10}
    risks = {"info": 1, "low": 4, "medium": 6, "high": 8, "severe": 10}

    assert events | risks == SEVERITY_NUMBERS


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"message": "m", "description": "d"}, "m"),
        ({"message": "", "description": "d"}, "d"),
        ({"message": None}, "Firewall event"),
        ({"message": ["no text"]}, "Firewall event"),
        ({"engine": "newEngine"}, "newEngine"),
        ({"engine": None}, "WithSecure security event"),
    ],
)
def test_the_title_is_the_best_sentence_there_is(changes: dict[str, Any], title: str) -> None:
    assert read(**changes).title == title


def test_a_description_that_says_more_than_the_engines_title_is_kept() -> None:
    assert read(message="m", description="d").fields["withsecure.description"] == "d"
    assert "withsecure.description" not in read(message="m", description="Firewall event").fields


def test_a_long_title_is_cut_and_kept_whole_in_the_message() -> None:
    event = read(message="m" * 5000)

    assert event.title == "m" * 1000
    assert event.fields["message"] == "m" * 5000


CLIENT, INNER, SERVER = "2026-03-02T09:14:58Z", "1772442890000", "2026-03-02T09:15:03.980Z"


@pytest.mark.parametrize(
    ("client", "inner", "server", "occurred"),
    [
        (CLIENT, INNER, SERVER, datetime(2026, 3, 2, 9, 14, 58, tzinfo=UTC)),
        (GONE, INNER, SERVER, datetime(2026, 3, 2, 9, 14, 50, tzinfo=UTC)),
        ("yesterday", int(INNER), SERVER, datetime(2026, 3, 2, 9, 14, 50, tzinfo=UTC)),
        (GONE, "0", SERVER, datetime(2026, 3, 2, 9, 15, 3, 980_000, tzinfo=UTC)),
        (GONE, [], 1772442903980, datetime(2026, 3, 2, 9, 15, 3, 980_000, tzinfo=UTC)),
        (None, None, None, PERSISTED),
    ],
)
def test_the_devices_clock_comes_first_then_the_vendors(client: Any, inner: Any, server: Any, occurred: Any) -> None:
    event = read({"clientTimestamp": inner}, clientTimestamp=client, serverTimestamp=server)

    assert event.occurred_at == occurred
    assert event.recorded_at == PERSISTED


def test_a_time_no_one_can_read_is_kept_as_it_is() -> None:
    event = read({"clientTimestamp": "later"}, clientTimestamp="soon", persistenceTimestamp=True)

    assert event.fields["withsecure.clientTimestamp"] == "soon"
    assert event.fields["withsecure.details.clientTimestamp"] == "later"
    assert event.fields["withsecure.persistenceTimestamp"] is True
    assert event.recorded_at == PERSISTED


def test_a_second_clock_that_differs_is_kept() -> None:
    assert read({"clientTimestamp": INNER}).fields["withsecure.details.clientTimestamp"] == INNER
    assert "withsecure.details.clientTimestamp" not in read({"clientTimestamp": "1772442898000"}).fields


def test_the_old_envelope_is_read_like_the_new() -> None:
    event = read(
        organization=GONE,
        account={"uuid": "org-1", "name": "Contoso Nordics Oy", "orgPath": "a/b"},
        device={"agentId": "dev-1", "id": 0, "name": "CN-LT-0417"},
        clientTimestamp=GONE,
        serverTimestamp=1772442903980,
        persistenceTimestamp=1772442907412,
        txId="0000-1",
    )

    assert (event.organization_id, event.organization_name) == ("org-1", "Contoso Nordics Oy")
    assert event.fields["host.id"] == "dev-1"
    assert event.fields["withsecure.account.orgPath"] == "a/b"
    assert event.fields["withsecure.txId"] == "0000-1"
    assert event.recorded_at == PERSISTED
    assert event.unknown == ()


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ({"id": "dev-1", "name": "CN"}, "CN"),
        ({"id": "dev-1", "winsAddress": "192.0.2.1"}, "dev-1"),
        ({"winsAddress": "192.0.2.1"}, "192.0.2.1"),
        ({}, None),
        (None, None),
        ("CN", None),
    ],
)
def test_a_nameless_device_is_called_as_the_vendor_calls_it(device: Any, name: str | None) -> None:
    assert read(device=device).fields.get("host.name") == name


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("CONTOSO\\a.virtanen", {"user.domain": "CONTOSO", "user.name": "a.virtanen"}),
        ("CN-FS-01/root", {"user.domain": "CN-FS-01", "user.name": "root"}),
        ("k.laine", {"user.name": "k.laine"}),
        (
            "a@contoso.example",
            {"user.domain": "contoso.example", "user.name": "a@contoso.example", "user.email": "a@contoso.example"},
        ),
        ("\\x", {"user.name": "\\x"}),
        ("a@b@c", {"user.name": "a@b@c"}),
        ("null", {"withsecure.userName": "null"}),
        (None, {"withsecure.userName": None}),
    ],
)
def test_an_account_is_taken_apart(text: Any, fields: dict[str, Any]) -> None:
    given_fields = read(userName=text).fields

    assert {key: value for key, value in given_fields.items() if "user" in key} == fields


def test_of_two_accounts_the_envelopes_counts_and_the_other_is_kept() -> None:
    fields = read({"userName": "OTHER\\b"}, userName="CONTOSO\\a").fields

    assert fields["user.name"] == "a"
    assert fields["withsecure.details.userName"] == "OTHER\\b"


def test_the_target_is_told_once() -> None:
    assert not [key for key in read(target={"id": "dev-1", "name": "CN-LT-0417"}).fields if "target" in key]
    assert read(target={"id": "x", "name": "CN-LT-0417"}).fields["withsecure.target.id"] == "x"
    mail = read(engine="emailScan", device=GONE, target={"id": "k@contoso.example", "name": "k@contoso.example"})
    assert mail.fields["user.email"] == "k@contoso.example"
    assert not [key for key in mail.fields if "target" in key]


# -- the details -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AMSI", "amsi", "Amsi"])
def test_the_case_of_an_engine_does_not_matter(name: str) -> None:
    event = read({"path": "C:\\a.js", "infectionName": "Testfile:JS/X"}, engine=name)

    assert event.fields["threat.software.name"] == "Testfile:JS/X"
    assert event.fields["event.provider"] == name
    assert event.title == engine_title(name) == "Antimalware Scan Interface (AMSI) event"
    assert event.unknown == ()


@pytest.mark.parametrize(
    ("engine", "details", "fields"),
    [
        ("fileScanning", {"name": "A", "infectionName": "B"}, {"threat.software.name": "A"}),
        ("fileScanning", {"infectionName": "B"}, {"threat.software.name": "B"}),
        ("fileScanning", {"path": "/p/c", "object": "/o/b", "filePath": "/f/a"}, {"file.path": "/f/a"}),
        ("fileScanning", {"path": "/p/c", "object": "/o/b"}, {"file.path": "/o/b", "file.name": "b"}),
        ("fileScanning", {"created": "1772442700", "size": "9"}, {"file.created": "2026-03-02T09:11:40.000Z"}),
        ("fileScanning", {"creator": "/c", "creatorSha1": "a" * 40}, {"process.hash.sha1": "a" * 40}),
        (
            "emailScan",
            {"itemDateTimeReceived": 1772442700000},
            {"email.delivery_timestamp": "2026-03-02T09:11:40.000Z"},
        ),
        ("deepGuard", {"name": "Exploit:W32/X"}, {"threat.software.name": "Exploit:W32/X"}),
        ("tamperProtection", {"actionType": "registry", "path": "HKLM\\X"}, {"registry.path": "HKLM\\X"}),
        ("tamperProtection", {"actionType": "file", "path": "C:\\X"}, {"file.path": "C:\\X"}),
        ("xFence", {"processHash": "A" * 64}, {"process.hash.sha256": "a" * 64}),
        ("firewall", {"ipProtocol": "TCP(6)"}, {"network.transport": "tcp", "network.iana_number": "6"}),
        ("firewall", {"ipProtocol": "IPv6"}, {"network.type": "ipv6"}),
    ],
)
def test_keys_get_their_ecs_names(engine: str, details: dict[str, Any], fields: dict[str, Any]) -> None:
    given_fields = read(details, engine=engine).fields

    assert {**given_fields, **fields} == given_fields


@pytest.mark.parametrize("remark", ["Rarity: 2, Reputation: 0", "DeepGuard blocks a rare application"])
def test_a_remark_on_rarity_is_no_malware(remark: str) -> None:
    fields = read({"name": remark}, engine="deepGuard").fields

    assert "threat.software.name" not in fields
    assert fields["withsecure.details.name"] == remark


def test_the_path_of_one_program_never_meets_the_hash_of_another() -> None:
    fields = read(
        {"accessorPath": "/bin/a", "creator": "/bin/b", "creatorSha1": "b" * 40}, engine="fileScanning"
    ).fields

    assert fields["process.executable"] == "/bin/a"
    assert "process.hash.sha1" not in fields
    assert fields["withsecure.details.creatorSha1"] == "b" * 40


@pytest.mark.parametrize(
    ("direction", "local", "remote"),
    [
        ("inbound", "destination", "source"),
        ("outbound", "source", "destination"),
        ("forward", "source", "destination"),
        (None, "source", "destination"),
    ],
)
def test_the_side_that_began_is_the_source(direction: Any, local: str, remote: str) -> None:
    fields = read(
        {
            "ruleDirection": direction,
            "localAddress": "192.0.2.44",
            "localPort": "445",
            "remoteAddress": "203.0.113.80",
            "remotePort": 50177,
        }
    ).fields

    assert (fields[f"{local}.ip"], fields[f"{local}.port"]) == ("192.0.2.44", 445)
    assert (fields[f"{remote}.ip"], fields[f"{remote}.port"]) == ("203.0.113.80", 50177)


def test_several_addresses_with_prefixes_become_a_list() -> None:
    text = "192.0.2.44/24  198.51.100.7/26 fe80::1C2D%4/64 garbage 10.0.0.256/8 192.0.2.44/16"

    fields = read({"hostIpAddress": text}).fields

    assert fields["host.ip"] == ["192.0.2.44", "198.51.100.7", "fe80::1c2d"]
    assert fields["withsecure.details.hostIpAddress"] == text


@pytest.mark.parametrize("value", ["router", "", "192.0.2.1.", "1" * 5000, 17, None, ["192.0.2.1"], "::g"])
def test_what_is_no_address_gets_no_address_field(value: Any) -> None:
    fields = read({"remoteAddress": value}).fields

    assert "destination.ip" not in fields
    assert fields["withsecure.details.remoteAddress"] == value


@pytest.mark.parametrize("value", ["70000", "-1", "http", 1.5, True, "9" * 400, "080"])
def test_a_port_that_is_none_is_kept_as_it_is(value: Any) -> None:
    fields = read({"remotePort": value}).fields

    assert fields["withsecure.details.remotePort"] == value
    assert fields.get("destination.port", 80) == 80


def test_words_for_nothing_get_no_ecs_name() -> None:
    fields = read({"targetFileVersion": "-1.-1.-1.-1", "ruleName": "null"}, engine="applicationControl").fields

    assert "process.pe.file_version" not in fields
    assert "rule.name" not in fields
    assert fields["withsecure.details.targetFileVersion"] == "-1.-1.-1.-1"
    assert fields["withsecure.details.ruleName"] == "null"


@pytest.mark.parametrize(
    ("text", "kept"),
    [('["a","b"]', ["a", "b"]), ("[broken", "[broken"), ("D:\\a", "D:\\a"), (["a"], ["a"]), ("{}", "{}")],
)
def test_a_list_inside_a_string_is_parsed_where_it_is_one(text: Any, kept: Any) -> None:
    assert read({"affectedFiles": text}, engine="activityMonitor").fields["withsecure.details.affectedFiles"] == kept


def test_what_is_new_passes_and_is_told() -> None:
    event = read({"fooBar": {"deep": [None]}, "alertType": "x"}, future=1, device={"id": "d", "colour": "red"})

    assert event.fields["withsecure.details.fooBar"] == {"deep": [None]}
    assert event.fields["withsecure.future"] == 1
    assert event.fields["withsecure.device.colour"] == "red"
    assert event.unknown == ("details.fooBar@firewall", "future", "device.colour")


def test_an_unknown_engine_is_told_once_and_read_as_far_as_keys_are_plain() -> None:
    event = read({"filePath": "C:\\q.bin", "newKey": "v"}, engine="quantum\nShield" + "x" * 99)

    assert event.unknown == ("engine:quantum?Shield" + "x" * 50,)
    assert event.fields["file.path"] == "C:\\q.bin"
    assert event.fields["withsecure.details.newKey"] == "v"


def test_what_is_told_is_bounded_and_holds_no_values() -> None:
    event = read(
        {f"key{number}" + "k" * 99: "secret" for number in range(1000)}, **{f"top{n}": "secret" for n in range(99)}
    )

    assert len(event.unknown) == MAX_UNKNOWN
    assert max(map(len, event.unknown)) < 100
    assert "secret" not in str(event.unknown)
    assert sum(value == "secret" for value in event.fields.values()) == 1099


def test_a_key_of_the_envelope_never_hides_one_of_the_details() -> None:
    fields = read({"foo": "inner"}, **{"details.foo": "outer", "details.foo_": "third"}).fields

    assert sorted(value for key, value in fields.items() if "foo" in key) == ["inner", "outer", "third"]


# -- nonsense --------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"17", b"", b"<html>", b'{"a":'])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        read_raw(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"message":"a\xff"}', "a\ufffd"),
        (b'{"message":"a\x00b"}', "a\x00b"),
        (rb'{"message":"a\ud800"}', "a\ufffd"),
        (b'{"message":"a","n":NaN}', "a"),
        (b'{"message":"a","n":1e999}', "a"),
    ],
)
def test_broken_bytes_are_read_as_repaired(raw: bytes, message: str) -> None:
    assert read_raw(raw).title == message


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(("", "null", "1772442898000", CLIENT, "192.0.2.1/24 ::1", "[1]", "a\\b", "in", "a" * 40, "x@y")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = sorted({key for known in ENGINES.values() for key in known.keys})
DETAILS = st.dictionaries(st.sampled_from(KEYS) | st.text(), ANY, max_size=12)
ENVELOPE = st.dictionaries(st.sampled_from(sorted(BASE)) | st.text(), ANY, max_size=8)
IP_FIELDS = ("host.ip", "source.ip", "destination.ip")


@given(st.sampled_from(sorted(ENGINES)), DETAILS, ENVELOPE)
def test_no_value_of_any_type_breaks_an_event(
    engine: str, details: dict[str, Any], envelope: Mapping[str, Any]
) -> None:
    document = {"engine": engine, "details": details, **envelope}
    event, unknown = make_event(
        Record(id="a_0", bucket=0, recorded_at=None, raw=json.dumps(document).encode()),
        stream=StreamId("acme", "withsecure", "security_events"),
        vendor="WithSecure",
        product="Elements",
        labels={},
        organizations={},
        fetched_at=PERSISTED,
        normalize=normalize,
    )

    line = json.loads(FORMATS["json"].encode(event))

    assert line["kind"] == "security_event"
    assert line["title"]
    assert len(unknown) <= MAX_UNKNOWN
    for name in IP_FIELDS:
        found = line["fields"].get(name, [])
        for address in [found] if isinstance(found, str) else found:
            ipaddress.ip_address(address)


@pytest.mark.parametrize(("depth", "kind"), [(200, "security_event"), (600, "security_event"), (5000, "unparsed")])
def test_deep_nesting_is_delivered_with_its_own_bytes(depth: int, kind: str) -> None:
    raw = b'{"severity":"info","details":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    event, _ = make_event(
        Record(id="a_0", bucket=0, recorded_at=None, raw=raw),
        stream=StreamId("acme", "withsecure", "security_events"),
        vendor="WithSecure",
        product="Elements",
        labels={},
        organizations={},
        fetched_at=PERSISTED,
        normalize=normalize,
    )

    assert event.kind == kind
    assert FORMATS["json"].encode(event).endswith(b'"raw":' + raw + b"}")


@given(DETAILS)
def test_a_key_without_ecs_name_is_kept_to_the_letter(details: dict[str, Any]) -> None:
    raw = json.dumps({**BASE, "engine": "connector", "details": details}).encode()
    mapped = {"alertType", "hostIpAddress", "userName", "userPrincipalName", "clientTimestamp"}
    parsed = orjson.loads(raw)["details"]

    fields = read_raw(raw).fields

    for key, value in parsed.items():
        if key not in mapped and not isinstance(value, str):
            assert fields[f"withsecure.details.{key}"] == value


ECS_TYPES = {
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "email": {"info"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "host": {"access", "change", "end", "info", "start"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "malware": {"info"},
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
    "process": {"access", "change", "end", "info", "start"},
    "vulnerability": {"info"},
    "web": {"access", "error", "info"},
}


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("action", ["blocked", "allow", "reported"])
def test_every_engine_has_a_place_that_ecs_knows(engine: str, action: str) -> None:
    fields = read(engine=engine, action=action).fields
    allowed = set().union(*(ECS_TYPES[category] for category in fields["event.category"]))

    assert fields["event.kind"] in {"alert", "event"}
    assert set(fields["event.type"]) <= allowed
    assert fields["event.action"] == action
