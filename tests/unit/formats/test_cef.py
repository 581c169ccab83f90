"""One event is one line of CEF that says what the event says, whatever it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS, FormatSetup, VendorTables
from collector.formats.cef import CefHeader, CefTable, Pair
from collector.model import Event, Kind
from tests.unit.formats.cef_reader import Line, assert_sound, canonical, read_strict
from tests.unit.formats.example import EVENT

ANY_TEXT = st.text(alphabet=st.characters(codec=None))
NASTY = st.lists(
    st.sampled_from(
        ["\\", "=", "|", "\n", "\r", " ", "\x00", "\x01", "\u2028", "\ud800", "CEF:0|", "act=x", " cs1=", "ä"]
    )
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = [
    "event.provider",
    "event.code",
    "event.action",
    "event.reason",
    "event.start",
    "event.end",
    "host.id",
    "host.name",
    "host.ip",
    "user.name",
    "user.domain",
    "user.email",
    "source.ip",
    "source.port",
    "destination.ip",
    "destination.port",
    "network.transport",
    "network.direction",
    "url.original",
    "file.name",
    "file.path",
    "file.size",
    "file.created",
    "process.executable",
    "process.pid",
    "rule.name",
    "message",
    "other",
    "name",
]
FIELDS = st.dictionaries(st.sampled_from(NAMES) | ANY_TEXT, VALUES, max_size=12)
TABLE = CefTable(
    names={"Scan": "Scanning"},
    pairs=(Pair("cs2", "threat.software.name", label="Malware"),),
    variants={"scan": (Pair("cs1", "file.path", "other", label="Infected object"),)},
)


def encode(event: Event, **header: Any) -> bytes:
    setup = FormatSetup({"WithSecure": VendorTables(TABLE, {"warning": 4, "odd": 0})}, CefHeader(**header))
    return FORMATS["cef"].encoder(setup)(event)


def line_of(fields: Mapping[str, Any] | None = None, /, **changes: Any) -> Line:
    event = replace(EVENT, fields=EVENT.fields if fields is None else fields, **changes)
    return assert_sound(encode(event), event)


def pairs_of(**fields: Any) -> dict[str, str]:
    return line_of({name.replace("__", "."): value for name, value in fields.items()}).pairs


def test_the_line_is_this_to_the_byte() -> None:
    assert encode(EVENT).decode() == (
        "CEF:0|WithSecure|Elements|1.0|security_event|Security event|4|msg=a title rt=1772442898000 "
        "externalId=0123456789abcdef0123456789abcdef start=1772442898000 end=1772442898000 "
        "deviceCustomDate1Label=Recorded deviceCustomDate1=1772442907412 "
        "deviceCustomDate2Label=Fetched deviceCustomDate2=1772442960005 "
        "flexString1Label=Vendor Event ID flexString1=5d0e8c11_0 dvchost=CN-LT-0417 shost=CN-LT-0417 dvc=192.0.2.44 "
        "cs3Label=Tenant cs3=acme cs4Label=Organization cs4=Contoso Nordics Oy "
        "flexString2Label=Flags flexString2=repaired "
        'cs6Label=Details cs6={"source":"withsecure","feed":"security_events","organization.id":"b1f0c3de",'
        '"labels":{"customer":"Acme Oy"}}'
    )


# -- the header --------------------------------------------------------------------------------


def test_the_header_holds_the_sort_of_event_and_nothing_of_the_single_one() -> None:
    header = line_of({"event.provider": "SCAN", "event.action": "blocked"}).header

    assert header == ["WithSecure", "Elements", "1.0", "SCAN.blocked", "Scanning", "4"]


def test_an_unknown_sort_of_event_is_its_own_name() -> None:
    assert line_of({"event.provider": "newEngine"}).header[3:5] == ["newEngine", "newEngine"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_an_event_of_any_kind_has_a_name_and_a_signature(kind: Kind) -> None:
    line = line_of({}, kind=kind, severity_vendor="")

    assert line.header[3] == kind
    assert line.header[4]
    assert (kind == "security_event") or json.loads(line.pairs["cs6"])["kind"] == kind


def test_an_unparsed_record_is_told_whole() -> None:
    line = line_of({"error.type": "ValueError"}, kind="unparsed", raw=b'"<html>|=\\\\"', flags=("unparsed",))

    assert json.loads(line.pairs["cs6"])["raw"] == '"<html>|=\\\\"'


@pytest.mark.parametrize(
    ("word", "severity", "number"),
    [
        ("warning", "medium", "4"),
        ("Warning", "medium", "4"),
        ("odd", "medium", "0"),
        ("?", "informational", "1"),
        ("?", "low", "3"),
        ("?", "medium", "5"),
        ("?", "high", "8"),
        ("?", "critical", "10"),
    ],
)
def test_severity_is_the_vendors_number_else_that_of_the_scale(word: str, severity: Any, number: str) -> None:
    assert line_of(severity_vendor=word, severity=severity).header[5] == number


def test_a_vendor_without_a_table_gets_what_all_have() -> None:
    line = line_of({"event.provider": "engine", "event.action": "seen"}, vendor="Other|", product="P\nQ")

    assert line.header == ["Other|", "P Q", "1.0", "engine.seen", "engine", "5"]


PLAIN = CefTable(
    variant="rule.category",
    signature="{rule.category}",
    product="Cloud",
    signatures={"THREAT": "100", "incident": "8|00"},
    names={"incident": "Incident seen"},
    variants={"incident": (Pair("cs1", "title", label="What"),)},
)


def plain(fields: Mapping[str, Any], kind: Kind = "detection", **header: Any) -> Line:
    setup = FormatSetup({"Plain": VendorTables(PLAIN, {"medium": 7})}, CefHeader(**header))
    event = replace(EVENT, vendor="Plain", fields=fields, kind=kind, severity_vendor="?")
    return assert_sound(FORMATS["cef"].encoder(setup)(event), event)


def test_a_sort_of_event_may_have_a_plain_signature_and_the_table_a_product() -> None:
    assert plain({"rule.category": "threat"}).header[:4] == ["Plain", "Cloud", "1.0", "100"]
    assert plain({"rule.category": "other"}).header[3] == "other"
    assert plain({"rule.category": "threat"}, signature="x:{rule.category}", product="Own").header[1:4] == [
        "Own",
        "1.0",
        "x:threat",
    ]


def test_an_event_without_a_variant_is_of_the_sort_its_kind_names() -> None:
    line = plain({}, kind="incident")

    assert line.header[3:5] == ["8|00", "Incident seen"]
    assert (line.pairs["cs1Label"], line.pairs["cs1"]) == ("What", "a title")
    assert plain({}).header[3:5] == ["detection", "Detection"]


def test_a_word_without_a_number_has_the_vendors_number_of_the_scale() -> None:
    assert plain({}).header[5] == "7"


def test_an_operator_may_choose_the_header() -> None:
    event = replace(EVENT, fields={"event.code": "a|b=c\\d"})
    line = encode(event, vendor="WithSecure™", product="E|P", version="9.1", signature="{tenant}:{event.code}")

    assert read_strict(line).header == ["WithSecure™", "E|P", "9.1", "acme:a|b=c\\d", "Security event", "4"]
    assert line.startswith("CEF:0|WithSecure™|E\\|P|9.1|acme:a\\|b=c\\\\d|".encode())


def test_a_line_end_in_the_header_is_a_space() -> None:
    header = line_of({"event.provider": "a\r\nb\n", "event.action": "CEF:0|x\ny"}).header

    assert header[3:5] == ["a b.CEF:0|x y", "a b"]


@pytest.mark.parametrize("text", ["engine\\", "engine \\ \\\\"])
def test_a_field_of_the_header_does_not_end_in_what_escapes_its_end(text: str) -> None:
    assert line_of({"event.provider": text}).header[3:5] == ["engine", "engine"]
    assert line_of({"event.provider": "\\"}).header[3:5] == ["security_event", "Security event"]


# -- the extension -----------------------------------------------------------------------------


def test_what_is_special_is_escaped_where_it_is_special() -> None:
    line = encode(replace(EVENT, fields={}, title="C:\\a=b|c\r\nd\\n"))

    assert b"msg=C:\\\\a\\=b|c\\r\\nd\\\\n rt=" in line


def test_a_value_can_not_add_a_pair_or_an_event() -> None:
    forged = "x act=allowed\nCEF:0|V|P|1|1|n|10|externalId=forged \x01cs1\x01y"
    line = line_of({"event.action": "blocked", "user.name": forged, "event.reason": "end\\"})

    assert line.pairs["act"] == "blocked"
    assert line.pairs["suser"] == "x act=allowed\nCEF:0|V|P|1|1|n|10|externalId=forged  cs1 y"
    assert line.pairs["reason"] == "end\\"


@pytest.mark.parametrize("nothing", ["", "  ", "\x00\x01", "\n", "\u2028", [], {}, None])
def test_a_key_without_a_value_is_left_out(nothing: Any) -> None:
    pairs = line_of({"event.action": nothing, "host.name": nothing, "event.provider": nothing}, title=" ").pairs

    assert not {"act", "shost", "deviceFacility", "msg"} & set(pairs)


def test_a_name_behind_one_without_a_fit_value_counts() -> None:
    fields = {"event.provider": "scan", "file.path": " \t", "other": "b"}

    assert line_of(fields).pairs["cs1"] == "b"


def test_addresses_stand_under_the_keys_of_their_version() -> None:
    pairs = pairs_of(host__ip=["fe80::1", "10.0.0.1", "10.0.0.2"], source__ip="2001:db8::1", destination__ip="10.0.0.3")

    assert (pairs["dvc"], pairs["c6a1"], pairs["c6a1Label"]) == ("10.0.0.1", "fe80::1", "Device IPv6 Address")
    assert (pairs["c6a2"], pairs["c6a2Label"]) == ("2001:db8::1", "Source IPv6 Address")
    assert pairs["dst"] == "10.0.0.3"
    assert not {"src", "c6a3"} & set(pairs)
    assert json.loads(pairs["cs6"])["host.ip"] == ["fe80::1", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("name", "key", "good", "bad"),
    [
        ("source.port", "spt", 65_535, 65_536),
        ("source.port", "spt", "0", -1),
        ("source.port", "spt", "443", "443 "),
        ("file.size", "fsize", 1 << 62, 1 << 64),
        ("file.size", "fsize", "12", True),
        ("file.size", "fsize", "-7", "٣"),
        ("process.pid", "spid", 4, 4.5),
        ("source.ip", "src", "192.0.2.1", "192.0.2.256"),
        ("source.ip", "c6a2", "::1", "fe80::1%eth0 act=x"),
        ("network.direction", "deviceDirection", "inbound", "sideways"),
        ("file.created", "fileCreateTime", "2026-03-02T09:11:40.000Z", "yesterday"),
        ("file.created", "fileCreateTime", "1970-01-01T00:00:00.001Z", "1969-12-31T23:59:59.999Z"),
        ("event.action", "act", 5, {"a": 1}),
        ("event.action", "act", ["a", "b"], [["a"]]),
        ("event.action", "act", False, float("inf")),
    ],
)
def test_a_value_of_another_type_than_its_keys_goes_into_the_details(name: str, key: str, good: Any, bad: Any) -> None:
    assert key in line_of({name: good}).pairs
    assert name not in json.loads(line_of({name: good}).pairs["cs6"])
    pairs = line_of({name: bad}).pairs
    assert key not in pairs
    assert name in json.loads(pairs["cs6"])


def test_rt_is_the_time_the_sink_is_told_to_use() -> None:
    occurred = FORMATS["cef"].encoder(FormatSetup(time="occurred"))
    fetched = FORMATS["cef"].encoder(FormatSetup(time="fetched"))

    assert read_strict(occurred(EVENT)).pairs["rt"] == "1772442898000"
    assert read_strict(fetched(EVENT)).pairs["rt"] == "1772442960005"


def test_an_event_from_before_the_epoch_has_its_time_in_the_details() -> None:
    old = datetime(1601, 1, 1, tzinfo=UTC)
    event = replace(EVENT, occurred_at=old)

    pairs = read_strict(encode(event)).pairs

    assert "rt" not in pairs
    assert json.loads(pairs["cs6"])["occurred_at"] == "1601-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("fields", "user", "domain"),
    [
        ({"user.name": "a", "user.domain": "D"}, "D\\a", "D"),
        ({"user.name": "a"}, "a", None),
        ({"user.name": "a@d", "user.domain": "d", "user.email": "a@d"}, "a@d", "d"),
        ({"user.email": "a@d"}, "a@d", None),
    ],
)
def test_a_user_is_written_as_its_vendor_does(fields: dict[str, str], user: str, domain: str | None) -> None:
    pairs = line_of(fields).pairs

    assert (pairs["suser"], pairs.get("sntdom")) == (user, domain)
    assert "user." not in pairs["cs6"]


@pytest.mark.parametrize(
    ("title", "message", "told"),
    [
        ("said", None, "said"),
        ("x" * 100, "x" * 100 + "yz", "x" * 100 + "yz"),
        ("Scanning", "more", "more"),
        ("said", "other", "said"),
    ],
)
def test_msg_is_the_sentence_that_says_most(title: str, message: str | None, told: str) -> None:
    pairs = line_of({"event.provider": "scan", "message": message}, title=title).pairs

    assert pairs["msg"] == told
    assert message in {None, told} or json.loads(pairs["cs6"])["message"] == message


# -- lengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key", "most"), [("event.action", "act", 63), ("host.id", "deviceExternalId", 255)])
def test_a_value_is_cut_by_characters_before_escaping_and_whole_in_the_details(name: str, key: str, most: int) -> None:
    exact, longer = "=" * most, "=ä" * most

    assert line_of({name: exact}).pairs[key] == exact
    assert "flexString2" not in line_of({name: exact}, flags=()).pairs
    pairs = line_of({name: longer}, flags=()).pairs
    assert pairs[key] == longer[:most]
    assert pairs["flexString2"] == "truncated"
    assert json.loads(pairs["cs6"])[name] == longer


def test_a_value_that_another_key_tells_whole_is_not_truncated() -> None:
    pairs = line_of({"host.name": "h" * 101}, flags=()).pairs

    assert (len(pairs["dvchost"]), len(pairs["shost"])) == (100, 101)
    assert "flexString2" not in pairs
    assert "host.name" not in pairs["cs6"]


def test_details_that_are_too_long_stay_json_with_the_longest_cut() -> None:
    fields = {"big": "<x=\\>\n" * 5000, "list": ["y" * 3000] * 3, "small": 1, "none": None}

    pairs = line_of(fields, flags=("clock",)).pairs

    details = json.loads(pairs["cs6"])
    assert len(pairs["cs6"]) <= 4000
    assert (details["small"], details["labels"]) == (1, {"customer": "Acme Oy"})
    assert details["list"].startswith('["yyy')
    assert pairs["flexString2"] == "clock,truncated"


def test_an_event_that_says_it_is_cut_does_not_say_it_twice() -> None:
    assert line_of({"event.action": "x" * 64}, flags=("truncated",)).pairs["flexString2"] == "truncated"


@pytest.mark.parametrize(
    ("cluster", "kept"),
    [("e\u0301", "e\u0301"), ("\U0001f469\u200d\U0001f4bb", ""), ("a", "a")],
)
def test_a_cut_does_not_part_what_is_seen_as_one(cluster: str, kept: str) -> None:
    head = "x" * (63 - len(kept or "x"))

    assert line_of({"event.action": head + cluster + "tail"}).pairs["act"] == head + kept


def test_marks_without_end_are_cut_all_the_same() -> None:
    assert len(line_of({"event.action": "e" + "\u0301" * 500}).pairs["act"]) == 63


# -- anything ----------------------------------------------------------------------------------


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError):
        encode(replace(EVENT, fields={"a": object()}))


@given(FIELDS, ANY_TEXT | NASTY, ANY_TEXT, st.sampled_from(get_args(Kind)))
def test_any_event_is_one_sound_line(fields: dict[str, Any], title: str, word: str, kind: Kind) -> None:
    event = replace(EVENT, fields=fields, title=title, kind=kind, severity_vendor=word, id=title, tenant=word or "t")

    pairs = assert_sound(encode(event), event).pairs

    assert isinstance(json.loads(pairs["cs6"]), dict)
    assert pairs.get("flexString1", "") == canonical(title)[:1023].rstrip()


@given(ANY_TEXT | NASTY, st.sampled_from(["event.reason", "event.provider", "url.original", "file.path", "user.name"]))
def test_any_text_comes_out_as_it_went_in(text: str, name: str) -> None:
    keys = {
        "event.reason": "reason",
        "event.provider": "deviceFacility",
        "url.original": "request",
        "file.path": "filePath",
        "user.name": "suser",
    }
    pairs = line_of({name: text}).pairs

    assert pairs.get(keys[name], "") == canonical(text)
    if canonical(text) != text and text:
        assert json.loads(pairs["cs6"])[name] == text.encode("utf-16-le", "surrogatepass").decode(
            "utf-16-le", "replace"
        )


@given(st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3000), min_size=1))
def test_details_are_json_of_what_was_there_whatever_its_length(fields: dict[str, str]) -> None:
    pairs = line_of(fields, flags=()).pairs
    details = json.loads(pairs["cs6"])

    assert all(value.startswith(details.get(name, "")) for name, value in fields.items())
    assert (pairs.get("flexString2") == "truncated") == ({name: details.get(name) for name in fields} != fields)
