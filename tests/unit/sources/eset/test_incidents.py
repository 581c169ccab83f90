from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from collector.errors import NotLicensed, SourceUnavailable
from collector.model import Checkpoint, Lane, Window
from collector.sources.eset import incident_listing
from collector.sources.eset.client import NotOffered
from collector.timestamps import parse_rfc3339
from tests.unit.sources.eset.incident_vendor import PATH, Asked, Bench
from tests.unit.sources.eset.vendor import bench

DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


# -- what is asked -------------------------------------------------------------------------------


async def test_the_list_is_asked_for_by_update_time_from_the_beginning_on() -> None:
    it = Bench(start_from="2h")
    await it.fetch()

    asked = it.vendor.asked[0]
    begun = (it.vendor.now - 2 * HOUR).replace(microsecond=0, tzinfo=None).isoformat()
    assert asked.path == PATH
    assert asked.query == {
        "pageSize": "1000",
        "orderBy": "update_time",
        "filter": f'incident.update_time >= timestamp("{begun}Z")',
    }


async def test_a_job_reads_its_window_with_both_bounds() -> None:
    it = Bench()
    start, end = it.vendor.now - 3 * DAY, it.vendor.now - 2 * DAY
    last = end - timedelta(milliseconds=1)
    for name, moment in [("before", start - SECOND), ("in", start + HOUR), ("last", last), ("after", end + 2 * SECOND)]:
        it.vendor.put(name, moment)

    reading = await it.read(None, Lane.JOB, Window(start, end))

    assert reading.names == ["in", "last"]
    assert " && incident.update_time <= timestamp(" in it.vendor.lists[0].filter


async def test_an_incident_costs_two_requests_and_no_more_while_it_does_not_change() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    first = await it.read()
    await it.clock.advance(60)
    it.vendor.asked.clear()

    sweep = await it.read(Checkpoint(it.vendor.now - HOUR), Lane.SWEEP, Window(it.vendor.now - DAY))

    assert sweep.ids == first.ids
    assert it.vendor.details == []


@pytest.mark.parametrize(
    "uuid",
    ["a/b?c#d", "../../v1/devices", "ünï-çødé", "a b+c%2F", "x" * 300],
    ids=["url", "dots", "words", "odd", "long"],
)
async def test_a_strange_uuid_stays_one_part_of_the_path(uuid: str) -> None:
    it = Bench()
    it.vendor.put(uuid)

    reading = await it.read()

    assert it.vendor.details == [uuid, f"{uuid}/comments"]
    assert all(asked.path.count("/") <= 4 and asked.path.isascii() for asked in it.vendor.asked)
    assert reading.records[0].id.startswith(f"{uuid}@")


@pytest.mark.parametrize("uuid", [".", "..", "y" * 600], ids=["dot", "dots", "huge"])
async def test_a_uuid_that_can_not_be_asked_for_is_delivered_as_listed(uuid: str) -> None:
    it = Bench()
    it.vendor.put(uuid)

    reading = await it.read()

    assert len(reading.records) == 1
    assert it.vendor.details == []


# -- states ----------------------------------------------------------------------------------------


async def test_a_record_is_the_incident_of_its_own_request_with_its_comments() -> None:
    it = Bench()
    it.vendor.put("i-1", detectionUuids=["d-2", "d-1"])
    it.vendor.comment("i-1", "k-1")

    (record,) = (await it.read()).records

    assert json.loads(record.raw) == it.vendor.incidents["i-1"]
    assert json.loads(record.extra or b"") == {"comments": it.vendor.comments["i-1"]}
    assert record.recorded_at == parse_rfc3339(it.vendor.incidents["i-1"]["updateTime"])


async def test_each_change_between_polls_is_an_event_and_of_two_changes_the_last() -> None:
    it = Bench()
    it.vendor.put("i-1")
    reading = await it.read()
    await it.clock.advance(60)
    it.vendor.put("i-1", status="INCIDENT_STATUS_IN_PROGRESS")
    await it.clock.advance(1)
    it.vendor.put("i-1", status="INCIDENT_STATUS_CLOSED")

    later = await it.read(reading.checkpoint)

    assert [json.loads(record.raw)["status"] for record in later.records] == ["INCIDENT_STATUS_CLOSED"]
    assert set(later.ids).isdisjoint(reading.ids)


async def test_two_changes_within_one_second_are_told_apart() -> None:
    it = Bench()
    moment = it.vendor.now
    it.vendor.put("i-1", moment)
    reading = await it.read()
    it.vendor.put("i-1", moment, detectionUuids=["d-1", "d-2"])  # the list shows nothing of it
    await it.clock.advance(60)

    later = await it.read(reading.checkpoint)

    assert len(set(later.ids) - set(reading.ids)) == 1


async def test_what_changes_between_list_and_own_request_is_delivered_as_it_is_then() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - MINUTE)

    def change(asked: Asked) -> None:
        if not asked.is_list:
            it.vendor.put("i-1", status="INCIDENT_STATUS_CLOSED")

    it.vendor.always.append(change)
    (record,) = (await it.read()).records

    assert json.loads(record.raw)["status"] == "INCIDENT_STATUS_CLOSED"
    assert f"@{json.loads(record.raw)['updateTime']}#" in record.id


async def test_a_late_record_is_found_by_the_sweep() -> None:
    it = Bench()
    tip = await it.read()
    await it.clock.advance(6 * 3600)
    tip = await it.read(tip.checkpoint)
    it.vendor.put("late", it.vendor.now - 5 * HOUR, status="INCIDENT_STATUS_CLOSED")
    assert tip.checkpoint is not None
    started = parse_rfc3339(tip.checkpoint.state["started"])
    window = Window(parse_rfc3339(tip.checkpoint.state["beginning"]))

    later = await it.read(tip.checkpoint)
    sweep = await it.read(Checkpoint(started), Lane.SWEEP, window)

    assert later.names == []
    assert sweep.names == ["late"]


async def test_a_stamp_from_the_future_comes_at_once_and_moves_nothing() -> None:
    it = Bench()
    it.vendor.put("ahead", it.vendor.now + 400 * DAY)

    reading = await it.read()

    assert reading.names == ["ahead"]
    assert reading.checkpoint is not None
    assert (reading.checkpoint.watermark or it.vendor.now) <= it.vendor.now


async def test_incidents_without_an_update_time_come_with_the_first_run() -> None:
    it = Bench()
    it.vendor.put("dated", it.vendor.now - HOUR)
    it.vendor.put("undated", it.vendor.now - 2 * HOUR, updateTime="")

    reading = await it.read()
    await it.clock.advance(60)
    it.vendor.asked.clear()
    later = await it.read(reading.checkpoint)

    assert sorted(reading.names) == ["dated", "undated"]
    assert reading.records[-1].id.startswith(f"undated@{it.vendor.incidents['undated']['createTime']}#")
    assert later.records == []
    assert len(it.vendor.lists) == 1


async def test_incidents_without_an_update_time_are_found_by_the_sweep_page_by_page() -> None:
    it = Bench()
    it.vendor.page_size = 7
    for number in range(30):
        it.vendor.put(f"i-{number:02}", it.vendor.now - HOUR + number * SECOND, updateTime="")
    it.vendor.slow = 1

    sweep = await it.read(Checkpoint(it.vendor.now), Lane.SWEEP, Window(it.vendor.now - DAY))

    assert sweep.names == sorted(it.vendor.incidents)


@pytest.mark.parametrize("status", [400, 403, 501])
async def test_a_vendor_that_can_not_list_by_creation_is_read_all_the_same(status: int) -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    it.vendor.always.append(lambda asked: (status, b"") if "create_time" in asked.filter else None)

    reading = await it.read()

    assert reading.names == ["i-1"]
    assert reading.checkpoint is not None
    assert reading.checkpoint.run is None


# -- open incidents --------------------------------------------------------------------------------


async def test_a_new_member_is_an_event_although_the_update_time_does_not_move() -> None:
    it = Bench()
    old = it.vendor.put("i-1", it.vendor.now - HOUR)
    reading = await it.read()
    it.vendor.incidents["i-1"] = {**old, "detectionUuids": ["d-1", "d-2"]}
    found: list[str] = []
    for _ in range(31):
        await it.clock.advance(60)
        reading = await it.read(reading.checkpoint)
        found += [record.raw.decode() for record in reading.records if "d-2" in record.raw.decode()]

    assert found


async def test_open_incidents_are_read_again_at_the_rate_asked_for() -> None:
    it = Bench(reread_open="1h")
    it.vendor.put("i-1", it.vendor.now - HOUR)
    it.vendor.put("closed", it.vendor.now - HOUR, status="INCIDENT_STATUS_CLOSED")
    reading = await it.read()
    it.vendor.asked.clear()
    for _ in range(180):
        await it.clock.advance(60)
        reading = await it.read(reading.checkpoint)

    assert sum(name == "i-1" for name in it.vendor.details) in {2, 3}
    assert "closed" not in it.vendor.details
    assert {asked.lane for asked in it.vendor.asked if not asked.is_list} == {Lane.SWEEP}


async def test_a_process_that_lives_for_one_poll_reads_open_incidents_again() -> None:
    it = Bench()
    old = it.vendor.put("i-1", it.vendor.now - HOUR)
    reading = await it.read()
    it.vendor.incidents["i-1"] = {**old, "detectionUuids": ["d-1", "d-2"]}
    await it.clock.advance(300)
    it.restart()

    later = await it.read(reading.checkpoint)

    assert any(b"d-2" in record.raw for record in later.records)


async def test_open_incidents_from_before_the_feeds_beginning_stay_out() -> None:
    it = Bench(start_from="2h")
    it.vendor.put("old", it.vendor.now - 3 * HOUR)
    reading = await it.read()
    it.restart()
    await it.clock.advance(60)

    later = await it.read(reading.checkpoint)

    assert reading.names == later.names == []
    assert any("INCIDENT_STATUS_OPEN" in asked.filter for asked in it.vendor.lists)


async def test_the_tip_goes_on_while_many_open_incidents_are_read_again() -> None:
    it = Bench(poll_interval="5s", reread_open="10s")
    for number in range(60):
        it.vendor.put(f"i-{number:02}", it.vendor.now - HOUR)
    reading = await it.read()
    await it.clock.advance(11)
    page = await it.fetch(reading.checkpoint)
    assert page.more
    page = await it.fetch(page.checkpoint)
    await it.clock.advance(6)
    it.vendor.put("news")
    page = await it.fetch(page.checkpoint)

    assert [record.id.partition("@")[0] for record in page.records] == ["news"]
    assert page.more


@pytest.mark.parametrize("status", [400, 403, 404, 500, 501])
async def test_a_vendor_that_can_not_list_open_incidents_is_read_all_the_same(status: int) -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    it.vendor.always.append(lambda asked: (status, b"") if "incident.status" in asked.filter else None)
    reading = await it.read()
    it.restart()
    await it.clock.advance(60)
    it.vendor.put("news")

    later = await it.read(reading.checkpoint)

    assert "news" in later.names


# -- trouble ---------------------------------------------------------------------------------------


async def test_many_incidents_are_read_a_few_at_a_time_and_none_is_lost_or_asked_for_twice() -> None:
    it = Bench()
    for number in range(70):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR + number * SECOND)

    reading = await it.read()

    assert reading.names == [f"i-{number:03}" for number in range(70)]
    assert len(it.vendor.lists) == 2  # by update and by creation
    assert len(it.vendor.details) == 140
    assert max(len(page.records) for page in reading.pages) == 12


async def test_a_page_whose_commit_failed_is_given_again() -> None:
    it = Bench()
    for number in range(30):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR)
    first = await it.fetch()
    lost = await it.fetch(first.checkpoint)

    again = await it.fetch(first.checkpoint)

    assert lost.records
    assert list(again.records[: len(lost.records)]) == list(lost.records)


async def test_a_crash_after_any_page_loses_nothing() -> None:
    for crashed_after in range(4):
        it = Bench()
        for number in range(40):
            it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR)
        page = await it.fetch()
        seen = {record.id for record in page.records}
        for _ in range(crashed_after):
            page = await it.fetch(page.checkpoint)
            seen |= {record.id for record in page.records}
        it.restart()

        rest = await it.read(page.checkpoint)

        assert len(seen | set(rest.ids)) == 40


async def test_a_page_that_changed_while_the_process_was_away_is_read_from_its_first() -> None:
    it = Bench()
    for number in range(40):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR + number * SECOND)
    page = await it.fetch()
    it.restart()
    it.vendor.put("i-000")

    rest = await it.read(page.checkpoint)

    assert len(page.records) == 12
    assert {record.id.partition("@")[0] for record in page.records} | set(rest.names) == set(it.vendor.incidents)


async def test_after_a_failure_the_list_is_asked_for_anew_before_the_incident() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    it.vendor.put("i-2", it.vendor.now - HOUR)
    it.vendor.always.append(lambda asked: (500, b"") if asked.path == f"{PATH}/i-2" else None)
    page = await it.fetch()
    for _ in range(2):
        it.vendor.asked.clear()
        with pytest.raises(SourceUnavailable):
            await it.fetch(page.checkpoint)

    assert [asked.path for asked in it.vendor.asked] == [PATH, f"{PATH}/i-2"]


async def test_a_running_time_that_grows_costs_no_request() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - MINUTE, triageDuration="60s")
    reading = await it.read()
    await it.clock.advance(60)
    it.vendor.incidents["i-1"]["triageDuration"] = "120s"
    it.vendor.asked.clear()

    later = await it.read(reading.checkpoint)

    assert later.ids == reading.ids
    assert it.vendor.details == []


async def test_pages_are_followed_where_a_window_can_not_be_narrower() -> None:
    it = Bench()
    it.vendor.page_size = 40
    for number in range(130):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR)

    reading = await it.read()

    assert sorted(set(reading.names)) == sorted(it.vendor.incidents)


async def test_a_window_with_more_incidents_than_a_page_holds_is_read_in_narrower_ones() -> None:
    it = Bench()
    it.vendor.page_size = 100
    for number in range(350):
        it.vendor.put(f"i-{number:03}", it.vendor.now - 20 * HOUR + number * MINUTE)

    reading = await it.read()

    assert sorted(set(reading.names)) == sorted(it.vendor.incidents)
    assert not any("pageToken" in asked.query for asked in it.vendor.lists)
    assert len(it.vendor.details) == 700
    assert len(it.vendor.lists) < 40


async def test_windows_grow_again_where_fewer_incidents_are() -> None:
    it = Bench(start_from="10d")
    it.vendor.page_size = 100
    for number in range(600):
        it.vendor.put(f"i-{number:03}", it.vendor.now - 9 * DAY + number * 20 * MINUTE)

    reading = await it.read()

    assert len(set(reading.names)) == 600
    assert len(it.vendor.lists) < 30


async def test_a_large_page_is_taken_apart_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_listing, "_SLICE_ON_LOOP_BYTES", 100)
    it = Bench()
    it.vendor.put("i-1")

    assert (await it.read()).names == ["i-1"]


async def test_a_refused_token_costs_the_page_and_no_incident() -> None:
    it = Bench()
    it.vendor.page_size = 40
    for number in range(130):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR + number * SECOND)
    it.vendor.always.append(lambda asked: (400, b"") if "pageToken" in asked.query else None)

    reading = await it.read()

    assert sorted(set(reading.names)) == sorted(it.vendor.incidents)


@pytest.mark.parametrize("slow", [1, 3])
async def test_answers_that_take_their_time_are_waited_for(slow: int) -> None:
    it = Bench()
    it.vendor.slow = slow
    for number in range(5):
        it.vendor.put(f"i-{number}", it.vendor.now - HOUR)

    reading = await it.read()

    assert reading.names == [f"i-{number}" for number in range(5)]
    assert all(page.retry_after for page in reading.pages if not page.records and page.more)
    assert sum(asked.response_id is None for asked in it.vendor.asked) == 12


async def test_answers_that_take_their_time_are_waited_for_after_a_restart() -> None:
    it = Bench()
    it.vendor.slow = 1
    it.vendor.put("i-1", it.vendor.now - HOUR)
    page = await it.fetch()
    it.restart()
    await it.clock.advance(page.retry_after or 0)

    reading = await it.read(page.checkpoint)

    assert reading.names == ["i-1"]
    assert it.vendor.asked[1].response_id == "r-1"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_an_incident_that_is_gone_is_delivered_as_listed(status: int) -> None:
    it = Bench()
    it.vendor.put("i-1")
    it.vendor.put("i-2")
    it.vendor.always.append(lambda asked: (status, b"") if asked.path == f"{PATH}/i-1" else None)

    reading = await it.read()

    assert reading.names == ["i-1", "i-2"]
    assert json.loads(reading.records[0].raw)["detectionUuids"] == []


@pytest.mark.parametrize("part", ["", "/comments"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (403, b""), (400, b"<html>"), (200, b"<html>"), (200, b'{"incident":{"uui')],
    ids=["500", "403", "400", "html", "torn"],
)
async def test_one_poisoned_incident_does_not_hold_up_the_others(part: str, status: int, body: bytes) -> None:
    it = Bench()
    for name in ("i-1", "i-2", "i-3"):
        it.vendor.put(name, it.vendor.now - HOUR)
    it.vendor.always.append(lambda asked: (status, body) if asked.path == f"{PATH}/i-2{part}" else None)
    page, failures, names = None, 0, list[str]()
    for _ in range(20):
        try:
            page = await it.fetch(page.checkpoint if page else None)
        except SourceUnavailable:
            failures += 1
            await it.clock.advance(10)
            continue
        names += [record.id.partition("@")[0] for record in page.records]
        if not page.more:
            break

    assert names == ["i-1", "i-2", "i-3"]
    assert failures <= 5


@pytest.mark.parametrize(("part", "most"), [("", 6), ("/comments", 2)], ids=["incidents", "comments"])
async def test_what_a_customer_is_not_given_at_all_is_not_asked_for_every_time(part: str, most: int) -> None:
    it = Bench()
    for number in range(30):
        it.vendor.put(f"i-{number:02}", it.vendor.now - HOUR)
    refused = re.compile(f"{PATH}/[^/]+{part}")
    it.vendor.always.append(lambda asked: (403, b"") if refused.fullmatch(asked.path) else None)
    page, names = None, list[str]()
    for _ in range(40):
        try:
            page = await it.fetch(page.checkpoint if page else None)
        except SourceUnavailable:
            continue
        names += [record.id.partition("@")[0] for record in page.records]
        if not page.more:
            break

    assert names == sorted(it.vendor.incidents)
    assert sum(refused.fullmatch(asked.path) is not None for asked in it.vendor.asked) == most
    it.vendor.always.clear()
    await it.clock.advance(3601)
    it.vendor.put("i-00")
    it.vendor.asked.clear()
    assert page is not None

    later = await it.read(page.checkpoint)

    assert f"i-00{part}" in it.vendor.details
    assert "i-00" in later.names


async def test_one_poisoned_incident_does_not_keep_open_ones_from_being_read_again() -> None:
    it = Bench()
    for name in ("i-1", "i-2", "i-3"):
        it.vendor.put(name, it.vendor.now - HOUR)
    reading = await it.read()
    for name in it.vendor.incidents:
        it.vendor.incidents[name] = {**it.vendor.incidents[name], "detectionUuids": ["d-1", "d-2"]}
    it.vendor.always.append(lambda asked: (500, b"") if asked.path == f"{PATH}/i-1" else None)
    await it.clock.advance(60)
    it.restart()

    later = await it.read(reading.checkpoint)

    assert {"i-2", "i-3"} <= {record.id.partition("@")[0] for record in later.records if b"d-2" in record.raw}


@pytest.mark.parametrize("slow", [1, 3])
async def test_open_incidents_are_read_again_from_answers_that_take_their_time(slow: int) -> None:
    it = Bench()
    for name in ("i-1", "i-2", "i-3"):
        it.vendor.put(name, it.vendor.now - HOUR)
    reading = await it.read()
    for name in it.vendor.incidents:
        it.vendor.incidents[name] = {**it.vendor.incidents[name], "detectionUuids": ["d-1", "d-2"]}
    await it.clock.advance(60)
    it.restart()
    it.vendor.slow = slow

    later = await it.read(reading.checkpoint)

    assert {record.id.partition("@")[0] for record in later.records if b"d-2" in record.raw} == set(it.vendor.incidents)


async def test_many_open_incidents_are_read_again_page_by_page() -> None:
    it = Bench(poll_interval="1h")
    it.vendor.page_size = 30
    for number in range(100):
        it.vendor.put(f"i-{number:03}", it.vendor.now - HOUR + number * SECOND)
    reading = await it.read()
    await it.clock.advance(20 * 60)
    it.restart()
    for name in it.vendor.incidents:
        it.vendor.incidents[name] = {**it.vendor.incidents[name], "detectionUuids": ["d-1", "d-2"]}

    later = await it.read(reading.checkpoint)

    assert {record.id.partition("@")[0] for record in later.records if b"d-2" in record.raw} == set(it.vendor.incidents)


async def test_a_uuid_arrives_at_the_vendor_as_one_part_of_the_path() -> None:
    async with bench() as it:
        it.vendor.filled[PATH] = b'{"incidents":[{"uuid":"../v1/a?b#c d\\u017e/%2F."}]}'
        page = await it.source.fetch("incidents", Lane.TIP, None, None)

    assert [asked.raw for asked in it.vendor.data[1:]] == [f"{PATH}/..%2Fv1%2Fa%3Fb%23c%20d%C5%BE%2F%252F."]
    assert len(page.records) == 1


async def test_an_outage_of_all_delivers_nothing_by_halves() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    page = await it.fetch()
    assert page.records
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - HOUR)
    it.vendor.says.append(lambda asked: None if asked.is_list else (500, b""))
    with pytest.raises(SourceUnavailable):
        await it.fetch()
    it.vendor.always.append(lambda _: (500, b""))
    for _ in range(4):
        with pytest.raises(SourceUnavailable):
            await it.fetch()
    it.vendor.always.clear()

    reading = await it.read()

    assert b"d-1" in reading.records[0].raw


@pytest.mark.parametrize("status", [403, 404, 501])
async def test_a_customer_without_incidents_is_denied(status: int) -> None:
    it = Bench()
    it.vendor.always.append(lambda _: (status, b""))

    with pytest.raises(NotLicensed) as caught:
        await it.fetch()

    assert isinstance(caught.value, NotOffered) == (status != 403)


async def test_an_unreadable_second_becomes_a_gap_and_all_others_arrive() -> None:
    it = Bench(start_from="1h")
    for number in range(20):
        it.vendor.put(f"i-{number:02}", it.vendor.now - 50 * MINUTE + number * MINUTE)
    bad = it.vendor.incidents["i-07"]["updateTime"]
    it.vendor.shown_otherwise["i-07"] = b'{"uuid":"i-07'

    reading = await it.read()

    assert set(reading.names) == set(it.vendor.incidents) - {"i-07"}
    assert any(gap.start <= parse_rfc3339(bad) <= gap.end for gap in reading.gaps)
    assert len(reading.gaps) <= 2


async def test_a_vendor_that_can_not_be_read_at_all_makes_no_gap() -> None:
    it = Bench(start_from="1h")
    it.vendor.put("i-1", it.vendor.now - MINUTE)
    it.vendor.always.append(lambda _: (200, b'{"incidents":[{'))
    with pytest.raises(SourceUnavailable):
        await it.read()
    it.vendor.always.clear()

    reading = await it.read()

    assert reading.names == ["i-1"]
    assert reading.gaps == []


async def test_a_page_torn_once_is_asked_for_again() -> None:
    it = Bench()
    it.vendor.put("i-1", it.vendor.now - MINUTE)
    it.vendor.says.append(lambda _: (200, b'{"incidents":['))

    reading = await it.read()

    assert reading.names == ["i-1"]
    assert len(it.vendor.lists) == 3


@pytest.mark.parametrize("reverse", [False, True])
async def test_the_order_of_the_list_does_not_matter(reverse: bool) -> None:
    it = Bench()
    it.vendor.reverse = reverse
    it.vendor.page_size = 7
    for number in range(40):
        it.vendor.put(f"i-{number:02}", it.vendor.now - HOUR + number * SECOND)
    page = await it.fetch()
    assert (page.checkpoint.watermark or it.vendor.now - 2 * DAY) < it.vendor.now - HOUR

    rest = await it.read(page.checkpoint)

    assert {record.id for record in page.records} | set(rest.ids) >= set(rest.ids)
    assert len({record.id for record in page.records} | set(rest.ids)) == 40
