from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from collector.sources.eset.pending import Pending, PendingAnswer, fingerprint
from collector.testing.clock import START

QUERY = [("pageSize", "1000"), ("pageToken", "x")]
KEPT = PendingAnswer(response_id="3f0c", asked_at=START, tries=1, request="0011")


def test_a_pending_answer_comes_back_from_a_checkpoint_as_it_was() -> None:
    kept = PendingAnswer.after(Pending("3f0c", 7.0), "0011", START)

    assert PendingAnswer.from_json(json.loads(json.dumps(kept.to_json()))) == kept


@pytest.mark.parametrize(
    "value",
    [
        None,
        "3f0c",
        [],
        {},
        {"response_id": "x"},
        KEPT.to_json() | {"tries": "many"},
        KEPT.to_json() | {"asked_at": "yesterday"},
        KEPT.to_json() | {"asked_at": "2026-11-22T10:00:00"},
        KEPT.to_json() | {"newer": 1},
        {1: 2},
    ],
    ids=["null", "text", "list", "empty", "part", "tries", "time", "naive", "newer", "number"],
)
def test_any_other_shape_is_none(value: Any) -> None:
    assert PendingAnswer.from_json(value) is None


def test_waits_grow_up_to_half_a_minute() -> None:
    kept, waits = KEPT, []
    for _ in range(12):
        waits.append(kept.wait())
        kept = PendingAnswer.after(Pending("3f0c"), "0011", START, kept)

    assert waits[:4] == [1.5, 2.25, 3.375, 5.0625]
    assert waits[-1] == waits[-2] == 30.0
    assert waits == sorted(waits)


@pytest.mark.parametrize(("wish", "wait"), [(None, 1.5), (0.0, 1.5), (20.0, 20.0), (3600.0, 3600.0)])
def test_the_vendor_may_ask_for_a_longer_wait(wish: float | None, wait: float) -> None:
    assert PendingAnswer.after(Pending("x", wish), "0011", START).wait() == wait


def test_ten_minutes_count_from_the_first_time_it_was_asked_for() -> None:
    later = START + timedelta(minutes=9, seconds=59)
    kept = PendingAnswer.after(Pending("another"), "0011", later, KEPT)

    assert kept.response_id == "another"
    assert kept.tries == 2
    assert not kept.given_up(later)
    assert kept.given_up(START + timedelta(minutes=10))


def test_a_clock_that_went_back_a_little_gives_nothing_up_but_one_that_jumped_does() -> None:
    assert not KEPT.given_up(START - timedelta(seconds=2))
    assert KEPT.given_up(START - timedelta(days=1))


def test_requests_have_one_name_each() -> None:
    name = fingerprint("incident", "/v1/detections", QUERY)

    assert name == fingerprint("incident", "/v1/detections", list(QUERY))
    others = [
        fingerprint("device", "/v1/detections", QUERY),
        fingerprint("incident", "/v2/detections", QUERY),
        fingerprint("incident", "/v1/detections", QUERY[:1]),
        fingerprint("incident", "/v1/detections", QUERY[::-1]),
        fingerprint("incident", "/v1/detections", [("pageSize", "1000"), ("pageToken", "y\udc80")]),
    ]
    assert len({name, *others}) == 6
    assert len(name) == 16
