from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collector.errors import SourceDenied
from collector.model import Checkpoint, Lane, Window
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.withsecure.incident_vendor import detection_ids, incident_ids, incidents
from tests.unit.sources.withsecure.vendor import Say, _stored, error

HOUR, MINUTE, SECOND, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)


# -- what is asked -------------------------------------------------------------------------------


async def test_incidents_are_asked_for_by_their_last_change_with_every_parameter_said() -> None:
    async with incidents(start_from="2h", organization_id="org") as it:
        await it.fetch()

    (asked,) = it.vendor.asked_incidents
    end = it.vendor.now.replace(microsecond=0)
    assert asked.form == [
        ("updatedTimestampStart", format_utc(end - 2 * HOUR)),
        ("updatedTimestampEnd", format_utc(end)),
        ("order", "asc"),
        ("limit", "50"),
        ("organizationId", "org"),
    ]


async def test_pages_are_followed_with_the_same_parameters_and_the_anchor() -> None:
    async with incidents() as it:
        for number in range(120):
            it.vendor.open(f"i{number:03}", it.vendor.now - HOUR + number * SECOND)
        reading = await it.read()

    first, second, third = it.vendor.asked_incidents
    assert incident_ids(reading.names) == [f"i{number:03}" for number in range(120)]
    assert [pair for pair in second.form if pair[0] != "anchor"] == first.form
    assert [pair for pair in third.form if pair[0] != "anchor"] == first.form
    assert len(it.vendor.asked_detections) == 120


async def test_detections_are_read_page_by_page_and_tell_their_incident() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=250)
        reading = await it.read()

    assert detection_ids(reading.names) == it.vendor.members["i"]
    first, second, _third = it.vendor.asked_detections
    assert first.form == [("incidentId", "i"), ("limit", "100")]
    assert second.form == [("incidentId", "i"), ("limit", "100"), ("anchor", "i-d099")]
    told = {"incidentId": "i", "incidentPublicId": "public-i", "name": "name of i", "organizationId": "org"}
    assert json.loads(reading.records[-1].extra or b"") == {"incident": told}
    assert reading.records[0].extra is None


# -- each state once, and always the last ----------------------------------------------------------


async def test_two_changes_between_two_polls_give_the_last() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR)
        first = await it.read()
        it.vendor.change("i", it.vendor.now + SECOND, status="acknowledged")
        it.vendor.change("i", it.vendor.now + 2 * SECOND, status="closed")
        await it.clock.advance(60)
        second = await it.read(first.checkpoint)

    assert incident_ids(second.names) == ["i"]
    assert json.loads(second.records[0].raw)["status"] == "closed"


async def test_an_incident_that_moves_while_pages_are_read_arrives_in_its_last_state() -> None:
    async with incidents() as it:
        for number in range(60):
            it.vendor.open(f"i{number:02}", it.vendor.now - HOUR + number * SECOND)
        page = await it.fetch()
        it.vendor.change("i55", it.vendor.now + SECOND, status="closed")
        it.vendor.change("i05", it.vendor.now + SECOND, status="closed")
        first = await it.read(page.checkpoint)
        await it.clock.advance(60)
        second = await it.read(first.checkpoint)

    seen = {record.id: record.raw for record in (*page.records, *first.records, *second.records)}
    last = {name.partition("@")[0]: json.loads(raw)["status"] for name, raw in seen.items()}
    assert len(last) == 60
    assert (last["i05"], last["i55"]) == ("closed", "closed")


async def test_a_change_that_leaves_its_time_is_another_state_within_the_overlap() -> None:
    async with incidents(overlap="30s") as it:
        it.vendor.open("i", it.vendor.now - SECOND)
        first = await it.read()
        it.vendor.change("i", status="closed")
        await it.clock.advance(10)
        second = await it.read(first.checkpoint)

    assert len({*first.names, *second.names}) == 2


async def test_the_overlap_does_not_read_detections_of_a_known_state_again() -> None:
    async with incidents(overlap="30s") as it:
        it.vendor.open("i", it.vendor.now - SECOND, detections=1)
        first = await it.read()
        await it.clock.advance(10)
        second = await it.read(first.checkpoint)

    assert len(it.vendor.asked_incidents) == 2
    assert len(it.vendor.asked_detections) == 1
    assert incident_ids(second.names) == ["i"]
    assert detection_ids(second.names) == []


async def test_a_crash_after_any_page_loses_neither_incidents_nor_detections() -> None:
    async with incidents() as it:
        for number in range(55):
            it.vendor.open(f"i{number:02}", it.vendor.now - HOUR + number * SECOND, detections=2)
        expected = {name for members in it.vendor.members.values() for name in members} | set(it.vendor.incidents)
        page = await it.fetch()
        seen = {record.id.partition("@")[0] for record in page.records}
        at = page.checkpoint
        for _ in range(5):
            rest = await it.read(at)
            assert seen | {name.partition("@")[0] for name in rest.names} == expected
            page = await it.fetch(_stored(at))
            at = page.checkpoint
            seen |= {record.id.partition("@")[0] for record in page.records}


async def test_the_watermark_is_told_only_when_detections_are_read_too() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=150)
        reading = await it.read()

    assert [page.watermark is None for page in reading.pages] == [True, True, False]
    assert [page.more for page in reading.pages] == [True, True, False]


# -- trouble ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [error(403), error(404), error(405), Say(501), Say(404, b"<html>")], ids=range(5))
async def test_incidents_without_licence_are_denied_in_words_that_stay_the_same(said: Say) -> None:
    async with incidents() as it:
        it.vendor.says.append(said)
        with pytest.raises(SourceDenied, match="not licensed") as denied:
            await it.fetch()

    assert "transaction" not in str(denied.value)


async def test_an_unreadable_incident_is_a_gap_and_costs_no_other() -> None:
    async with incidents() as it:
        for number in range(120):
            it.vendor.open(f"i{number:03}", it.vendor.now - HOUR + number * SECOND)
        usual = it.vendor._page

        def torn(asked: object) -> Say:
            said = usual(asked)  # type: ignore[arg-type]
            return Say(body=said.body[:-5]) if b'"incidentId": "i070"' in said.body else said

        it.vendor._page = torn  # type: ignore[method-assign]
        reading = await it.read(most=4000)

    assert set(it.vendor.incidents) - set(incident_ids(reading.names)) == {"i070"}
    assert len(reading.gaps) == 1
    assert max(int(asked["limit"] or 0) for asked in it.vendor.asked_incidents) == 50


async def test_the_limit_grows_back_to_the_most_the_vendor_allows() -> None:
    async with incidents() as it:
        for number in range(500):
            it.vendor.open(f"i{number:03}", it.vendor.now - HOUR + number * SECOND)
        it.vendor.says.extend([Say(body=b'{"items":[{')] * 4)
        reading = await it.read()

    limits = [int(asked["limit"] or 0) for asked in it.vendor.asked_incidents]
    assert len(incident_ids(reading.names)) == 500
    assert min(limits) < 50
    assert max(limits) == limits[-1] == 50


# -- sweeps ----------------------------------------------------------------------------------------


async def test_a_sweep_reads_the_detections_of_every_incident_in_its_window() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - 2 * MINUTE, detections=1)
        tip = await it.read()
        it.vendor.members["i"].append("i-late")
        sweep = await it.read(Checkpoint(it.vendor.now), Lane.SWEEP, Window(it.vendor.now - DAY))

    assert detection_ids(tip.names) == ["i-d000"]
    assert detection_ids(sweep.names) == ["i-d000", "i-late"]


async def test_open_incidents_are_asked_at_times_for_detections_that_moved_nothing() -> None:
    async with incidents() as it:
        it.vendor.open("open", it.vendor.now - DAY, detections=1)
        it.vendor.open("closed", it.vendor.now - DAY, detections=1, status="closed")
        window = Window(it.vendor.now - 10 * DAY)
        sweep = await it.read(Checkpoint(it.vendor.now), Lane.SWEEP, window)
        it.vendor.members["open"].append("open-new")
        names: list[str] = []
        asked = len(it.vendor.asked)
        for _ in range(26):
            await it.clock.advance(300)
            sweep = await it.read(sweep.checkpoint, Lane.SWEEP, window)
            names += sweep.names

    assert "open-new" in names
    assert "closed-d000" not in names
    # Two walks of a page and the open incident's detections each, beside sweeps, logins and names of organizations.
    assert len(it.vendor.asked) - asked <= 26 + 2 * 2 + 5 + 3


async def test_old_detections_of_an_incident_known_for_long_are_passed_over() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=1)
        first = await it.read()
        await it.clock.advance((40 * DAY).total_seconds())
        caught_up = await it.read(first.checkpoint)
        it.vendor.change("i", it.vendor.now + SECOND, status="closed")
        await it.clock.advance(60)
        second = await it.read(caught_up.checkpoint)

    assert detection_ids(first.names) == ["i-d000"]
    assert incident_ids(second.names) == ["i"]
    assert detection_ids(second.names) == []


async def test_a_job_reads_old_detections_too_and_is_over_when_all_are_read() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - 40 * DAY, detections=3)
        window = Window(it.vendor.now - 50 * DAY, it.vendor.now - 30 * DAY)
        job = await it.read(lane=Lane.JOB, window=window)
        again = await it.read(job.checkpoint, Lane.JOB, window)

    assert len(detection_ids(job.names)) == 3
    assert again.checkpoint == job.checkpoint
    assert again.records == []


async def test_the_next_poll_begins_an_overlap_before_the_last() -> None:
    async with incidents(overlap="30s") as it:
        reading = await it.read()
        await it.clock.advance(60)
        await it.read(reading.checkpoint)

    first, second = it.vendor.asked_incidents
    begun = parse_rfc3339(first["updatedTimestampEnd"] or "") - 30 * SECOND
    assert second["updatedTimestampStart"] == format_utc(begun)
