from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collector.errors import NotLicensed, SourceDenied, SourceError, SourceUnavailable
from collector.model import Checkpoint
from tests.unit.sources.withsecure.incident_vendor import (
    DETECTIONS,
    IncidentBench,
    detection_ids,
    incident_ids,
    incidents,
)
from tests.unit.sources.withsecure.vendor import Say, _stored, error

HOUR = timedelta(hours=1)


async def patient(it: IncidentBench, hours: float) -> tuple[list[str], list[str]]:
    """Poll for so long as a poller does, failures tried again; what came, and the gaps."""
    names: list[str] = []
    gaps: list[str] = []
    at: Checkpoint | None = it.checkpoint if hasattr(it, "checkpoint") else None
    until = it.vendor.now + hours * HOUR
    while it.vendor.now < until:
        try:
            page = await it.fetch(_stored(at))
        except SourceError:
            await it.clock.advance(2)
            continue
        at = page.checkpoint
        names += [record.id for record in page.records]
        gaps += [gap.reason for gap in page.gaps]
        if not page.more:
            await it.clock.advance(60)
    it.checkpoint = at  # type: ignore[attr-defined]
    return names, gaps


async def test_denied_detections_do_not_hold_incidents_up_and_are_read_once_allowed() -> None:
    async with incidents() as it:
        it.vendor.open("a", it.vendor.now - HOUR, detections=1)
        it.vendor.refuses_all = error(403)
        first = await it.read()
        assert incident_ids(first.names) == ["a"]
        it.vendor.open("b", it.vendor.now, detections=1)
        await it.clock.advance(60)
        second = await it.read(first.checkpoint)
        assert incident_ids(second.names) == ["b"]
        assert len(it.vendor.asked_detections) == 2

        it.vendor.refuses_all = None
        await it.clock.advance(15 * 60)
        third = await it.read(second.checkpoint)

    assert sorted(detection_ids(third.names)) == ["a-d000", "b-d000"]


async def test_denied_detections_are_tried_soon_and_then_ever_more_seldom() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=1)
        it.vendor.refuses_all = error(403)
        await patient(it, hours=6)
        assert len(it.vendor.asked_detections) <= 5 + 6 * 4

        it.vendor.says_on = DETECTIONS
        it.vendor.refuses_all = None
        names, _ = await patient(it, hours=0.3)
        it.vendor.open("another", it.vendor.now, detections=1)
        it.vendor.says.append(error(403))
        more, _ = await patient(it, hours=0.1)

    assert detection_ids(names) == ["i-d000"]
    assert detection_ids(more) == ["another-d000"]


async def test_a_new_token_that_is_refused_holds_no_detections_up() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=1)
        it.vendor.says_on = DETECTIONS
        it.vendor.says.extend([error(401), error(401)])
        names, _ = await patient(it, hours=0.05)

    assert detection_ids(names) == ["i-d000"]


async def test_credentials_that_are_refused_are_no_lacking_right_to_detections() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=1)
        first = await it.fetch()
        it.vendor.refuses_all = error(401)
        for kind in (SourceUnavailable, SourceDenied):
            with pytest.raises(kind, match="status 401") as refused:
                await it.fetch(first.checkpoint)
            assert not isinstance(refused.value, NotLicensed)

        it.vendor.refuses_all = None
        rest = await it.read(first.checkpoint)

    assert detection_ids(rest.names) == ["i-d000"]


async def test_detections_that_are_tried_again_cost_incidents_no_poll() -> None:
    async with incidents() as it:
        it.vendor.open("bad", it.vendor.now - HOUR, detections=1)
        it.vendor.refused["bad"] = error(404)
        at = (await it.read()).checkpoint
        for number in range(4):
            it.vendor.open(f"good{number}", it.vendor.now, detections=1)
            await it.clock.advance(60)
            reading = await it.read(at)
            at = reading.checkpoint
            assert f"good{number}" in incident_ids(reading.names)

        del it.vendor.refused["bad"]
        it.vendor.open("last", it.vendor.now, detections=1)
        await it.clock.advance(900)
        reading = await it.read(at)

    assert {"bad-d000", "last-d000"} == set(detection_ids(reading.names))


async def test_one_incident_whose_detections_fail_holds_no_other_up_and_is_a_gap_at_last() -> None:
    async with incidents() as it:
        for name in ("bad", "good"):
            it.vendor.open(name, it.vendor.now - HOUR, detections=2)
        it.vendor.refused["bad"] = error(400, "no such thing")
        reading, at = await patient(it, hours=2)

    assert sorted(detection_ids(reading)) == ["good-d000", "good-d001"]
    (gap,) = at
    assert "incident bad" in gap


async def test_detections_that_fail_for_a_while_arrive() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=2)
        it.vendor.refused["i"] = error(500)
        names, gaps = await patient(it, hours=0.1)
        assert detection_ids(names) == []
        del it.vendor.refused["i"]
        names, gaps = await patient(it, hours=0.3)

    assert detection_ids(names) == ["i-d000", "i-d001"]
    assert gaps == []


async def test_refused_anchors_of_detections_begin_them_anew() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=150)
        it.vendor.says_on = DETECTIONS
        it.vendor.says.extend([None, error(400, "stale")])
        reading = await it.read()

    assert set(detection_ids(reading.names)) == set(it.vendor.members["i"])
    assert len(it.vendor.asked_detections) == 4


async def test_anchors_of_detections_that_lead_in_a_circle_end_in_a_gap_not_in_a_loop() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR)
        body = json.dumps({"items": [{"detectionId": "d"}], "nextAnchor": "same"}).encode()
        it.vendor.refused["i"] = Say(body=body)
        names, gaps = await patient(it, hours=2)

    assert set(detection_ids(names)) == {"d"}
    assert len(gaps) == 1
    assert len(it.vendor.asked_detections) < 200


async def test_an_unreadable_page_of_detections_is_read_in_smaller_ones() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=90)
        usual = it.vendor._detections

        def torn(asked: object) -> Say:
            said = usual(asked)  # type: ignore[arg-type]
            return Say(body=said.body[:-5]) if len(said.body) > 2000 else said

        it.vendor._detections = torn  # type: ignore[method-assign]
        names, gaps = await patient(it, hours=0.2)

    assert set(detection_ids(names)) == set(it.vendor.members["i"])
    assert gaps == []


async def test_answers_too_large_are_asked_again_with_smaller_limits() -> None:
    async with incidents(max_bytes=8000) as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=250)
        reading = await it.read()

    limits = [int(asked["limit"] or 0) for asked in it.vendor.asked_detections]
    assert set(detection_ids(reading.names)) == set(it.vendor.members["i"])
    assert min(limits) == 50
    assert reading.gaps == []
