from __future__ import annotations

import pytest

from collector.errors import SourceUnavailable
from collector.http import AnswerTooLarge
from collector.model import Lane
from collector.sources.eset.client import TookTooLong
from collector.timestamps import parse_rfc3339
from tests.unit.sources.eset.detections_vendor import DAY, HOUR, MINUTE, SECOND, Asked, Bench, Vendor

TORN = b'{"detections":[{"uuid":"to'


def listing(**config: object) -> Bench:
    """A vendor without deltas."""
    bench = Bench(**config)
    bench.vendor.delta_offered["v1"] = False
    return bench


def lists(vendor: Vendor) -> list[Asked]:
    return [asked for asked in vendor.asked if asked.path == "/v1/detections"]


@pytest.mark.parametrize("cap", [1000, 7], ids=["one page", "many pages"])
async def test_one_unreadable_record_is_a_gap_of_a_millisecond_and_costs_no_other(cap: int) -> None:
    bench = listing()
    first = bench.vendor.now - 20 * HOUR
    names = bench.vendor.fill(60, first, MINUTE)
    bench.vendor.cap = cap
    bench.vendor.unreadable = {names[30]}

    reading = await bench.read()

    assert set(names) - set(reading.names) == {names[30]}
    (gap,) = reading.gaps
    assert (gap.end - gap.start).total_seconds() == 0.001
    assert gap.start <= first + 30 * MINUTE < gap.end
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark == parse_rfc3339("2026-11-22T10:11:12Z")


async def test_records_ahead_of_an_unreadable_one_in_its_millisecond_arrive() -> None:
    bench = listing()
    moment = bench.vendor.now - 20 * HOUR
    names = {bench.vendor.put(f"tie{number}", moment) for number in range(12)}
    bench.vendor.fill(5, moment + HOUR, MINUTE)
    bench.vendor.unreadable = {"tie3"}

    reading = await bench.read()

    assert len(reading.gaps) == 1
    assert "tie3" not in reading.names
    assert names & set(reading.names)


async def test_a_known_gap_is_stepped_over() -> None:
    bench = listing()
    names = bench.vendor.fill(10, bench.vendor.now - 5 * MINUTE, SECOND)
    bench.vendor.unreadable = {names[4]}
    reading = await bench.read()
    bench.vendor.asked.clear()
    await bench.clock.advance(60.0)

    again = await bench.read(reading.checkpoint)

    assert again.gaps == []
    assert len(bench.vendor.asked) < 10


async def test_a_vendor_that_talks_nonsense_for_an_hour_has_no_unreadable_record() -> None:
    bench = listing()
    names = bench.vendor.fill(20, bench.vendor.now - 20 * HOUR, MINUTE)
    until = bench.vendor.now + HOUR
    bench.vendor.always = lambda asked: TORN if bench.vendor.now < until and asked.path == "/v1/detections" else None

    reading = await bench.read()

    assert reading.gaps == []
    assert set(reading.names) == set(names)
    assert reading.failures


async def test_a_torn_answer_is_asked_for_again() -> None:
    bench = listing()
    names = bench.vendor.fill(3, bench.vendor.now - HOUR, MINUTE)
    bench.vendor.says = [None, None, TORN, TORN]

    reading = await bench.read()

    assert sorted(reading.names) == names
    assert len({(asked["startTime"], asked["endTime"]) for asked in lists(bench.vendor)}) == 1


async def test_a_record_that_breaks_deltas_is_found_by_the_lists() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    await bench.clock.advance(60.0)
    names = bench.vendor.fill(20, bench.vendor.now - 10 * MINUTE, SECOND)
    bench.vendor.unreadable = {names[7]}

    reading = await bench.read(tip)

    assert set(names) - set(reading.names) == {names[7]}
    assert len(reading.gaps) == 1
    await bench.clock.advance(60.0)
    bench.vendor.put("next", bench.vendor.now - 5 * DAY)
    assert (await bench.read(reading.checkpoint)).names == ["next"]


async def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pages_at_once() -> None:
    bench = listing()
    names = bench.vendor.fill(40, bench.vendor.now - HOUR, SECOND)

    def large(asked: Asked) -> Exception | None:
        over = int(asked["pageSize"] or 0) > 10 and asked.path == "/v1/detections"
        return AnswerTooLarge("GET vendor/v1/detections: the answer is over 64 bytes") if over else None

    bench.vendor.always = large

    reading = await bench.read()

    assert set(reading.names) == set(names)
    assert reading.gaps == []


async def test_a_delta_that_is_too_large_is_asked_for_in_smaller_pages() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    names = bench.vendor.fill(40, bench.vendor.now - HOUR, SECOND)

    def large(asked: Asked) -> Exception | None:
        over = int(asked["pageSize"] or 0) > 10
        return AnswerTooLarge("GET vendor/v1/detections:listDelta: the answer is over 64 bytes") if over else None

    bench.vendor.always = large

    assert (await bench.read(tip)).names == names


async def test_what_takes_the_vendor_too_long_is_asked_for_in_smaller_pages_and_narrower_windows() -> None:
    bench = listing()
    names = bench.vendor.fill(40, bench.vendor.now - 20 * HOUR, MINUTE)

    def slow(asked: Asked) -> Exception | None:
        if asked.path != "/v1/detections":
            return None
        width = parse_rfc3339(asked["endTime"] or "") - parse_rfc3339(asked["startTime"] or "")
        return TookTooLong("/v1/detections: status 504") if width > 3 * HOUR else None

    bench.vendor.always = slow

    reading = await bench.read()

    assert set(reading.names) == set(names)
    assert reading.gaps == []
    assert min(int(asked["pageSize"] or 0) for asked in lists(bench.vendor)) == 50


async def test_a_record_that_makes_the_server_fail_is_passed_too() -> None:
    bench = listing()
    names = bench.vendor.fill(30, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.fails_on = {names[11]}

    reading = await bench.read()

    assert set(names) - set(reading.names) == {names[11]}
    assert len(reading.gaps) == 1


async def test_an_outage_of_the_lists_makes_no_gap() -> None:
    bench = listing()
    names = bench.vendor.fill(30, bench.vendor.now - 20 * HOUR, MINUTE)
    until = bench.vendor.now + 2 * HOUR
    bench.vendor.always = lambda asked: (
        SourceUnavailable(f"{asked.path}: status 500") if bench.vendor.now < until else None
    )

    reading = await bench.read()

    assert reading.gaps == []
    assert set(reading.names) == set(names)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>maintenance</html>", b'{"code":13,"message":"internal"}', b'{"detections":{"uuid":"a"}}', b"[]"],
    ids=["empty", "html", "error", "object", "list"],
)
async def test_an_answer_that_is_no_page_moves_nothing(body: bytes) -> None:
    bench = listing()
    bench.vendor.put("there", bench.vendor.now - HOUR)
    bench.vendor.says = [None, None, body]

    assert (await bench.read()).names == ["there"]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"detections":null,"nextPageToken":null}', b'{"detections":[]}'], ids=["bare", "null", "list"]
)
async def test_an_empty_list_may_be_told_in_many_ways(body: bytes) -> None:
    bench = listing()
    bench.vendor.says = [None, None, body]

    reading = await bench.read()

    assert (reading.names, reading.gaps) == ([], [])


async def test_page_tokens_in_a_circle_end_in_no_endless_loop() -> None:
    bench = listing()
    bench.vendor.put("there", bench.vendor.now - HOUR)
    same = b'{"detections":[{"uuid":"there"}],"nextPageToken":"again"}'
    bench.vendor.says = [None, None, *[same] * 9]

    reading = await bench.read()

    assert set(reading.names) == {"there"}
    assert len(bench.vendor.asked) < 30


async def test_a_delta_in_a_circle_is_given_up_for_the_lists() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.put("there", bench.vendor.now - HOUR)
    same = b'{"createdDetections":[{"uuid":"x"}],"nextPageToken":"again"}'
    bench.vendor.says = [same] * 8

    reading = await bench.read(tip)

    assert {"there", "x"} == set(reading.names)


async def test_a_search_survives_a_restart_at_any_step() -> None:
    bench = listing()
    names = bench.vendor.fill(12, bench.vendor.now - 20 * HOUR, MINUTE)
    bench.vendor.unreadable = {names[5]}
    at, got, gaps = None, set(), 0
    for _ in range(600):
        bench.restart()
        try:
            page = await bench.fetch(at)
        except SourceUnavailable:
            await bench.clock.advance(5.0)
            continue
        at = page.checkpoint
        got |= {record.id for record in page.records}
        gaps += len(page.gaps)
        if not page.more:
            break
        await bench.clock.advance(page.retry_after or 0.0)

    assert set(names) - got == {names[5]}
    assert gaps == 1


async def test_a_sweep_is_complete_behind_a_gap() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    assert tip is not None
    await bench.clock.advance(6 * 3600.0)
    names = bench.vendor.fill(20, bench.vendor.now - 2 * HOUR, MINUTE)
    bench.vendor.unreadable = {names[3]}

    reading = await bench.sweep(tip)

    assert set(names) - set(reading.names) == {names[3]}
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark is not None
    assert reading.checkpoint.watermark >= parse_rfc3339("2026-11-22T16:11:12Z")
    assert {asked.lane for asked in bench.vendor.asked[-3:]} == {Lane.SWEEP}
