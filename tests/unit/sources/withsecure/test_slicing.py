from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import Record
from collector.sources.slicing import UnreadablePage
from collector.sources.withsecure.slicing import Slices, slice_page


def event(name: str = "e-1", **more: object) -> bytes:
    fields = {
        "id": name,
        "engine": "edr",
        "serverTimestamp": "2026-03-02T09:14:58.804Z",
        "persistenceTimestamp": "2026-03-02T09:15:01Z",
    }
    return json.dumps({**fields, **more}, ensure_ascii=False).encode()


def page(*items: bytes, anchor: bytes = b"") -> bytes:
    return b'{"items":[' + b",".join(items) + b"]" + (b',"nextAnchor":' + anchor if anchor else b"") + b"}"


def only(*items: bytes) -> Record:
    (record,) = slice_page(page(*items)).records
    return record


def test_records_carry_the_vendors_bytes_id_minute_and_time() -> None:
    raw = event().replace(b": ", b" :\t").replace(b"}", b',"x": 1.0e2 }')

    sliced = slice_page(b'{"items": [ ' + raw + b" , " + event("e-2") + b'], "nextAnchor": "abc=="}')

    minute = int(datetime(2026, 3, 2, 9, 14, tzinfo=UTC).timestamp()) // 60
    assert sliced.records[0] == Record("e-1", minute, datetime(2026, 3, 2, 9, 15, 1, tzinfo=UTC), raw)
    assert [record.id for record in sliced.records] == ["e-1", "e-2"]
    assert sliced.anchor == "abc=="


@pytest.mark.parametrize("anchor", [b"", b"null", b'""'])
def test_the_last_page_has_no_anchor(anchor: bytes) -> None:
    assert slice_page(page(event(), anchor=anchor)).anchor is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":[]}',
        b'{"items":null}',
        b'{"items":null,"nextAnchor":null}',
        b'\xef\xbb\xbf{"items":[]}',
        b' {"items":[]}\x00',
    ],
)
def test_pages_may_be_empty(body: bytes) -> None:
    assert slice_page(body) == Slices([], None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        b"<html><body>Bad gateway</body></html>",
        b"[]",
        b"null",
        b'"text"',
        b'{"items":{}}',
        b'{"items":5}',
        b'{"items":"[]"}',
        b'{"items":[]} trailing',
        b'{"items":[]}{"items":[]}',
        b'{"message":"Internal error","code":500000,"transactionId":"t"}',
        b'{"items":[],"nextAnchor":{}}',
        b'{"items":[],"nextAnchor":7}',
        b'{"items":[],"nextAnchor":"\\ud800"}',
        b"{}",
        b'{"nextAnchor":null}',
        b'{"items":[garbage]}',
        b'{"items":[{"id":"a"} {"id":"b"}]}',
    ],
)
def test_what_is_no_page_is_unreadable_rather_than_empty(body: bytes) -> None:
    with pytest.raises(UnreadablePage, match="the page can't be read"):
        slice_page(body)


@pytest.mark.parametrize("odd", [b"", b"\\ud800", b"\x00"])
def test_a_page_torn_at_any_byte_is_unreadable(odd: bytes) -> None:
    body = page(event(), b'{"id":"e-2","x":"' + odd + b'"}', anchor=b'"abc"')

    for length in range(len(body)):
        with pytest.raises(UnreadablePage):
            slice_page(body[:length])


@pytest.mark.parametrize(
    "odd",
    [
        b'{"id":"odd","x":"a\x00b"}',
        b'{"id":"odd","x":"a\xff\xfeb"}',
        b'{"id":"odd","x":"\\ud800"}',
        b'{"id":"odd","\\udfff":1}',
        b'{"id":"odd","x":"line\nbreak\x01"}',
        b'{"id":"odd","x":NaN}',
        b'{"id":"odd","x":"\\q"}',
        b'{"id":"odd","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"id":"odd","x":1e999}',
        b'{"id":"odd","serverTimestamp":{"a":[1]},"persistenceTimestamp":[[]]}',
    ],
    ids=["nul", "utf8", "surrogate", "surrogate key", "control", "nan", "escape", "deep", "huge number", "typed"],
)
def test_one_odd_record_keeps_its_bytes_and_harms_no_other(odd: bytes) -> None:
    before, after = event("before"), b'{ "id" : "after" }'

    sliced = slice_page(page(before, odd, after, anchor=b'"next"'))

    assert [record.raw for record in sliced.records] == [before, odd, after]
    assert [record.id for record in sliced.records] == ["before", "odd", "after"]
    assert sliced.records[0].recorded_at == datetime(2026, 3, 2, 9, 15, 1, tzinfo=UTC)
    assert sliced.anchor == "next"


def test_times_of_an_odd_record_are_read() -> None:
    record = only(event(x="\x00").replace(b"\\u0000", b"\x00\xff"))

    assert record.bucket > 0
    assert record.recorded_at == datetime(2026, 3, 2, 9, 15, 1, tzinfo=UTC)


@pytest.mark.parametrize("item", [b"5", b"null", b'"text"', b"[1,2]", b"true", b"{}", b"-1.5e3"])
def test_items_that_are_no_events_are_records_all_the_same(item: bytes) -> None:
    sliced = slice_page(page(event(), item))

    assert sliced.records[1].raw == item
    assert sliced.records[1].id.startswith("content:")
    assert sliced.records[1].bucket == 0


@pytest.mark.parametrize(
    "name", [b"null", b"5", b'""', b"[1]", b"{}", b"true", b'"\\ud800"', b'"\xff"', b"1e999", b'"\x00\xff"']
)
def test_an_id_that_is_no_text_is_replaced_by_a_hash_of_the_content(name: bytes) -> None:
    first = only(b'{"id":' + name + b',"x":1}')

    assert first.id == only(b'{"id":' + name + b',"x":1}').id
    assert first.id != only(b'{"id":' + name + b',"x":2}').id
    assert first.id.startswith("content:")


@pytest.mark.parametrize("odd", [b"", b"\xff", b"\\ud800"])
def test_a_record_without_id_served_again_with_changed_flags_has_the_same_name(odd: bytes) -> None:
    once = only(b'{"engine":"x' + odd + b'","acknowledged":false,"persistenceTimestamp":"2026-03-02T09:15:01Z"}')
    again = only(
        b'{"engine":"x' + odd + b'","acknowledged":true,"acknowledgedBy":"analyst","ackTimestamp":5,'
        b'"persistenceTimestamp":"2026-03-02T10:15:01.123Z"}'
    )

    assert once.id == again.id


def test_the_order_of_members_does_not_change_the_hash() -> None:
    assert only(b'{"a":1,"b":2}').id == only(b'{"b":2, "a":1}').id


def test_items_that_stand_twice_in_a_page_come_twice_under_one_name() -> None:
    first, second = slice_page(page(event(), event())).records

    assert first == second


@pytest.mark.parametrize(
    ("stamp", "micros"),
    [
        ('"2026-03-02T09:14:58Z"', 0),
        ('"2026-03-02T09:14:58.8Z"', 800_000),
        ('"2026-03-02T09:14:58.804123987Z"', 804_123),
        ('"2026-03-02T11:14:58.804+02:00"', 804_000),
        ('"2026-03-02 09:14:58"', 0),
        ("1772442898804", 804_000),
        ('"1772442898804"', 804_000),
        ("1772442898804.0", 804_000),
    ],
)
def test_times_are_read_in_every_form_the_vendor_has_used(stamp: str, micros: int) -> None:
    record = only(f'{{"id":"a","serverTimestamp":{stamp},"persistenceTimestamp":{stamp}}}'.encode())

    moment = datetime(2026, 3, 2, 9, 14, 58, micros, tzinfo=UTC)
    assert record.recorded_at == moment
    assert record.bucket == int(moment.timestamp()) // 60


@pytest.mark.parametrize(
    "stamp", ["null", "true", '"yesterday"', '""', "[]", "{}", "1e300", "-1e300", '"' + "9" * 6000 + '"', '"²"']
)
def test_a_time_that_is_none_leaves_the_record_without(stamp: str) -> None:
    record = only(f'{{"id":"a","serverTimestamp":{stamp},"persistenceTimestamp":{stamp}}}'.encode())

    assert (record.bucket, record.recorded_at) == (0, None)


@settings(deadline=None)
@given(minutes=st.integers(-10_000_000, 100_000_000), seconds=st.integers(0, 59), millis=st.integers(0, 999))
def test_the_bucket_is_the_minute_whatever_the_fraction(minutes: int, seconds: int, millis: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes, seconds=seconds, milliseconds=millis)

    record = only(event(serverTimestamp=moment.isoformat()))

    assert record.bucket == minutes


def test_a_record_does_not_keep_its_page_alive() -> None:
    record = only(event())

    assert type(record.raw) is bytes


def test_ten_megabytes_in_one_event_are_one_record() -> None:
    raw = event(x="y" * 10_000_000)

    assert only(raw).raw == raw
    odd = raw.replace(b'"y', b'"\x00y')
    assert only(odd).raw == odd
