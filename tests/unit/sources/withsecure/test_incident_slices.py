from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.sources.withsecure.incident_slices import (
    Belonging,
    belonging_of,
    detection_record,
    incident_record,
    is_open,
)

INCIDENT: dict[str, Any] = {
    "incidentId": "i",
    "status": "new",
    "riskLevel": "high",
    "resolution": "unconfirmed",
    "riskScore": 1.5,
    "createdTimestamp": "2026-03-02T09:14:58.804Z",
    "updatedTimestamp": "2026-03-02T09:15:00Z",
}


def raw(**changes: Any) -> bytes:
    return json.dumps({**INCIDENT, **changes}).encode()


def test_a_state_is_named_by_its_time_and_its_three_words() -> None:
    record = incident_record(raw())

    assert record.id.startswith("i@2026-03-02T09:15:00.000Z#")
    assert len(record.id.partition("#")[2]) == 8
    assert record.recorded_at == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    assert record.bucket == int(datetime(2026, 3, 2, 9, 14, tzinfo=UTC).timestamp()) // 60
    assert record.raw == raw()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "closed"},
        {"riskLevel": "low"},
        {"resolution": "confirmed"},
        {"updatedTimestamp": "2026-03-02T09:16Z"},
    ],
    ids=["status", "risk", "resolution", "time"],
)
def test_each_of_them_makes_another_state(changes: dict[str, str]) -> None:
    assert incident_record(raw(**changes)).id != incident_record(raw()).id


def test_a_fraction_or_another_score_makes_none() -> None:
    assert (
        incident_record(raw(updatedTimestamp="2026-03-02T09:15:00.000Z", riskScore=2)).id == incident_record(raw()).id
    )


def test_words_do_not_run_into_each_other() -> None:
    one, other = raw(status="a", riskLevel="b,c"), raw(status="a,b", riskLevel="c")

    assert incident_record(one).id != incident_record(other).id


@pytest.mark.parametrize(
    "odd",
    [b"null", b"7", b'"x"', b"[1]", b"{}", b'{"incidentId":""}', b'{"incidentId":["i"]}', b'{"incidentId":"\\ud800"}'],
    ids=range(8),
)
def test_what_has_no_name_is_a_record_without_detections(odd: bytes) -> None:
    record = incident_record(odd)

    assert record.id.startswith("content:")
    assert (record.bucket, record.recorded_at, record.raw) == (0, None, odd)
    assert belonging_of(odd) is None


def test_odd_bytes_cost_neither_name_nor_detections() -> None:
    odd = raw(name="NUL").replace(b"NUL", b"\x00\xff")

    assert incident_record(odd).id == incident_record(raw()).id
    belonging = belonging_of(odd)
    assert belonging is not None
    assert belonging.id == "i"


def test_a_number_is_a_name_too() -> None:
    assert incident_record(raw(incidentId=17)).id.startswith("17@")
    assert belonging_of(raw(incidentId=17)) == Belonging("17", created=1772442898804)
    assert detection_record(b'{"detectionId":17}', b"{}").id == "17"


@pytest.mark.parametrize(
    "status", ["new", "acknowledged", "inProgress", "monitoring", "waitingForCustomer", "odd", None]
)
def test_all_but_closed_incidents_are_open(status: str | None) -> None:
    assert is_open(raw(status=status))
    assert not is_open(raw(status="closed"))


def test_a_detection_takes_its_name_and_times_from_itself() -> None:
    body = b'{"detectionId":"d","createdTimestamp":"2026-03-02T09:15:00Z"}'
    extra = Belonging("i", created=17).extra()
    record = detection_record(body, extra)

    assert (record.id, record.raw, record.extra) == ("d", body, extra)
    assert record.recorded_at == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    assert json.loads(extra) == {"incident": {"incidentId": "i"}}
    assert detection_record(b'{"x":1}', extra).id.startswith("content:")
