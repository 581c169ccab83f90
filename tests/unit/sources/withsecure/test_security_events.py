from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from collector.errors import SourceDenied, SourceUnavailable
from collector.model import Checkpoint, Lane, Window
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.withsecure.vendor import Say, bench, error

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DAY, MILLISECOND = timedelta(days=1), timedelta(milliseconds=1)


# -- what is asked -------------------------------------------------------------------------------


async def test_a_page_is_asked_for_with_every_parameter_said() -> None:
    async with bench(start_from="2h") as it:
        await it.fetch()

    (asked,) = it.vendor.data
    end = it.vendor.now.replace(microsecond=0)
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.form == [
        ("engineGroup", "epp"),
        ("engineGroup", "edr"),
        ("engineGroup", "ecp"),
        ("engineGroup", "xm"),
        ("order", "asc"),
        ("limit", "200"),
        ("persistenceTimestampStart", format_utc(end - 2 * HOUR)),
        ("persistenceTimestampEnd", format_utc(end)),
    ]


async def test_pages_are_followed_with_the_same_parameters_and_the_anchor() -> None:
    async with bench(organization_id="9c1f0000-0000-4000-8000-000000000000") as it:
        names = it.vendor.fill(450, it.vendor.now - HOUR, SECOND)
        reading = await it.read()

    first, second, third = it.vendor.data
    assert ("organizationId", "9c1f0000-0000-4000-8000-000000000000") in first.form
    assert first["anchor"] is None
    assert [pair for pair in second.form if pair[0] != "anchor"] == first.form
    assert [pair for pair in third.form if pair[0] != "anchor"] == first.form
    assert reading.names == names
    assert [page.more for page in reading.pages] == [True, True, False]


async def test_the_next_poll_begins_an_overlap_before_the_last() -> None:
    async with bench(overlap="30s") as it:
        reading = await it.read()
        await it.clock.advance(60)
        await it.read(reading.checkpoint)

    first, second = it.vendor.data
    begun = parse_rfc3339(first["persistenceTimestampEnd"] or "") - 30 * SECOND
    assert second["persistenceTimestampStart"] == format_utc(begun)


async def test_a_checkpoint_90_days_old_is_walked_in_windows_of_at_most_30_days() -> None:
    async with bench() as it:
        names = it.vendor.fill(50, it.vendor.now - 89 * DAY, 40 * HOUR)
        beginning = it.vendor.now - 100 * DAY
        state = {"beginning": format_utc(beginning), "started": format_utc(beginning)}
        reading = await it.read(Checkpoint(it.vendor.now - 90 * DAY, state=state))

    assert reading.names == names
    assert len(it.vendor.data) == 4
    assert reading.checkpoint is not None
    assert reading.checkpoint.run is None


# -- nothing lost, nothing stalls ------------------------------------------------------------------


async def test_500_events_in_one_millisecond_arrive() -> None:
    async with bench() as it:
        names = it.vendor.fill(500, it.vendor.now - HOUR, timedelta(0))
        reading = await it.read()

    assert reading.names == names


async def test_a_crash_between_any_two_pages_loses_nothing() -> None:
    async with bench() as it:
        names = it.vendor.fill(950, it.vendor.now - HOUR, timedelta(0))
        for crashed_after in range(5):
            first = await it.fetch()
            seen = {record.id for record in first.records}
            at = first.checkpoint
            for _ in range(crashed_after):
                page = await it.fetch(at)
                if not page.more:
                    break
                at = page.checkpoint
                seen |= {record.id for record in page.records}
            lost_page = await it.fetch(at)
            rest = await it.read(at)
            assert seen | set(rest.names) == set(names)
            assert {record.id for record in lost_page.records} <= set(rest.names)


async def test_an_expired_anchor_costs_the_run_but_nothing_else() -> None:
    async with bench() as it:
        names = it.vendor.fill(950, it.vendor.now - HOUR, SECOND)
        it.vendor.says.extend([None, None, error(400, "stale anchor", 400001)])
        reading = await it.read()

    assert reading.expired == 1
    assert set(reading.names) == set(names)
    assert parse_rfc3339(it.vendor.data[3]["persistenceTimestampStart"] or "") > it.vendor.now - HOUR


@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("body", [b"", b"<html>gone</html>", b'{"code":404000}'])
async def test_an_anchor_refused_in_any_other_way_costs_no_more(status: int, body: bytes) -> None:
    async with bench() as it:
        names = it.vendor.fill(450, it.vendor.now - HOUR, SECOND)
        it.vendor.says.extend([None, None, Say(status, body)])
        reading = await it.read()

    assert reading.expired == 1
    assert set(reading.names) == set(names)


async def test_a_late_record_is_found_by_the_sweep() -> None:
    async with bench() as it:
        tip = await it.read()
        assert tip.checkpoint is not None
        await it.clock.advance(300)
        it.vendor.put(it.vendor.now - 9 * MINUTE, "late")
        started = parse_rfc3339(tip.checkpoint.state["started"])
        window = Window(parse_rfc3339(tip.checkpoint.state["beginning"]))

        tip = await it.read(tip.checkpoint)
        sweep = await it.read(Checkpoint(started), Lane.SWEEP, window)

    assert tip.names == []
    assert sweep.names == ["late"]


async def test_a_job_reads_its_window_start_inclusive_end_exclusive() -> None:
    async with bench() as it:
        start, end = it.vendor.now - 90 * DAY, it.vendor.now - 50 * DAY
        for moment, name in [(start - MILLISECOND, "a"), (start, "b"), (end - MILLISECOND, "c"), (end, "d")]:
            it.vendor.put(moment, name)
        reading = await it.read(None, Lane.JOB, Window(start, end))
        again = await it.read(reading.checkpoint, Lane.JOB, Window(start, end))

    assert reading.names == ["b", "c"]
    assert again.names == []
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark == end


# -- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(0), -11 * MINUTE, 11 * MINUTE, -365 * DAY, 365 * DAY])
async def test_vendor_time_decides_whatever_the_hosts_clock_says(ahead: timedelta) -> None:
    async with bench() as it:
        it.vendor.ahead = ahead
        old, new = it.vendor.now - HOUR, it.vendor.now + 30 * SECOND
        it.vendor.put(old, "old")
        reading = await it.read()
        it.vendor.put(new, "new")
        await it.clock.advance(60)
        later = await it.read(reading.checkpoint)

    assert reading.names == ["old"]
    assert "new" in later.names
    page = reading.pages[0]
    assert page.vendor_time == it.vendor.now.replace(microsecond=0) - MINUTE
    assert abs(page.clock_skew + ahead.total_seconds()) <= 1
    # Events carry the time of whoever is right about it.
    assert abs(page.fetched_at - (it.vendor.now - MINUTE)) <= SECOND
    if ahead:
        assert reading.checkpoint is not None
        assert reading.checkpoint.watermark == old


async def test_a_host_clock_that_jumps_back_and_forth_moves_no_position() -> None:
    async with bench() as it:
        reading = await it.read()
        seen: list[str] = []
        for number, jump in enumerate([DAY, -2 * DAY, 400 * DAY, -399 * DAY]):
            it.clock.jump(jump)
            it.vendor.ahead -= jump
            it.vendor.put(it.vendor.now + SECOND, f"e{number}")
            await it.clock.advance(60)
            reading = await it.read(reading.checkpoint)
            seen += reading.names

    assert set(seen) == {"e0", "e1", "e2", "e3"}


async def test_one_wrong_date_leads_past_nothing() -> None:
    async with bench() as it:
        names = it.vendor.fill(3000, it.vendor.now - HOUR, SECOND)
        wrong = iter(range(1000))
        usual = it.vendor._respond

        def now_and_then(said: Say) -> object:
            offset = {3: 365 * DAY, 7: -365 * DAY, 11: 2 * HOUR, 12: -2 * HOUR}.get(next(wrong) % 13, timedelta(0))
            it.vendor.ahead, kept = it.vendor.ahead + offset, it.vendor.ahead
            try:
                return usual(said)
            finally:
                it.vendor.ahead = kept

        it.vendor._respond = now_and_then  # type: ignore[method-assign,assignment]
        reading = await it.read()
        seen = set(reading.names)
        for _ in range(20):
            await it.clock.advance(60)
            reading = await it.read(reading.checkpoint)
            seen |= set(reading.names)

    assert seen == set(names)


async def test_a_login_whose_clock_is_ahead_does_not_cut_off_the_beginning() -> None:
    async with bench() as it:
        it.vendor.put(it.vendor.now - HOUR, "first")
        it.vendor.ahead = 365 * DAY
        it.vendor.login_gate.clear()
        usual = it.vendor._login

        async def log_in() -> Say:
            it.vendor.login_gate.set()
            return await usual()

        def right_again() -> Say:
            it.vendor.ahead = timedelta(0)
            return it.vendor._page(it.vendor.asked[-1])

        it.vendor._login = log_in  # type: ignore[method-assign]
        it.vendor.says.append(right_again)
        reading = await it.read()

    assert reading.names == ["first"]
    assert reading.checkpoint is not None
    assert parse_rfc3339(reading.checkpoint.state["started"]) <= it.vendor.now


async def test_a_vendor_that_tells_no_time_is_read_by_the_hosts_clock_with_doubt() -> None:
    async with bench() as it:
        it.vendor.tells_time = False
        it.vendor.put(it.vendor.now - HOUR, "old")
        reading = await it.read()
        await it.clock.advance(60)
        await it.read(reading.checkpoint)

    assert it.vendor.logins == 1
    assert reading.pages[0].vendor_time is None
    assert reading.checkpoint is not None
    assert reading.checkpoint.watermark == it.vendor.now - MINUTE - HOUR


async def test_a_position_ahead_of_vendor_time_waits_and_asks_for_the_time_anew() -> None:
    async with bench() as it:
        reading = await it.read()
        assert reading.checkpoint is not None
        ahead = replace(reading.checkpoint, watermark=it.vendor.now + HOUR)

        page = await it.fetch(ahead)
        assert (page.records, page.more, page.checkpoint) == ((), False, ahead)
        assert it.vendor.logins == 1

        it.vendor.ahead = 2 * HOUR
        page = await it.fetch(ahead)

    assert it.vendor.logins == 2
    assert page.checkpoint.watermark is not None
    assert len(it.vendor.data) == 2


# -- large and broken answers ----------------------------------------------------------------------


async def test_an_answer_over_the_cap_is_asked_for_again_with_half_the_limit() -> None:
    async with bench(max_bytes=100_000) as it:
        names = it.vendor.fill(300, it.vendor.now - HOUR, SECOND)
        for number in range(90):
            name = f"large{number:02}"
            names.append(name)
            it.vendor.put(it.vendor.now - 30 * MINUTE + number * SECOND, name, x="y" * 4000)
        reading = await it.read()

    limits = [int(asked["limit"] or 0) for asked in it.vendor.data]
    assert set(reading.names) == set(names)
    assert min(limits) < 25
    assert not any(page.retry_after for page in reading.pages)
    assert reading.gaps == []


async def test_a_ten_megabyte_event_arrives_whole() -> None:
    async with bench() as it:
        it.vendor.put(it.vendor.now - HOUR, "large", x="y" * 10_000_000)
        reading = await it.read()

    assert len(reading.records[0].raw) > 10_000_000


async def test_errors_of_the_vendor_move_nothing() -> None:
    async with bench() as it:
        it.vendor.fill(300, it.vendor.now - HOUR, SECOND)
        page = await it.fetch()
        for said, kind in [(error(503), SourceUnavailable), (error(403), SourceDenied), (Say(), SourceUnavailable)]:
            it.vendor.says.append(said)
            with pytest.raises(kind):
                await it.fetch(page.checkpoint)

        rest = await it.read(page.checkpoint)

    assert len(rest.records) == 100


async def test_pages_name_their_transaction() -> None:
    async with bench() as it:
        assert (await it.fetch()).request_id == "0000-abc"


async def test_a_stored_run_of_another_version_is_begun_anew() -> None:
    async with bench() as it:
        names = it.vendor.fill(3, it.vendor.now - HOUR, SECOND)
        page = await it.fetch()
        odd = replace(page.checkpoint, watermark=it.vendor.now - 2 * HOUR, run={"from": "the future"})
        reading = await it.read(odd)

    assert reading.names == names
