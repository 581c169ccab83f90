from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from collector.sources.vendor_time import VendorClock
from collector.testing import FakeClock

HOST = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_before_any_answer_it_is_the_hosts_clock_and_in_doubt() -> None:
    time = VendorClock(FakeClock(HOST)).read()

    assert (time.now, time.known, time.skewed, time.skew) == (HOST, False, True, 0.0)


async def test_between_answers_it_goes_on_and_does_not_follow_the_hosts_clock() -> None:
    clock = FakeClock(HOST)
    vendor = VendorClock(clock)
    vendor.note(HOST + timedelta(seconds=5))

    await clock.advance(90)
    clock.jump(timedelta(days=-365))

    assert vendor.read().now == HOST + timedelta(seconds=95)


@pytest.mark.parametrize(("ahead", "skewed"), [(0, False), (30, False), (31, True), (-30, False), (-31, True)])
def test_clocks_half_a_minute_apart_are_in_doubt(ahead: int, *, skewed: bool) -> None:
    vendor = VendorClock(FakeClock(HOST))

    vendor.note(HOST - timedelta(seconds=ahead))

    assert vendor.read().skew == ahead
    assert vendor.read().skewed is skewed


def test_an_answer_without_or_with_an_impossible_date_changes_nothing() -> None:
    vendor = VendorClock(FakeClock(HOST))
    vendor.note(HOST)

    vendor.note(None)
    vendor.note(datetime(9999, 12, 31, tzinfo=UTC))
    vendor.note(datetime(1, 1, 1, tzinfo=UTC))

    assert vendor.read().now == HOST


def test_forgotten_it_is_unknown_again() -> None:
    vendor = VendorClock(FakeClock(HOST))
    vendor.note(HOST)

    vendor.forget()

    assert not vendor.known
