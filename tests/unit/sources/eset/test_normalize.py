"""What a detection or an incident of ESET says is read, whatever generation, types and nonsense it comes with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.model import Normalized, Record
from collector.sources.eset.codes import CATEGORY
from collector.sources.eset.normalize import SEVERITY_NUMBERS, normalize
from collector.sources.eset.reading import MAX_UNKNOWN

OCCURRED = datetime(2026, 11, 21, 22, 14, 5, tzinfo=UTC)
BASE: dict[str, Any] = {
    "uuid": "u-1",
    "occurTime": "2026-11-21T22:14:05Z",
    "category": "DETECTION_CATEGORY_ANTIVIRUS",
    "severityLevel": "SEVERITY_LEVEL_MEDIUM",
    "displayName": "Win32/Sample.A",
}
INCIDENT_BASE: dict[str, Any] = {
    "uuid": "i-1",
    "displayName": "Suspicious script",
    "status": "INCIDENT_STATUS_OPEN",
    "severity": "INCIDENT_SEVERITY_LEVEL_HIGH",
    "createTime": "2026-11-01T09:45:00.120Z",
    "updateTime": "2026-11-21T22:14:05Z",
}
GONE = object()


def read(feed: str = "detections", extra: Any = None, /, **changes: Any) -> Normalized:
    base = INCIDENT_BASE if feed == "incidents" else BASE
    document = {key: value for key, value in {**base, **changes}.items() if value is not GONE}
    return read_raw(json.dumps(document).encode(), feed, None if extra is None else json.dumps(extra).encode())


def read_raw(raw: bytes, feed: str = "detections", extra: bytes | None = None) -> Normalized:
    return normalize(feed, Record(id="record-1", bucket=0, recorded_at=None, raw=raw, extra=extra))


# -- the envelope ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("SEVERITY_LEVEL_DIAGNOSTIC", "informational"),
        ("SEVERITY_LEVEL_INFORMATIONAL", "informational"),
        ("SEVERITY_LEVEL_LOW", "low"),
        ("SEVERITY_LEVEL_MEDIUM", "medium"),
        ("SEVERITY_LEVEL_HIGH", "high"),
        ("severity_level_high", "high"),
        ("HIGH", "high"),
        ("INCIDENT_SEVERITY_LEVEL_LOW", "low"),
        ("INCIDENT_SEVERITY_LOW", "low"),
    ],
)
@pytest.mark.parametrize(("feed", "key"), [("detections", "severityLevel"), ("incidents", "severity")])
def test_each_severity_has_its_place_on_the_scale(word: str, severity: str, feed: str, key: str) -> None:
    event = read(feed, **{key: word})

    assert (event.severity, event.severity_vendor, event.flags, event.unknown) == (severity, word, (), ())


@pytest.mark.parametrize(
    ("word", "shown", "told"),
    [
        ("SEVERITY_LEVEL_CRITICAL", "SEVERITY_LEVEL_CRITICAL", ("severityLevel:SEVERITY_LEVEL_CRITICAL",)),
        ("SEVERITY_LEVEL_UNSPECIFIED", "SEVERITY_LEVEL_UNSPECIFIED", ()),
        ("", "", ()),
        (None, "", ()),
        (GONE, "", ()),
        (4, "4", ("severityLevel:4",)),
        (["HIGH"], "", ("severityLevel:['HIGH']",)),
    ],
)
def test_any_other_severity_is_medium_and_flagged(word: Any, shown: str, told: tuple[str, ...]) -> None:
    event = read(severityLevel=word)

    assert (event.severity, event.severity_vendor, event.flags) == ("medium", shown, ("severity_unknown",))
    assert event.unknown == told


def test_the_numbers_are_those_of_the_vendors_export() -> None:
    assert {word: SEVERITY_NUMBERS[word] for word in ("informational", "low", "medium", "high")} == {
        "informational": 2,
        "low": 5,
        "medium": 7,
        "high": 8,
    }


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Win32/Sample.A"),
        ({"displayName": "", "typeName": "Trojan"}, "Trojan"),
        ({"displayName": GONE, "typeName": "nil", "circumstances": "Rule triggered"}, "Rule triggered"),
        ({"displayName": None, "typeName": "nil", "context": {"circumstances": "On access"}}, "On access"),
        ({"displayName": ["x"]}, "Antivirus detection"),
        ({"displayName": GONE, "category": "DETECTION_CATEGORY_NEW"}, "ESET detection"),
        ({"displayName": " "}, "Antivirus detection"),
    ],
)
def test_the_title_is_the_best_sentence_there_is(changes: dict[str, Any], title: str) -> None:
    assert read(**changes).title == title


def test_a_long_title_is_cut_and_kept_whole() -> None:
    event = read(category="DETECTION_CATEGORY_WEB_ACCESS", displayName="m" * 5000)

    assert event.title == "m" * 1000
    assert event.fields["eset.displayName"] == "m" * 5000


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T22:14:05Z",
        "2026-11-21T22:14:05.000Z",
        "2026-11-21T22:14:05.000000000Z",
        "2026-11-21T23:14:05+01:00",
        "2026-11-21 22:14:05",
        1795299245,
        1795299245000,
        "1795299245000",
    ],
)
def test_a_time_is_the_same_in_whatever_form(text: Any) -> None:
    event = read(occurTime=text)

    assert event.occurred_at == OCCURRED
    assert "eset.occurTime" not in event.fields


@pytest.mark.parametrize("text", ["yesterday", True, {"seconds": 5}, "9" * 400, 1e300])
def test_a_time_no_one_can_read_is_kept_as_it_is(text: Any) -> None:
    event = read(occurTime=text)

    assert event.occurred_at is None
    assert event.fields["eset.occurTime"] == text


def test_a_detection_is_recorded_at_no_known_time() -> None:
    assert read().recorded_at is None


@pytest.mark.parametrize(
    ("times", "changed", "start"),
    [
        ({}, OCCURRED, "2026-11-01T09:45:00.120Z"),
        ({"updateTime": ""}, datetime(2026, 11, 1, 9, 45, 0, 120_000, tzinfo=UTC), "2026-11-01T09:45:00.120Z"),
        ({"createTime": None}, OCCURRED, None),
        ({"createTime": GONE, "updateTime": GONE}, None, None),
    ],
)
def test_an_incident_happens_anew_with_each_of_its_states(
    times: dict[str, Any], changed: datetime | None, start: str | None
) -> None:
    event = read("incidents", **times)

    assert (event.occurred_at, event.recorded_at, event.fields.get("event.start")) == (changed, changed, start)


@pytest.mark.parametrize(("uuid", "shown"), [("u-1", "u-1"), (17, "17"), ("", "record-1"), (None, "record-1")])
def test_the_id_is_the_vendors_where_it_gives_one(uuid: Any, shown: str) -> None:
    assert read(uuid=uuid).id == shown


def test_the_id_of_an_incident_is_not_that_of_its_state() -> None:
    assert read("incidents").id == "i-1"


@pytest.mark.parametrize("feed", ["detections", "incidents"])
def test_what_the_single_get_wraps_is_unwrapped(feed: str) -> None:
    inner = INCIDENT_BASE if feed == "incidents" else BASE

    assert read_raw(json.dumps({feed[:-1]: inner}).encode(), feed) == read(feed)


def test_a_record_that_has_such_a_key_among_others_is_no_wrapping() -> None:
    event = read(detection={"uuid": "other"})

    assert (event.id, event.fields["eset.detection"], event.unknown) == ("u-1", {"uuid": "other"}, ("detection",))


# -- the fields ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("v1", "v2", "fields"),
    [
        (
            {"context": {"deviceUuid": "d-1", "userName": "ACME\\a", "circumstances": "c"}},
            {"device": {"uuid": "d-1"}, "userName": "ACME\\a", "circumstances": "c"},
            {"host.id": "d-1", "user.domain": "ACME", "user.name": "a", "message": "c"},
        ),
        (
            {"context": {"process": {"path": "C:\\a\\b.exe"}}},
            {"process": {"path": "C:\\a\\b.exe"}},
            {"process.executable": "C:\\a\\b.exe", "process.name": "b.exe"},
        ),
        (
            {"networkCommunication": {"direction": "NETWORK_COMMUNICATION_DIRECTION_OUTBOUND", "protocolName": "UDP"}},
            {"networkTraffic": {"direction": "NETWORK_TRAFFIC_DIRECTION_OUTBOUND", "protocolKeyword": "UDP"}},
            {"network.direction": "outbound", "network.transport": "udp"},
        ),
    ],
    ids=["context", "process", "network"],
)
def test_both_generations_give_the_same_fields(v1: dict[str, Any], v2: dict[str, Any], fields: dict[str, Any]) -> None:
    first, second = read(**v1), read(**v2)

    assert first.fields == second.fields
    assert {**first.fields, **fields} == first.fields
    assert not [name for name in first.fields if name.startswith("eset.")]
    assert first.unknown == second.unknown == ()


@pytest.mark.parametrize(
    ("direction", "local", "remote"),
    [
        ("NETWORK_TRAFFIC_DIRECTION_INBOUND", "destination", "source"),
        ("NETWORK_TRAFFIC_DIRECTION_OUTBOUND", "source", "destination"),
        ("NETWORK_TRAFFIC_DIRECTION_UNSPECIFIED", "source", "destination"),
        (None, "source", "destination"),
    ],
)
def test_the_side_that_began_is_the_source(direction: Any, local: str, remote: str) -> None:
    fields = read(
        networkTraffic={
            "direction": direction,
            "localIpAddress": "192.0.2.44",
            "localPort": "445",
            "localMacAddress": "00:0c:29:12:34:56",
            "remoteIpAddress": "2001:DB8::1",
            "remotePort": 50177,
            "remoteMacAddress": "00:00:00:00:00:00",
        }
    ).fields

    assert (fields[f"{local}.ip"], fields[f"{local}.port"]) == ("192.0.2.44", 445)
    assert fields[f"{local}.mac"] == "00-0C-29-12-34-56"
    assert (fields[f"{remote}.ip"], fields[f"{remote}.port"]) == ("2001:db8::1", 50177)
    assert f"{remote}.mac" not in fields


def test_a_connection_that_says_nothing_leaves_no_trace() -> None:
    nothing = {
        "direction": "NETWORK_COMMUNICATION_DIRECTION_UNSPECIFIED",
        "localIpAddress": "",
        "localPort": 0,
        "protocolName": "0",
        "remoteIpAddress": "",
        "remotePort": "0",
    }

    assert read(networkCommunication=nothing) == read()


@pytest.mark.parametrize(
    "changes",
    [
        {"typeName": "nil"},
        {"objectName": ""},
        {"objectUrl": None},
        {"context": {}},
        {"responses": []},
        {"email": None},
        {"scanUuid": "", "note": ""},
        {"triggeringEvent": {"type": "TRIGGERING_EVENT_TYPE_UNSPECIFIED", "data": {}}},
        {"category": "DETECTION_CATEGORY_ANTIVIRUS"},
    ],
)
def test_words_for_nothing_leave_no_trace(changes: dict[str, Any]) -> None:
    assert read(**changes) == read()


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("file:///C:/Users/a b/x%20y.exe", {"file.path": "C:\\Users\\a b\\x%20y.exe", "file.name": "x%20y.exe"}),
        ("FILE:///c:/x.exe", {"file.path": "c:\\x.exe", "file.name": "x.exe"}),
        ("file:///home/a/x", {"file.path": "/home/a/x", "file.name": "x"}),
        ("file://server/share/x", {"file.path": "\\\\server\\share\\x", "file.name": "x"}),
        ("file:///%SYSTEM%/x.dll", {"file.path": "%SYSTEM%\\x.dll", "file.name": "x.dll"}),
        ("C:\\x.exe", {"file.path": "C:\\x.exe", "file.name": "x.exe"}),
        ("/bin/x", {"file.path": "/bin/x", "file.name": "x"}),
        ("\\\\server\\x", {"file.path": "\\\\server\\x", "file.name": "x"}),
        ("https://bad.example/x", {"url.original": "https://bad.example/x"}),
        ("script", {}),
        ("mailto:a@b", {}),
    ],
)
@pytest.mark.parametrize("kind", ["File", "file", "", GONE])
def test_an_objects_address_is_a_path_or_a_page(url: str, fields: dict[str, Any], kind: Any) -> None:
    given_fields = read(objectUrl=url, objectTypeName=kind).fields

    assert {name: value for name, value in given_fields.items() if name.startswith(("file.", "url."))} == fields
    assert url in (given_fields.get("file.path"), given_fields.get("url.original"), given_fields.get("eset.objectUrl"))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("x.exe", {"file.name": "x.exe"}),
        ("C:\\a\\x.exe", {"file.name": "x.exe", "file.path": "C:\\a\\x.exe"}),
        (["x"], {}),
        ({"x": 1}, {}),
    ],
)
def test_an_objects_name_is_a_name_or_a_path(name: Any, fields: dict[str, Any]) -> None:
    given_fields = read(objectName=name).fields

    assert {key: value for key, value in given_fields.items() if key.startswith("file.")} == fields
    assert given_fields.get("eset.objectName") == (None if fields else name)


def test_a_mails_attachments_are_files_with_what_is_known_of_them() -> None:
    attachments = [{"path": "/a/inv.zip", "hashSha1": "A" * 40, "hashSha2256": "b" * 64, "sizeBytes": "2048"}, 7, {}]

    fields = read(email={"attachments": attachments}).fields

    assert fields["email.attachments"] == [
        {"file": {"name": "inv.zip", "size": 2048, "hash": {"sha1": "a" * 40, "sha256": "b" * 64}}}
    ]
    assert fields["eset.email.attachments"] == attachments


def test_what_is_no_file_gets_no_fields_of_one() -> None:
    fields = read(
        objectTypeName="Memory", objectName="x.exe", objectUrl="file:///C:/x.exe", objectHashSha1="A" * 40
    ).fields

    assert not [name for name in fields if name.startswith("file.")]
    assert (fields["eset.objectName"], fields["eset.objectHashSha1"]) == ("x.exe", "A" * 40)


@pytest.mark.parametrize("size", ["9223372036854775807", 9223372036854775807])
def test_large_numbers_are_the_same_as_text_and_as_number(size: Any) -> None:
    assert read(objectSizeBytes=size).fields.get("file.size", size) in (int(size), size)
    assert read(objectSizeBytes=str(2**53 + 1)).fields["file.size"] == 2**53 + 1


@pytest.mark.parametrize(
    ("category", "name"),
    [("ANTIVIRUS", "threat.software.name"), ("EDR_RULE", "rule.name"), ("HIPS", "rule.name"), ("WEB_ACCESS", None)],
)
def test_a_detections_name_is_that_of_malware_or_rule(category: str, name: str | None) -> None:
    fields = read(category=f"DETECTION_CATEGORY_{category}").fields

    assert {key for key, value in fields.items() if value == "Win32/Sample.A"} == ({name} if name else set())


def test_what_was_done_is_the_action_else_what_triggered_the_rule() -> None:
    trigger = {"triggeringEvent": {"type": "TRIGGERING_EVENT_TYPE_PROCESS_OPENED"}}

    assert read(**trigger).fields["event.action"] == "process_opened"
    assert read(**trigger, responses=[{}, {"displayName": "Blocked"}]).fields["event.action"] == "Blocked"
    assert read(**trigger, responses=[{"actionType": "OBJECT_ACTION_TYPE_DELETE"}]).fields["event.action"] == "delete"
    undone = read(**trigger, responses=[{"actionType": "OBJECT_ACTION_TYPE_NO_ACTION"}]).fields
    assert undone["event.action"] == "process_opened"


@pytest.mark.parametrize(
    ("to", "addresses"),
    [
        ("a@x.example", ["a@x.example"]),
        ("a@x.example, b@x.example;c@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        (["a@x.example", None, "b@x.example"], ["a@x.example", "b@x.example"]),
        ("Doe, Jane <j@x.example>", ["Doe, Jane <j@x.example>"]),
        (7, ["7"]),
        ([[]], None),
        ({}, None),
    ],
)
def test_a_mails_addresses_are_a_list(to: Any, addresses: list[str] | None) -> None:
    assert read(email={"to": to}).fields.get("email.to.address") == addresses


def test_a_mail_puts_a_detection_among_mails() -> None:
    assert read(email={"subject": "Overdue"}).fields["event.category"] == ["malware", "email"]
    assert read(email="Overdue").fields["event.category"] == ["malware"]


def test_techniques_are_found_in_names_of_rules() -> None:
    fields = read(category="DETECTION_CATEGORY_EDR_RULE", displayName="Dump [T1003.001] of TA0006").fields

    assert fields["threat.technique.id"] == ["T1003"]
    assert fields["threat.technique.subtechnique.id"] == ["T1003.001"]
    assert (fields["threat.tactic.id"], fields["threat.tactic.name"]) == (["TA0006"], ["Credential Access"])


def test_the_device_has_the_name_that_was_asked_for() -> None:
    device = {"displayName": "ws-17", "primaryLocalIpAddress": "10.0.0.1", "ownerUuid": "o-1", "new": 1}

    event = read("detections", {"device": device}, context={"deviceUuid": "d-1"})

    assert (event.fields["host.id"], event.fields["host.name"], event.fields["host.ip"]) == (
        "d-1",
        "ws-17",
        ["10.0.0.1"],
    )
    assert (event.fields["eset.device.ownerUuid"], event.fields["eset.device.new"]) == ("o-1", 1)
    assert event.unknown == ()


def test_the_name_in_the_record_comes_before_the_one_that_was_asked_for() -> None:
    event = read("detections", {"device": {"displayName": "old"}}, device={"uuid": "d-1", "displayName": "new"})

    assert event.fields["host.name"] == "new"
    assert event.fields["eset.device.displayName"] == "old"


@pytest.mark.parametrize("extra", [b"", b"{", b"[]", b"null", b'{"device":7}', b'{"comments":"x"}', b"\xff"])
@pytest.mark.parametrize("feed", ["detections", "incidents"])
def test_an_extra_no_one_can_read_harms_no_record(extra: bytes, feed: str) -> None:
    base = INCIDENT_BASE if feed == "incidents" else BASE

    event = read_raw(json.dumps(base).encode(), feed, extra)

    assert event.title == base["displayName"]


def test_an_incident_tells_status_verdict_and_members() -> None:
    fields = read(
        "incidents",
        {"comments": [{"uuid": "k-1", "text": "seen", "mood": "calm"}]},
        status="INCIDENT_STATUS_CLOSED",
        resolveReason="INCIDENT_RESOLVE_REASON_FALSE_POSITIVE",
        deviceUuids=["d-1"],
        detectionUuids=["e-1", "e-2"],
        tags=["finance"],
        metrics={"deviceCount": 1},
    ).fields

    assert (fields["event.action"], fields["event.reason"], fields["host.id"]) == ("closed", "false_positive", "d-1")
    assert (fields["eset.detectionUuids"], fields["tags"]) == (["e-1", "e-2"], ["finance"])
    assert fields["eset.comments"] == [{"uuid": "k-1", "text": "seen", "mood": "calm"}]
    assert fields["eset.metrics.deviceCount"] == 1


def test_of_several_devices_none_is_the_host() -> None:
    fields = read("incidents", deviceUuids=["d-1", "d-2"]).fields

    assert "host.id" not in fields
    assert fields["eset.deviceUuids"] == ["d-1", "d-2"]


def test_the_one_device_of_an_incident_is_its_host() -> None:
    device = {"uuid": "d-1", "displayName": "ws-1", "primaryLocalIpAddress": "10.4.1.1", "operatingSystem": "macOS"}
    event = read("incidents", {"devices": [device]}, deviceUuids=["d-1"])

    told = {key: event.fields[key] for key in event.fields if key.startswith("host.")}
    assert told == {"host.id": "d-1", "host.name": "ws-1", "host.ip": ["10.4.1.1"], "host.os.name": "macOS"}
    assert "related.hosts" not in event.fields
    assert event.unknown == ()


def test_of_several_devices_the_names_are_told_each_once() -> None:
    devices = [{"uuid": f"d-{number}", "displayName": name} for number, name in enumerate(("ws-1", "ws-2", "ws-1"))]
    event = read("incidents", {"devices": devices}, deviceUuids=["d-0", "d-1", "d-2", "d-3"])

    assert event.fields["related.hosts"] == ["ws-1", "ws-2"]
    assert not {"host.id", "host.name"} & set(event.fields)
    assert event.unknown == ()


@pytest.mark.parametrize(
    "devices", [None, [], "ws-1", ["ws-1"], [{}], [{"displayName": 7.5}], [{"displayName": ["x"]}]], ids=str
)
def test_names_of_devices_that_say_nothing_harm_nothing(devices: Any) -> None:
    for uuids in (["d-1"], ["d-1", "d-2"]):
        fields = read("incidents", {"devices": devices}, deviceUuids=uuids).fields
        assert fields.get("host.id") == ("d-1" if len(uuids) == 1 else None)
        assert "host.name" not in fields or fields["host.name"] == "7.5"


# -- what is new -----------------------------------------------------------------------------


def test_what_is_new_passes_and_is_told_without_its_values() -> None:
    event = read(
        future={"secret": 1},
        context={"colour": "secret"},
        responses=[{"mood": "secret"}, {"mood": "secret", "actionType": "OBJECT_ACTION_TYPE_PRAISE"}],
        triggeringEvent={"type": "TRIGGERING_EVENT_TYPE_MOON_ROSE"},
        file={"containedFiles": [{"path": "a", "smell": "secret"}]},
    )

    assert event.fields["eset.future"] == {"secret": 1}
    assert event.fields["eset.context.colour"] == "secret"
    assert event.fields["event.action"] == "praise"
    assert set(event.unknown) == {
        "future",
        "context.colour",
        "responses.mood",
        "responses.actionType:OBJECT_ACTION_TYPE_PRAISE",
        "triggeringEvent.type:TRIGGERING_EVENT_TYPE_MOON_ROSE",
        "file.containedFiles.smell",
    }


def test_a_new_code_is_kept_and_its_word_has_the_field() -> None:
    fields = read("incidents", status="INCIDENT_STATUS_ARCHIVED").fields

    assert (fields["event.action"], fields["eset.status"]) == ("archived", "INCIDENT_STATUS_ARCHIVED")


def test_what_is_told_is_bounded() -> None:
    event = read(**{"nul\x00": 1}, **{f"key{number}" + "k" * 99: "x" for number in range(1000)})

    assert len(event.unknown) == MAX_UNKNOWN
    assert max(map(len, event.unknown)) <= 64
    assert event.unknown[0] == "nul?"


def test_a_key_that_spells_a_path_never_hides_one() -> None:
    fields = read(context={"foo": "inner"}, **{"context.foo": "outer", "context.foo_": "third"}).fields

    assert sorted(value for key, value in fields.items() if "foo" in key) == ["inner", "outer", "third"]


# -- nonsense --------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"17", b"", b"<html>", b'{"a":'])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        read_raw(raw)


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (b'{"displayName":"a\xff"}', "a\ufffd"),
        (b'{"displayName":"a\x00b"}', "a\x00b"),
        (rb'{"displayName":"a\ud800"}', "a\ufffd"),
        (b'{"displayName":"a","n":NaN}', "a"),
        (b'{"displayName":"a","n":1e999}', "a"),
        (b'{"displayName":"a","displayName":"b"}', "b"),
    ],
)
def test_broken_bytes_are_read_as_repaired(raw: bytes, title: str) -> None:
    assert read_raw(raw).title == title


ECS_TYPES = {
    "email": {"info"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "malware": {"info"},
    "package": {"access", "change", "deletion", "info", "installation", "start"},
    "vulnerability": {"info"},
    "web": {"access", "error", "info"},
}


@pytest.mark.parametrize("category", [*sorted(CATEGORY.words), "NEW", ""])
def test_every_category_has_a_place_that_ecs_knows(category: str) -> None:
    fields = read(category=f"DETECTION_CATEGORY_{category}", email={"subject": "x"}).fields
    allowed = set().union(*(ECS_TYPES[place] for place in fields["event.category"]))

    assert fields["event.kind"] == "alert"
    assert set(fields["event.type"]) <= allowed
