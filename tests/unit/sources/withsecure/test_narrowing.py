from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.errors import SourceDenied, SourceUnavailable
from collector.model import Checkpoint, Lane, Window
from collector.timestamps import parse_rfc3339
from tests.unit.sources.withsecure.vendor import Asked, Bench, Reading, Say, bench, error, missing

DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
FOR_EVER = 10**9


def make_unreadable(it: Bench, names: Sequence[str], times: int = FOR_EVER) -> None:
    it.vendor.unreadable.update(dict.fromkeys(names, times))


async def read_patiently(
    it: Bench, at: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None, seconds: float = 0.0
) -> Reading:
    """As a daemon does: again after every failure, until caught up and for at least so long."""
    reading = Reading(at)
    ends = it.clock.monotonic() + seconds
    for _ in range(5000):
        try:
            page = await it.fetch(reading.checkpoint, lane, window)
        except (SourceUnavailable, SourceDenied) as exc:
            reading.failures += 1
            await it.clock.advance(getattr(exc, "retry_after", None) or 30.0)
            continue
        reading.checkpoint = page.checkpoint
        reading.records += page.records
        reading.gaps += page.gaps
        if not page.more and it.clock.monotonic() >= ends:
            return reading
        await it.clock.advance(page.retry_after or 0.0 if page.more else 60.0)
    raise AssertionError("not caught up")


@pytest.mark.parametrize("index", [0, 1, 149, 199, 200, 449])
async def test_one_unreadable_record_is_a_gap_of_a_millisecond_and_costs_no_other(index: int) -> None:
    async with bench() as it:
        start = it.vendor.now - HOUR
        names = it.vendor.fill(450, start, SECOND)
        make_unreadable(it, [names[index]])
        reading = await it.read()

    assert missing(names, reading) == {names[index]}
    (gap,) = reading.gaps
    assert (gap.start, gap.end) == (start + index * SECOND, start + index * SECOND + MILLISECOND)
    assert "can't be read" in gap.reason
    assert "transaction 0000-abc" in gap.reason
    assert reading.checkpoint is not None
    assert reading.checkpoint.run is None
    assert (reading.checkpoint.watermark or start) > start + 450 * SECOND


@pytest.mark.parametrize("apart", [-29 * DAY, -7 * MINUTE, -MILLISECOND, MILLISECOND, 5 * DAY])
async def test_an_unreadable_event_is_passed_where_one_other_is_readable_however_far_away(apart: timedelta) -> None:
    async with bench(start_from="30d") as it:
        bad = it.vendor.now - 10 * DAY
        it.vendor.put(bad, "bad")
        it.vendor.put(bad + apart, "other")
        make_unreadable(it, ["bad"])
        reading = await it.read()

    assert len(reading.gaps) == 1
    assert set(reading.names) == ({"other"} if apart > -20 * DAY else set())


async def test_the_only_event_there_is_is_no_gap_but_asked_for_until_it_or_another_can_be_read() -> None:
    for later in (["other"], ["bad"]):
        async with bench() as it:
            it.vendor.put(it.vendor.now - HOUR, "bad")
            make_unreadable(it, ["bad"])
            at = (await it.fetch()).checkpoint
            with pytest.raises(SourceUnavailable, match="nothing can be read"):
                await it.read(at)
            if later == ["bad"]:
                it.vendor.unreadable.clear()
            else:
                it.vendor.put(it.vendor.now, "other")
                await it.clock.advance(60)
            reading = await read_patiently(it, at, seconds=600)

        assert reading.names == later
        assert len(reading.gaps) == (0 if later == ["bad"] else 1)


async def test_a_gap_takes_more_than_a_minute() -> None:
    async with bench() as it:
        names = it.vendor.fill(10, it.vendor.now - HOUR, SECOND)
        make_unreadable(it, names[5:6])
        reading = await it.read()

    assert len(reading.gaps) == 1
    assert sum(page.retry_after or 0.0 for page in reading.pages) > 85.0


@pytest.mark.parametrize("lane", [Lane.TIP, Lane.SWEEP])
@pytest.mark.parametrize("busy", [True, False])
async def test_an_outage_that_spares_empty_answers_makes_no_gap(lane: Lane, *, busy: bool) -> None:
    async with bench() as it:
        began, usual = it.vendor.now, it.vendor._page
        names = it.vendor.fill(300, began - 5 * HOUR, 20 * SECOND) if busy else []

        def torn_for_an_hour(asked: Asked) -> Say:
            said = usual(asked)
            is_torn = it.vendor.now < began + HOUR and b'"id"' in said.body
            return Say(body=said.body[: len(said.body) // 2]) if is_torn else said

        it.vendor._page = torn_for_an_hour  # type: ignore[method-assign]
        for number in range(10):
            names.append(f"new{number}")
            it.vendor.put(began - number * MINUTE, names[-1])
        at = Checkpoint(began - 6 * HOUR) if lane is Lane.SWEEP else None
        window = Window(began - 6 * HOUR) if lane is Lane.SWEEP else None
        reading = await read_patiently(it, at, lane, window, seconds=5400)

    assert reading.gaps == []
    assert set(reading.names) == set(names)
    assert 5 < reading.failures < 100


async def test_tokens_that_expire_cost_the_search_in_a_tie_no_more_than_its_phase() -> None:
    async with bench() as it:
        names = [f"tie{number:03}" for number in range(500)]
        for name in names:
            it.vendor.put(it.vendor.now - HOUR, name)
        it.vendor.put(it.vendor.now - HOUR + MINUTE, "other")
        make_unreadable(it, ["tie234"])
        usual, issued = it.vendor._page, dict[str, float]()

        def for_ten_seconds(asked: Asked) -> Say:
            token = asked["anchor"]
            if token is not None and it.clock.monotonic() > issued[token] + 10:
                return error(400, "stale anchor", 400001)
            said = usual(asked)
            following = said.body.partition(b'"nextAnchor":"')[2].partition(b'"')[0].decode()
            issued[following] = it.clock.monotonic()
            return said

        it.vendor._page = for_ten_seconds  # type: ignore[method-assign]
        reading = await it.read()

    assert reading.expired == 0
    assert missing([*names, "other"], reading) == {"tie234"}
    assert len(reading.gaps) == 1


async def test_records_that_share_the_unreadable_ones_millisecond_arrive_from_both_sides() -> None:
    async with bench() as it:
        before = it.vendor.fill(30, it.vendor.now - 2 * HOUR, SECOND)
        for number in range(500):
            it.vendor.put(it.vendor.now - HOUR, f"tie{number:03}")
        make_unreadable(it, ["tie234"])
        reading = await it.read()

    names = before + [f"tie{number:03}" for number in range(500)]
    assert missing(names, reading) == {"tie234"}
    assert len(reading.gaps) == 1


async def test_several_unreadable_records_are_as_many_gaps() -> None:
    async with bench() as it:
        names = it.vendor.fill(600, it.vendor.now - HOUR, 20 * MILLISECOND)
        bad = [names[number] for number in (5, 6, 599)]
        make_unreadable(it, bad)
        reading = await it.read()

    assert missing(names, reading) == set(bad)
    assert len(reading.gaps) == 3


async def test_neighbours_a_millisecond_apart_are_two_gaps() -> None:
    async with bench() as it:
        names = it.vendor.fill(50, it.vendor.now - HOUR, MILLISECOND)
        make_unreadable(it, names[20:23])
        reading = await it.read()

    assert missing(names, reading) == set(names[20:23])
    assert len(reading.gaps) == 3


@pytest.mark.parametrize("times", [1, 2, 3, 5, 9, 12, 15, 20, 25, 30, 36])
@pytest.mark.parametrize("index", [0, 150])
async def test_a_record_that_becomes_readable_at_any_point_of_the_search_is_not_lost(index: int, times: int) -> None:
    async with bench() as it:
        names = it.vendor.fill(300, it.vendor.now - HOUR, 90 * MILLISECOND)
        make_unreadable(it, [names[index]], times)
        reading = await it.read()

    assert missing(names, reading) == set()
    assert reading.gaps == []


async def test_a_torn_answer_is_asked_for_again_before_anything_smaller() -> None:
    async with bench() as it:
        names = it.vendor.fill(450, it.vendor.now - HOUR, SECOND)
        torn = Say(body=b'{"items":[{"id":"')
        it.vendor.says.extend([None, torn, torn])
        reading = await it.read()

    assert reading.names == names
    assert {asked["limit"] for asked in it.vendor.data} == {"200"}
    assert [page.retry_after for page in reading.pages] == [None, 0.25, 0.5, None, None]


async def test_the_limit_grows_back() -> None:
    async with bench() as it:
        names = it.vendor.fill(5000, it.vendor.now - HOUR, 10 * MILLISECOND)
        torn = Say(body=b'{"items":[{"id":"')
        it.vendor.says.extend([None, torn, torn, torn, torn])
        reading = await it.read()

    limits = [int(asked["limit"] or 0) for asked in it.vendor.data]
    assert reading.names == names
    assert limits[:6] == [200, 200, 200, 200, 100, 50]
    assert limits[-1] == 200
    assert sorted(limits[5:]) == limits[5:]


@pytest.mark.parametrize("lane", [Lane.TIP, Lane.SWEEP, Lane.JOB])
async def test_a_vendor_whose_every_answer_is_garbage_has_no_gap(lane: Lane) -> None:
    async with bench() as it:
        names = it.vendor.fill(300, it.vendor.now - HOUR, SECOND)
        window = {Lane.TIP: None, Lane.SWEEP: Window(it.vendor.now - 2 * HOUR)}.get(
            lane, Window(it.vendor.now - 2 * HOUR, it.vendor.now)
        )
        at = Checkpoint(it.vendor.now - HOUR) if lane is Lane.SWEEP else None
        reading = Reading(at)
        raised = 0
        for number in range(300):
            if number < 250:
                it.vendor.says.append(Say(body=b'{"items":[{"id":"torn"'))
            try:
                page = await it.fetch(reading.checkpoint, lane, window)
            except SourceUnavailable:
                raised += 1
                continue
            reading.checkpoint = page.checkpoint
            reading.records += page.records
            reading.gaps += page.gaps
            if number >= 250 and not page.more:
                break
        rest = await it.read(reading.checkpoint, lane, window)

    assert reading.gaps == rest.gaps == []
    assert raised > 10
    assert set(reading.names) | set(rest.names) == set(names)


@pytest.mark.parametrize("begins", [4, 9, 16, 25, 34, 37, 38, 39, 40, 41, 42, 43, 45])
async def test_an_outage_in_the_middle_of_the_search_makes_no_gap_of_readable_records(begins: int) -> None:
    async with bench() as it:
        names = it.vendor.fill(40, it.vendor.now - HOUR, SECOND)
        make_unreadable(it, [names[20]])
        it.vendor.says.extend([None] * begins)
        it.vendor.says.extend([Say(body=b'{"items":[{"')] * 15)
        reading = await read_patiently(it)

    assert missing(names, reading) == {names[20]}
    assert len(reading.gaps) == 1


async def test_a_known_gap_is_stepped_over_by_the_next_poll_and_told_once() -> None:
    async with bench() as it:
        names = it.vendor.fill(10, it.vendor.now - 10 * SECOND, SECOND)
        make_unreadable(it, [names[5]])
        reading = await it.read()
        assert len(reading.gaps) == 1
        asked = len(it.vendor.data)

        again = await it.read(reading.checkpoint)

    assert again.gaps == []
    assert len(it.vendor.data) - asked == 2
    assert set(again.names) == set(names) - {names[5]}


async def test_control_reads_deliver_nothing_from_outside_a_jobs_window() -> None:
    async with bench() as it:
        start = it.vendor.now - 3 * HOUR
        it.vendor.put(start - MINUTE, "outside")
        it.vendor.put(start, "bad")
        it.vendor.put(start + SECOND, "inside")
        make_unreadable(it, ["bad"])
        reading = await it.read(None, Lane.JOB, Window(start, start + MINUTE))

    assert set(reading.names) == {"inside"}
    assert len(reading.gaps) == 1


async def test_a_sweep_passes_an_unreadable_record_too() -> None:
    async with bench() as it:
        names = it.vendor.fill(10, it.vendor.now - MINUTE, SECOND)
        make_unreadable(it, [names[5]])
        reading = await it.read(Checkpoint(it.vendor.now), Lane.SWEEP, Window(it.vendor.now - HOUR))

    assert missing(names, reading) == {names[5]}
    assert len(reading.gaps) == 1
    assert reading.pages[-1].watermark is not None


async def test_no_request_leaves_the_vendors_rules_during_a_search() -> None:
    async with bench() as it:
        names = it.vendor.fill(400, it.vendor.now - 20 * HOUR, MINUTE)
        make_unreadable(it, [names[0]])
        await it.read()

    for asked in it.vendor.data:
        start = parse_rfc3339(asked["persistenceTimestampStart"] or "")
        end = parse_rfc3339(asked["persistenceTimestampEnd"] or "")
        assert start < end <= start + timedelta(days=30)
        assert 1 <= int(asked["limit"] or 0) <= 200


async def test_one_event_over_the_cap_is_passed_like_an_unreadable_one() -> None:
    async with bench(max_bytes=100_000) as it:
        names = it.vendor.fill(20, it.vendor.now - HOUR, SECOND)
        it.vendor.put(it.vendor.now - HOUR + 10 * SECOND + MILLISECOND, "huge", x="y" * 200_000)
        reading = await it.read()

    assert set(reading.names) == set(names)
    (gap,) = reading.gaps
    assert "over 100000 bytes" in gap.reason


async def test_a_search_survives_a_restart_in_the_middle() -> None:
    async with bench() as it:
        names = it.vendor.fill(30, it.vendor.now - HOUR, SECOND)
        make_unreadable(it, [names[7]])
        reading = await it.read(None)

        assert all(page.checkpoint.run is None or dict(page.checkpoint.run) for page in reading.pages)
        for page in reading.pages[:-1:9]:
            rest = await it.read(replace(page.checkpoint))
            earlier = reading.pages[: reading.pages.index(page) + 1]
            seen = {record.id for one in earlier for record in one.records} | set(rest.names)
            assert seen == set(names) - {names[7]}


GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    "said",
    [error(500), Say(502, b"<html>Bad gateway</html>"), Say(), Say(body=b"<html>"), Say(body=b"cut", headers=GZIP)],
)
@pytest.mark.parametrize("index", [0, 250])
async def test_a_page_that_always_fails_in_another_way_is_passed_too(index: int, said: Say) -> None:
    async with bench() as it:
        names = it.vendor.fill(300, it.vendor.now - HOUR, SECOND)
        usual = it.vendor._page

        def fail(asked: Asked) -> Say:
            page = usual(asked)
            return said if names[index].encode() in page.body.partition(b'"nextAnchor"')[0] else page

        it.vendor._page = fail  # type: ignore[method-assign]
        reading = await read_patiently(it)

    assert missing(names, reading) == {names[index]}
    assert len(reading.gaps) == 1
    assert reading.failures == 4


@pytest.mark.parametrize(
    "said", [error(503), error(503, headers={"Retry-After": "20"}), error(429), error(401), error(403), Say()]
)
async def test_an_outage_of_an_hour_that_spares_nothing_makes_no_gap(said: Say) -> None:
    async with bench() as it:
        began, usual = it.vendor.now, it.vendor._page
        names = it.vendor.fill(300, began - HOUR, SECOND)
        it.vendor._page = lambda asked: said if it.vendor.now < began + HOUR else usual(asked)  # type: ignore[method-assign]
        reading = await read_patiently(it)

    assert reading.gaps == []
    assert set(reading.names) == set(names)
    if said.status in {401, 403, 429} or said.headers:
        assert {asked["limit"] for asked in it.vendor.data} == {"200"}
