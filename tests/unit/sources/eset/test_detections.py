from __future__ import annotations

import orjson
import pytest
import structlog

from collector.errors import CheckpointExpired, SourceDenied, SourceUnavailable
from collector.model import Lane, Window
from collector.sources.eset.client import NotOffered
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.eset.detections_vendor import DAY, HOUR, MINUTE, SECOND, Bench


async def test_the_first_start_takes_a_token_before_it_reads_the_lists() -> None:
    bench = Bench()
    names = bench.vendor.fill(2500, bench.vendor.now - 20 * HOUR, 10 * SECOND)

    reading = await bench.read()

    first, second = bench.vendor.asked[0], bench.vendor.asked[2]
    assert (first.path, first["deltaToken"]) == ("/v1/detections:listDelta", "latest")
    assert second.path == "/v1/detections"
    assert sorted(reading.names) == names


async def test_the_token_and_what_is_still_to_be_read_are_stored_together() -> None:
    bench = Bench()

    page = await bench.fetch()

    track = page.checkpoint.state["v1"]
    assert track["token"] == "0:d0"
    assert track["sweep_from"] == "2026-11-21T10:11:12Z"
    assert page.more


async def test_late_records_come_by_deltas_at_once() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.asked.clear()
    await bench.clock.advance(50.0)
    bench.vendor.put("late", bench.vendor.now - 13 * DAY)

    reading = await bench.read(tip)

    assert reading.names == ["late"]
    assert [asked.path for asked in bench.vendor.asked] == ["/v1/detections:listDelta"]


async def test_a_delta_is_followed_page_by_page_under_its_own_token() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.asked.clear()
    bench.vendor.delta_cap = 40
    names = bench.vendor.fill(100, bench.vendor.now - HOUR, SECOND)

    reading = await bench.read(tip)

    assert reading.names == names
    asked = [it for it in bench.vendor.asked if it.path == "/v1/detections:listDelta"]
    assert {it["deltaToken"] for it in asked} == {"0:d0"}
    assert [it["pageToken"] for it in asked] == [None, "40-100", "80-100"]
    assert reading.checkpoint is not None
    assert reading.checkpoint.state["v1"]["token"] == "0:d100"


async def test_a_dead_delta_token_costs_nothing() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(60.0)
    bench.vendor.kill_tokens()
    names = {bench.vendor.put(f"late{days}", bench.vendor.now - days * HOUR) for days in (1, 5, 20)}

    reading = await bench.read(tip)

    assert set(reading.names) == names
    assert reading.checkpoint is not None
    assert "sweep_from" not in reading.checkpoint.state["v1"]


async def test_a_dead_token_makes_the_lists_be_read_from_a_window_before_it() -> None:
    bench = Bench(start_from="30d", sweep={"every": "6h", "window": "14d"})
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(3600.0)
    bench.vendor.kill_tokens()
    bench.vendor.asked.clear()

    await bench.read(tip)

    (listed,) = [asked for asked in bench.vendor.asked if asked.path == "/v1/detections"]
    assert listed["startTime"] == format_utc(parse_rfc3339("2026-11-08T10:11:12Z"))


async def test_a_token_that_dies_while_the_lists_are_read_has_them_read_once_more() -> None:
    bench = Bench()
    bench.vendor.fill(30, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.cap = 1
    tip = (await bench.read()).checkpoint
    bench.vendor.kill_tokens()
    page = await bench.fetch(tip)
    for _ in range(6):
        page = await bench.fetch(page.checkpoint)
    bench.vendor.kill_tokens()
    bench.vendor.put("behind", bench.vendor.now - 20 * HOUR - SECOND)

    reading = await bench.read(page.checkpoint)

    assert "behind" in reading.names
    assert reading.checkpoint is not None
    assert not {"sweep_from", "sweep_again"} & reading.checkpoint.state["v1"].keys()


async def test_a_restart_asks_for_deltas_again_first() -> None:
    bench = Bench()
    bench.vendor.fill(9, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.cap = 1
    page = await bench.fetch()
    for _ in range(4):
        page = await bench.fetch(page.checkpoint)
    bench.vendor.put("meanwhile", bench.vendor.now - 3 * DAY)
    bench.restart()

    assert [record.id for record in (await bench.fetch(page.checkpoint)).records] == ["meanwhile"]


async def test_deltas_are_asked_again_while_a_long_walk_goes_on() -> None:
    bench = Bench()
    bench.vendor.fill(40, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.cap = 1

    await bench.read()

    kinds = ["d" if asked.path.startswith("/v1/detections:") else "w" for asked in bench.vendor.asked]
    assert "".join(kind for kind in kinds).count("d") == 4


async def test_without_deltas_the_lists_are_polled_with_an_overlap() -> None:
    bench = Bench(overlap="10m")
    bench.vendor.delta_offered["v1"] = False
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(30.0)
    bench.vendor.put("new", bench.vendor.now - 9 * MINUTE)
    bench.vendor.asked.clear()

    reading = await bench.read(tip)

    assert reading.names == ["new"]
    (asked,) = bench.vendor.asked
    assert (asked.path, asked["startTime"]) == ("/v1/detections", "2026-11-22T10:01:12.000Z")


@pytest.mark.parametrize("refusal", [NotOffered, SourceDenied, CheckpointExpired])
async def test_deltas_switched_off_and_on_again_lose_nothing(refusal: type[Exception]) -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.refusal = refusal
    bench.vendor.delta_offered["v1"] = False
    await bench.clock.advance(60.0)
    early = bench.vendor.put("early", bench.vendor.now - 20 * HOUR)
    off = await bench.read(tip)
    assert off.names == [early]
    fresh = bench.vendor.put("fresh", bench.vendor.now)
    await bench.clock.advance(60.0)
    assert fresh in (await bench.read(off.checkpoint)).names

    bench.vendor.delta_offered["v1"] = True
    between = bench.vendor.put("between", bench.vendor.now - 15 * HOUR)
    await bench.clock.advance(3600.0)
    on = await bench.read(off.checkpoint)

    assert between in on.names
    assert on.checkpoint is not None
    assert "delta_off" not in on.checkpoint.state["v1"]
    assert "sweep_from" not in on.checkpoint.state["v1"]


async def test_an_answer_without_a_delta_token_is_none() -> None:
    bench = Bench()
    bench.vendor.says = [b'{"createdDetections":[],"nextPageToken":""}'] * 2

    reading = await bench.read()

    assert reading.checkpoint is not None
    assert "delta_off" in reading.checkpoint.state["v1"]


async def test_small_pages_are_tried_before_deltas_are_given_up() -> None:
    bench = Bench()
    bench.vendor.says = [CheckpointExpired("/v1/detections:listDelta: status 400")]

    await bench.read()

    sizes = [asked["pageSize"] for asked in bench.vendor.asked if asked.path == "/v1/detections:listDelta"]
    assert sizes[:2] == ["1000", "100"]


async def test_a_sweep_reads_the_lists_of_both_versions() -> None:
    bench = Bench()
    bench.vendor.list_offered["v2"] = True
    tip = (await bench.read()).checkpoint
    assert tip is not None
    await bench.clock.advance(6 * 3600.0)
    names = {
        bench.vendor.put("one", bench.vendor.now - DAY),
        bench.vendor.put("two", bench.vendor.now - DAY, version=2),
    }

    reading = await bench.sweep(tip)

    assert set(reading.names) == names
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark == parse_rfc3339("2026-11-22T16:11:12Z")


async def test_a_job_reads_its_window_and_is_then_over() -> None:
    bench = Bench()
    names = bench.vendor.fill(90, bench.vendor.now - 20 * DAY, HOUR)
    window = Window(bench.vendor.now - 20 * DAY + HOUR, bench.vendor.now - 19 * DAY)

    reading = await bench.read(None, Lane.JOB, window)

    assert sorted(reading.names) == names[1:24]
    assert (await bench.fetch(reading.checkpoint, Lane.JOB, window)).checkpoint == reading.checkpoint


async def test_what_is_not_offered_is_asked_for_ever_more_slowly() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.asked.clear()

    for _ in range(24 * 6):
        await bench.clock.advance(600.0)
        tip = (await bench.read(tip)).checkpoint

    probes = [asked for asked in bench.vendor.asked if asked.path == "/v2/detections"]
    assert 24 <= len(probes) <= 29


async def test_a_list_that_is_offered_later_is_read_from_a_window_before() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(3600.0)
    bench.vendor.list_offered["v2"] = bench.vendor.delta_offered["v2"] = True
    bench.vendor.put("old", bench.vendor.now - 10 * HOUR, version=2)

    assert (await bench.read(tip)).names == ["old"]


async def test_a_list_that_was_not_offered_for_days_is_read_from_a_window_before_that() -> None:
    bench = Bench(start_from="30d")
    bench.vendor.list_offered["v2"] = True
    tip = (await bench.read()).checkpoint
    bench.vendor.list_offered["v2"] = False
    await bench.clock.advance(60.0)
    for _ in range(3):
        tip = (await bench.read(tip)).checkpoint
        await bench.clock.advance(86400.0)
    bench.vendor.put("late", bench.vendor.now - 9 * DAY, version=2)
    bench.vendor.list_offered["v2"] = True

    assert "late" in (await bench.read(tip)).names


async def test_a_list_that_is_refused_or_fails_keeps_no_other_from_being_read() -> None:
    for trouble in (None, SourceUnavailable("/v1/detections: status 503")):
        bench = Bench()
        bench.vendor.list_offered["v2"] = True
        bench.vendor.delta_offered["v1"] = False
        tip = (await bench.read()).checkpoint
        bench.vendor.list_offered["v1"] = False
        bench.vendor.says = [trouble]
        await bench.clock.advance(1.0)
        bench.vendor.put("two", bench.vendor.now, version=2)

        with pytest.raises(SourceDenied if trouble is None else SourceUnavailable):
            await bench.fetch(tip)

        assert [record.id for record in (await bench.fetch(tip)).records] == ["two"]


async def test_a_list_that_was_read_is_given_up_at_its_third_refusal() -> None:
    bench = Bench()
    bench.vendor.list_offered["v2"] = True
    bench.vendor.delta_offered["v1"] = False
    at = (await bench.read()).checkpoint
    bench.vendor.list_offered["v1"] = False
    refused = 0

    for _ in range(20):
        await bench.clock.advance(10.0)
        try:
            page = await bench.fetch(at)
        except SourceDenied:
            refused += 1
            continue
        at = page.checkpoint
        if "list_off" in at.state["v1"]:
            break

    assert at is not None
    assert "list_off" in at.state["v1"]
    assert refused >= 2


async def test_a_version_of_which_every_request_is_refused_as_wrong_is_not_offered() -> None:
    bench = Bench()
    bench.vendor.put("one", bench.vendor.now - HOUR)
    bench.vendor.wrong = "/v2/detections"

    reading = await bench.read()

    assert reading.names == ["one"]
    assert reading.checkpoint is not None
    assert "list_off" in reading.checkpoint.state["v2"]


@pytest.mark.parametrize(("lacking", "level"), [("v2", "info"), ("v1", "warning")])
async def test_only_a_lack_of_the_first_version_is_worth_a_warning(lacking: str, level: str) -> None:
    bench = Bench()
    for version in ("v1", "v2"):
        bench.vendor.list_offered[version] = version != lacking
    with structlog.testing.capture_logs() as logs:
        await bench.read()

    said = [(each["version"], each["log_level"]) for each in logs if each["event"] == "detections are not offered"]
    assert said == [(lacking, level)]


async def test_a_feed_of_which_nothing_is_offered_is_denied_and_recovers() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = bench.vendor.list_offered["v1"] = False
    at, denied = None, 0
    for _ in range(40):
        try:
            at = (await bench.fetch(at)).checkpoint
        except SourceDenied:
            denied += 1
            await bench.clock.advance(60.0)
    assert denied > 5
    assert at is not None
    assert at.watermark == parse_rfc3339(at.state["beginning"])

    bench.vendor.list_offered["v1"] = True
    bench.vendor.put("there", bench.vendor.now - HOUR)

    assert "there" in (await bench.read(at)).names


async def test_a_refused_login_says_nothing_of_what_is_offered() -> None:
    bench = Bench()
    bench.vendor.says = [SourceDenied("/oauth/token: the login is refused")]

    with pytest.raises(SourceDenied):
        await bench.fetch()

    assert "delta_off" not in (await bench.fetch()).checkpoint.state["v1"]


async def test_a_pending_answer_is_a_state_of_the_lane() -> None:
    bench = Bench()
    bench.vendor.put("slow", bench.vendor.now - HOUR)
    bench.vendor.pending = 6

    page = await bench.fetch()
    assert page.records == ()
    assert page.more
    assert page.retry_after == 1.5
    assert page.checkpoint.run is not None
    assert page.checkpoint.run["pending"]["response_id"] == "r1"

    bench.restart()
    assert (await bench.read(page.checkpoint)).names == ["slow"]
    first, second = bench.vendor.asked[:2]
    assert (first.path, first.query) == (second.path, second.query)
    assert second.response_id == "r1"


async def test_records_of_the_future_arrive_once_and_move_nothing() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    ahead = {bench.vendor.put("soon", bench.vendor.now + HOUR), bench.vendor.put("far", bench.vendor.now + 1500 * DAY)}

    reading = await bench.read()
    assert set(reading.names) == ahead
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark == parse_rfc3339("2026-11-22T10:11:12Z")
    again = await bench.read(reading.checkpoint)
    assert again.names == ["soon"]  # which the store knows for as long as windows hold it


async def test_a_vendor_that_takes_no_window_of_the_future_is_read_all_the_same() -> None:
    bench = Bench()
    bench.vendor.refuses_future = True
    names = bench.vendor.fill(10, bench.vendor.now - HOUR, MINUTE)

    reading = await bench.read()

    assert sorted(reading.names) == names
    assert reading.checkpoint is not None
    assert "future_off" in reading.checkpoint.state["v1"]


async def test_records_without_a_time_or_an_id_arrive() -> None:
    bench = Bench()
    body = b'{"detections":[{"uuid":"a"},{"occurTime":7},"text",5,null,[1],{"uuid":"","occurTime":null}]}'
    latest = b'{"createdDetections":[],"nextDeltaToken":"0:d0"}'
    bench.vendor.says = [latest, None, body]

    reading = await bench.read()

    assert len(set(reading.names)) == 7
    assert [record.raw for record in reading.records][2] == b'"text"'


async def test_a_device_is_named_in_extra_alone() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    bench.devices.known["d-1"] = {"displayName": "ws-fin-31"}
    bench.vendor.put("a", bench.vendor.now - HOUR, context={"deviceUuid": "d-1"})
    bench.vendor.put("b", bench.vendor.now - HOUR, context={"deviceUuid": "d-2"})
    bench.vendor.put("c", bench.vendor.now - HOUR, device={"uuid": "d-1", "displayName": "own"})

    extra = {record.id: record.extra for record in (await bench.read()).records}

    assert orjson.loads(extra["a"] or b"null") == {"device": {"displayName": "ws-fin-31"}}
    assert (extra["b"], extra["c"]) == (None, None)
    assert bench.devices.asked == [{"d-1", "d-2"}]


async def test_a_window_of_more_than_fifty_pages_is_walked_in_narrower_ones() -> None:
    bench = Bench()
    names = bench.vendor.fill(400, bench.vendor.now - 23 * HOUR, 3 * MINUTE)
    bench.vendor.cap = 3

    reading = await bench.read()

    assert set(reading.names) == set(names)
    ends = {asked["endTime"] for asked in bench.vendor.asked if asked.path == "/v1/detections"}
    assert len(ends) > 3


async def test_a_page_token_that_is_refused_costs_its_window_alone() -> None:
    bench = Bench()
    names = bench.vendor.fill(50, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.cap = 10
    bench.vendor.dead = {"0:30"}

    assert set((await bench.read()).names) == set(names)


async def test_page_tokens_that_die_after_the_first_page_are_lived_with() -> None:
    bench = Bench()
    names = bench.vendor.fill(60, bench.vendor.now - 20 * HOUR, 10 * MINUTE)
    bench.vendor.cap = 10
    bench.vendor.dead = {f"0:{at}" for at in range(20, 100)}

    assert set((await bench.read()).names) == set(names)


async def test_a_wrong_clock_of_the_vendor_leads_past_nothing() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    tip = (await bench.read()).checkpoint
    bench.vendor.ahead = 365 * DAY
    tip = (await bench.read(tip)).checkpoint
    bench.vendor.ahead = 0 * DAY
    assert tip is not None
    assert tip.watermark is not None
    assert tip.watermark <= bench.vendor.now
    await bench.clock.advance(60.0)
    bench.vendor.put("after", bench.vendor.now)
    await bench.clock.advance(60.0)

    assert (await bench.read(tip)).names == ["after"]


async def test_a_host_clock_a_year_behind_stalls_nothing() -> None:
    bench = Bench()
    bench.vendor.ahead = 365 * DAY
    bench.vendor.delta_offered["v1"] = False
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(60.0)
    bench.vendor.put("after", bench.vendor.now)
    await bench.clock.advance(60.0)

    assert (await bench.read(tip)).names == ["after"]


async def test_an_outage_is_told_and_moves_nothing() -> None:
    bench = Bench()
    bench.vendor.says = [SourceUnavailable("/v1/detections:listDelta: status 503")]

    with pytest.raises(SourceUnavailable):
        await bench.fetch()

    assert (await bench.read()).checkpoint is not None
