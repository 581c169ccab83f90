from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sources.eset.slicing import UnreadablePage, slice_page


def only(raw: bytes) -> bytes:
    return b'{"detections":[' + raw + b"]}"


def test_records_carry_the_vendors_bytes_id_and_time() -> None:
    raw = b'{ "uuid":"a-77-not-a-uuid" ,\t"occurTime":"2026-11-20T03:00:00+01:00","x":1.0e2}'

    (cut,) = slice_page(only(b" " + raw + b" "), "detections").cuts

    assert (cut.record.id, cut.record.raw, cut.record.bucket) == ("a-77-not-a-uuid", raw, 0)
    assert cut.record.recorded_at is None
    assert cut.occurred == datetime(2026, 11, 20, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tail", "token"),
    [(b"", None), (b',"nextPageToken":""', None), (b',"nextPageToken":null', None), (b',"nextPageToken":"p2"', "p2")],
    ids=["absent", "empty", "null", "text"],
)
def test_a_page_token_may_be_empty_null_or_absent(tail: bytes, token: str | None) -> None:
    assert slice_page(b'{"detections":[]' + tail + b"}", "detections").page_token == token


def test_a_delta_tells_both_tokens() -> None:
    body = b'{"createdDetections":[{"uuid":"a"}],"nextPageToken":7,"nextDeltaToken":"d","updatedDetections":[]}'

    slices = slice_page(body, "createdDetections")

    assert (slices.page_token, slices.delta_token, slices.unknown) == ("7", "d", ("updatedDetections",))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"totalSize":0}',
        b'{"detections":null,"more":1}',
        b'{"nextPageToken":"","requestId":"7"}',
        b'{"nextDeltaToken":"d","updatedDetections":[{"uuid":"a"}],"removed":[]}',
    ],
    ids=["{}", "size", "null", "more words", "other lists"],
)
def test_nothing_may_be_told_in_many_ways(body: bytes) -> None:
    assert slice_page(body, "detections").cuts == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"detections":[{"uuid":"a"}',
        b'{"detections":{}}',
        b'{"code":13}',
        b'{"nextPageToken":{}}',
        b'{"totalSize":1,"items":[1]}',
    ],
    ids=["empty", "list", "torn", "object", "error", "token", "renamed"],
)
def test_what_is_no_page_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadablePage):
        slice_page(body, "detections")


def test_records_without_an_id_are_told_apart_by_what_does_not_change() -> None:
    body = b'[{"a":1,"resolved":false},{"resolved":true,"a":1},{"a":2},"text",null]'

    ids = [cut.record.id for cut in slice_page(b'{"detections":' + body + b"}", "detections").cuts]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "raw",
    [
        b'{"uuid":"a","x":"\x00\xff"}',
        b'{"uuid":"a","x":"\\ud800"}',
        b'{"uuid":"a","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
    ids=["bytes", "surrogate", "deep"],
)
def test_odd_bytes_cost_no_record(raw: bytes) -> None:
    cuts = slice_page(b'{"detections":[' + raw + b',{"uuid":"b"}]}', "detections").cuts

    assert [(cut.record.id, cut.record.raw) for cut in cuts] == [("a", raw), ("b", b'{"uuid":"b"}')]


@pytest.mark.parametrize(
    ("raw", "device"),
    [
        (b'{"context":{"deviceUuid":"d-1"}}', "d-1"),
        (b'{"device":{"uuid":"d-2"}}', "d-2"),
        (b'{"device":{"uuid":"d-3","displayName":"ws"}}', None),
        (b'{"context":"odd","device":[]}', None),
        (b'{"context":{"deviceUuid":5}}', None),
    ],
    ids=["context", "device", "named", "odd", "number"],
)
def test_a_device_is_told_where_the_record_does_not_name_it(raw: bytes, device: str | None) -> None:
    assert slice_page(only(raw), "detections").cuts[0].device == device


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_a_page_or_unreadable(body: bytes) -> None:
    with suppress(UnreadablePage):
        slice_page(body, "detections")
