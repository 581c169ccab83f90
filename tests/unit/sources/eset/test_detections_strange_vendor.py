"""Vendors that are stricter, or stranger, than the documents say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.errors import SourceUnavailable
from collector.timestamps import parse_rfc3339
from tests.unit.sources.eset.detections_vendor import DAY, HOUR, MINUTE, Asked, Bench


async def test_a_window_of_the_future_that_was_refused_is_asked_for_again() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    bench.vendor.put("far", bench.vendor.now + 1500 * DAY)
    bench.vendor.refuses_future = True
    refused = await bench.read()
    bench.vendor.refuses_future = False

    await bench.clock.advance(60.0)
    reading = await bench.read(refused.checkpoint)

    assert refused.names == []
    assert reading.names == ["far"]
    assert reading.checkpoint is not None
    assert "future_off" not in reading.checkpoint.state["v1"]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, None], ids=["ahead", "behind", "untold"])
async def test_what_is_not_offered_is_not_asked_for_at_every_poll_by_a_wrong_clock(ahead: timedelta | None) -> None:
    bench = Bench()
    bench.vendor.ahead, bench.vendor.tells_time = ahead or timedelta(0), ahead is not None
    tip = (await bench.read()).checkpoint
    bench.vendor.asked.clear()

    for _ in range(60):
        await bench.clock.advance(60.0)
        tip = (await bench.read(tip)).checkpoint

    assert len([asked for asked in bench.vendor.asked if asked.path.startswith("/v2/")]) <= 10
    assert len(bench.vendor.asked) <= 70


async def test_a_server_that_fails_at_windows_of_the_future_is_read_all_the_same() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    names = bench.vendor.fill(10, bench.vendor.now - HOUR, MINUTE)

    def fails(asked: Asked) -> Exception | None:
        if asked.path != "/v1/detections" or parse_rfc3339(asked["endTime"] or "") < bench.vendor.now + DAY:
            return None
        return SourceUnavailable(f"{asked.path}: status 500")

    bench.vendor.always = fails
    first = await bench.read()
    second = await bench.read(first.checkpoint)

    assert set(first.names) == set(names)
    assert len(first.failures) < 7
    assert second.failures == []


async def test_a_dead_delta_token_that_makes_the_server_fail_is_given_up_within_minutes() -> None:
    bench = Bench(start_from="30d")
    tip = (await bench.read()).checkpoint
    bench.vendor.always = lambda asked: (
        SourceUnavailable(f"{asked.path}: status 500") if (asked["deltaToken"] or "").startswith("0:") else None
    )
    bench.vendor.epoch = 1
    late = bench.vendor.put("late", bench.vendor.now - 5 * DAY)

    reading = await bench.read(tip)

    assert late in reading.names
    assert len(reading.failures) < 8


async def test_what_lies_ahead_is_not_read_alone_before_a_long_window_is_halved() -> None:
    bench = Bench()
    names = bench.vendor.fill(170, bench.vendor.now - 23 * HOUR, 8 * MINUTE)
    bench.vendor.cap = 3

    reading = await bench.read()

    assert set(reading.names) == set(names)
    ends = [asked["endTime"] for asked in bench.vendor.asked if asked.path == "/v1/detections"]
    assert parse_rfc3339(ends[51] or "") < bench.vendor.now - 11 * HOUR
    assert len(ends) < 120


async def test_a_delta_token_on_a_page_ahead_of_the_last_is_not_followed() -> None:
    bench = Bench()
    tip = (await bench.read()).checkpoint
    bench.vendor.delta_cap = 2
    names = bench.vendor.fill(6, bench.vendor.now - HOUR, MINUTE)
    first = bench.vendor.visible()[:2]
    bench.vendor.says = [
        b'{"createdDetections":[%s],"nextPageToken":"2-6","nextDeltaToken":"0:d6"}'
        % b",".join(shown.raw for shown in first)
    ]

    assert (await bench.read(tip)).names == names


async def test_an_unreadable_record_is_found_after_an_outage_that_came_in_mid_search() -> None:
    bench = Bench()
    bench.vendor.delta_offered["v1"] = False
    # Where a search ends that finds nothing readable: at the begin of the window.
    names = bench.vendor.fill(20, bench.vendor.now.replace(microsecond=0) - DAY, MINUTE)
    bench.vendor.unreadable = {names[0]}
    until = bench.vendor.now + HOUR
    bench.vendor.always = lambda asked: (
        b'{"detections":[' if asked.path == "/v1/detections" and bench.vendor.now < until else None
    )

    reading = await bench.read()

    assert set(names) - set(reading.names) == {names[0]}
    assert len(reading.gaps) == 1
