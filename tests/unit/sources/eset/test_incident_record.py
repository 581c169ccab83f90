from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.model import Record
from collector.sources.eset.incident_record import cut_incident, record_of, slice_comments, slice_incidents
from collector.sources.slicing import UnreadablePage

INCIDENT: dict[str, Any] = {
    "uuid": "i-900",
    "displayName": "Suspicious script on ws-fin-31",
    "status": "INCIDENT_STATUS_CLOSED",
    "severity": "INCIDENT_SEVERITY_LEVEL_MEDIUM",
    "resolveReason": "INCIDENT_RESOLVE_REASON_FALSE_POSITIVE",
    "assigneeUuid": "u-12",
    "createTime": "2026-11-21T09:45:00.120Z",
    "updateTime": "2026-11-22T07:03:41Z",
    "triageDuration": "5400s",
    "detectionUuids": ["b001", "b002"],
    "deviceUuids": ["d-31", "d-32"],
}
COMMENTS = [b'{"uuid":"k-1","text":"admin test"}', b'{"uuid":"k-2"}']


def listed(*items: Any, **more: Any) -> bytes:
    return json.dumps({"incidents": list(items), **more}).encode()


def record(comments: list[bytes] | None = None, **changed: Any) -> Record:
    incident = {**INCIDENT, **changed}
    (item,) = slice_incidents(listed({**incident, "deviceUuids": [], "detectionUuids": []})).items
    raw = json.dumps(incident).encode()
    return record_of(item, cut_incident(b'{"incident":' + raw + b"}", "i-900"), comments)


def test_a_record_says_what_changed_when_in_its_id() -> None:
    it = record(COMMENTS)

    uuid, _, state = it.id.partition("@")
    assert uuid == "i-900"
    assert state.startswith("2026-11-22T07:03:41.000Z#")
    assert len(state.partition("#")[2]) == 8
    assert it.recorded_at == datetime(2026, 11, 22, 7, 3, 41, tzinfo=UTC)
    assert it.bucket == datetime(2026, 11, 21, 9, 45, tzinfo=UTC).timestamp() / 60
    assert it.extra == b'{"comments":[' + b",".join(COMMENTS) + b"]}"
    assert json.loads(it.raw) == INCIDENT


@pytest.mark.parametrize(
    "changed",
    [
        {"updateTime": "2026-11-22T07:03:42Z"},
        {"updateTime": "2026-11-22T07:03:41.000001Z"},
        {"status": "INCIDENT_STATUS_OPEN"},
        {"severity": "INCIDENT_SEVERITY_LEVEL_HIGH"},
        {"resolveReason": "INCIDENT_RESOLVE_REASON_TRUE_POSITIVE"},
        {"assigneeUuid": ""},
        {"deviceUuids": ["d-31"]},
        {"detectionUuids": ["b001", "b002", "b003"]},
        {"detectionUuids": None},
        {"comments": COMMENTS[:1]},
    ],
    ids=lambda changed: "-".join(f"{key}-{str(value)[-12:]}" for key, value in changed.items()),
)
def test_another_state_has_another_id(changed: dict[str, Any]) -> None:
    assert record(**{"comments": COMMENTS, **changed}).id != record(COMMENTS).id


@pytest.mark.parametrize(
    "changed",
    [
        {"updateTime": "2026-11-22T07:03:41.000Z"},
        {"updateTime": "2026-11-22T08:03:41+01:00"},
        {"triageDuration": "5460s"},
        {"detectionUuids": ["b002", "b001", "b001"]},
        {"displayName": "renamed"},
        {"comments": [*COMMENTS[::-1]]},
    ],
    ids=lambda changed: "-".join(f"{key}-{str(value)[-12:]}" for key, value in changed.items()),
)
def test_the_same_state_told_otherwise_has_the_same_id(changed: dict[str, Any]) -> None:
    assert record(**{"comments": COMMENTS, **changed}).id == record(COMMENTS).id


@pytest.mark.parametrize(
    ("told", "left_out"),
    [
        ({"resolveReason": "INCIDENT_RESOLVE_REASON_UNSPECIFIED"}, {"resolveReason": None}),
        ({"assigneeUuid": ""}, {"assigneeUuid": None}),
        ({"deviceUuids": []}, {"deviceUuids": None}),
    ],
    ids=["enum", "text", "list"],
)
def test_a_default_may_be_told_or_left_out(told: dict[str, Any], left_out: dict[str, Any]) -> None:
    assert record(**told).id == record(**left_out).id


def test_without_an_update_time_the_time_of_creation_stands_for_it() -> None:
    it = record(updateTime="")

    assert it.id.startswith("i-900@2026-11-21T09:45:00.120Z#")
    assert it.recorded_at == datetime(2026, 11, 21, 9, 45, 0, 120_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"{}", 0),
        (b'{"incidents":null,"nextPageToken":null}', 0),
        (b'{"incidents":[]}', 0),
        (b'\xef\xbb\xbf {"incidents":[{}]} \n', 1),
        (b'{"nextPageToken":"","incidents":[1,"x",null,[],{}],"new":{"a":[1]}}', 5),
        (b'{"incidents":[{"uuid":"\xff\x00\\ud800"}]}', 1),
        (b'{"incidents":[{"uuid":"a","displayName":"\x01 raw\n"}]}', 1),
        (b'{"incidents":[{"a":}]}', 1),
    ],
    ids=["nothing", "null", "empty", "bom", "odd", "bytes", "control", "malformed"],
)
def test_every_item_of_a_page_becomes_a_record_with_its_own_bytes(body: bytes, count: int) -> None:
    page = slice_incidents(body)
    records = [record_of(item) for item in page.items]

    assert page.token is None
    assert len(records) == len({it.id for it in records}) == count
    assert all(it.raw in body and it.id.encode() for it in records)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"incidents":[{"uuid":"a"}',
        b'{"incidents":{}}',
        b'{"incidents":[],"nextPageToken":{}}',
        b'{"code":3,"message":"no"}',
        b'{"incidents":null,"error":"no"}',
    ],
    ids=["empty", "list", "null", "torn", "object", "token", "error", "error-with-null"],
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises(UnreadablePage):
        slice_incidents(body)


def test_the_token_leads_on() -> None:
    assert slice_incidents(listed(nextPageToken="p2")).token == "p2"
    assert slice_incidents(listed(nextPageToken=7)).token == "7"
    assert slice_incidents(listed(nextPageToken="")).token is None


@pytest.mark.parametrize(
    "uuid",
    [None, "", 7, True, {"a": 1}, ["i"], "\ud800", "x" * 600],
    ids=lambda uuid: f"{type(uuid).__name__}-{uuid!a:.8}",
)
def test_an_incident_without_a_name_is_named_by_what_it_holds(uuid: Any) -> None:
    one, same, other = slice_incidents(
        listed(
            {"uuid": uuid, "status": "A", "triageDuration": "1s"},
            {"uuid": uuid, "status": "A", "triageDuration": "2s"},
            {"uuid": uuid, "status": "B"},
        )
    ).items

    assert one.uuid is None
    assert record_of(one).id == record_of(same).id != record_of(other).id
    assert record_of(one).id.startswith("content:")


@pytest.mark.parametrize(
    "changed",
    [
        {"updateTime": 5, "createTime": []},
        {"updateTime": {}, "createTime": None},
        {"updateTime": "yesterday", "createTime": "9999-99-99"},
        {"status": {"a": 1}, "severity": [1], "detectionUuids": "x", "deviceUuids": {"a": 1}},
        {"detectionUuids": [None, 1, {"a": [2]}]},
        {"displayName": "x" * 100_000},
    ],
    ids=["numbers", "objects", "words", "containers", "elements", "huge"],
)
def test_members_of_any_type_make_a_record_all_the_same(changed: dict[str, Any]) -> None:
    assert record(**changed).id == record(**changed).id != record().id or "displayName" in changed


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"incident":{"uuid":"i-900"}}', b'{"uuid":"i-900"}'),
        (b'{"uuid":"i-900"}', b'{"uuid":"i-900"}'),
        (b'\xef\xbb\xbf{"incident" : {"uuid":"i-900","x":"\xff"}}', b'{"uuid":"i-900","x":"\xff"}'),
        (b'{"incident":{"uuid":"i-901"}}', None),
        (b'{"incident":{}}', None),
        (b'{"incident":null}', None),
        (b"{}", None),
        (b'{"incident":[1]}', None),
    ],
    ids=["usual", "bare", "odd", "another", "nameless", "null", "nothing", "list"],
)
def test_an_incident_is_cut_out_of_its_answer(body: bytes, found: bytes | None) -> None:
    assert cut_incident(body, "i-900") == found


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"incident":{"uuid"', b"[]"], ids=["empty", "html", "torn", "list"])
def test_a_torn_answer_is_told_from_one_without_an_incident(body: bytes) -> None:
    with pytest.raises(UnreadablePage):
        cut_incident(body, "i-900")


def test_comments_stay_json_whatever_their_bytes() -> None:
    comments = slice_comments(b'{"comments":[{"uuid":"k-1","text":"\xff\x00"},7,{"text":"no name"}]}')

    it = record(comments)

    assert len(json.loads(it.extra or b"")["comments"]) == 3
    assert record(comments[:2]).id != it.id


def test_a_page_is_known_again_by_its_items_whatever_its_token() -> None:
    one, two = INCIDENT, {**INCIDENT, "uuid": "i-901"}

    assert slice_incidents(listed(one, two)).digest == slice_incidents(listed(one, two, nextPageToken="x")).digest
    assert slice_incidents(listed(one, two)).digest != slice_incidents(listed(two, one)).digest
    assert slice_incidents(listed(one)).digest != slice_incidents(listed({**one, "status": "x"})).digest
