from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.simulator.vendor_time import VendorClock, parse_us, rfc3339
from tests.unit.simulator.reader import NOON, SetClock


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-03-02T12:00:00Z", 0),
        ("2026-03-02T12:00:00.5Z", 500_000),
        ("2026-03-02T12:00:00.123456Z", 123_456),
        ("2026-03-02T14:00:00.001+02:00", 1_000),
        ("2026-03-02T07:00:00-05:00", 0),
    ],
)
def test_times_with_offsets_and_up_to_six_digits_are_read(text: str, microseconds: int) -> None:
    assert parse_us(text) == int(NOON.timestamp()) * 1_000_000 + microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-02",
        "2026-03-02T12:00:00",
        "2026-03-02T12:00:00 02:00",
        "2026-03-02 12:00:00Z",
        "2026-03-02T12:00:00.Z",
        "2026-03-02T12:00:00.1234567Z",
        "2026-13-02T12:00:00Z",
        "1772442907412",
        "2026-03-02T12:00:00Z\n",
        "٢٠٢٦-03-02T12:00:00Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the message is the text or datetime's own
        parse_us(text)


def test_whole_seconds_may_go_without_a_fraction() -> None:
    ms = int(NOON.timestamp()) * 1000

    assert rfc3339(ms) == "2026-03-02T12:00:00.000Z"
    assert rfc3339(ms, fraction=False) == "2026-03-02T12:00:00Z"
    assert rfc3339(ms + 7, fraction=False) == "2026-03-02T12:00:00.007Z"


def test_vendor_clock_is_the_host_clock_plus_an_offset() -> None:
    clock = VendorClock(SetClock(datetime(2026, 3, 2, 12, tzinfo=UTC)), offset_seconds=-660)

    assert rfc3339(clock.now_ms()) == "2026-03-02T11:49:00.000Z"
    assert clock.http_date() == "Mon, 02 Mar 2026 11:49:00 GMT"
