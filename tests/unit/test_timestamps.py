"""Timestamps are read as vendors write them and written in one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.timestamps import format_utc, from_epoch_millis, parse_rfc3339

NINE_FIFTEEN = datetime(2026, 3, 2, 9, 15, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-03-02T09:15:03Z", 0),
        ("2026-03-02T09:15:03z", 0),
        ("2026-03-02t09:15:03Z", 0),
        ("2026-03-02 09:15:03Z", 0),
        ("2026-03-02T09:15:03", 0),
        (" 2026-03-02T09:15:03Z\n", 0),
        ("2026-03-02T09:15:03.9Z", 900_000),
        ("2026-03-02T09:15:03.980Z", 980_000),
        ("2026-03-02T09:15:03,980Z", 980_000),
        ("2026-03-02T09:15:03.980123Z", 980_123),
        ("2026-03-02T09:15:03.980123999Z", 980_123),
        ("2026-03-02T09:15:03.98012399999999Z", 980_123),
        ("2026-03-02T11:15:03+02:00", 0),
        ("2026-03-02T11:15:03.5+0200", 500_000),
        ("2026-03-02T04:45:03-04:30", 0),
    ],
)
def test_every_form_of_a_timestamp_is_read(text: str, micros: int) -> None:
    assert parse_rfc3339(text) == NINE_FIFTEEN.replace(microsecond=micros)
    assert parse_rfc3339(text).tzinfo is UTC


def test_a_leap_second_is_the_last_moment_before_it() -> None:
    assert parse_rfc3339("2016-12-31T23:59:60.5Z") == datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "2026-03-02",
        "20260302T091503Z",
        "2026-13-02T09:15:03Z",
        "2026-02-30T09:15:03Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T09:15:61Z",
        "2026-03-02T09:15:03+99:00",
        "2026-03-02T09:15:03.Z",
        "0000-03-02T09:15:03Z",
        "0001-01-01T00:00:00+05:00",
        "2026-03-02T09:15:03Z; rm",
        "٢٠٢٦-03-02T09:15:03Z",
    ],
)
def test_what_is_no_timestamp_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_rfc3339(text)

    assert "rm" not in str(refused.value).split()


def test_epoch_milliseconds_are_exact() -> None:
    assert from_epoch_millis(1_772_442_903_980) == NINE_FIFTEEN.replace(microsecond=980_000)
    assert from_epoch_millis(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


@pytest.mark.parametrize("millis", [10**18, -(10**18), 10**40])
def test_an_epoch_beyond_the_calendar_is_refused(millis: int) -> None:
    with pytest.raises(ValueError, match="years"):
        from_epoch_millis(millis)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 3, 2, 11, 15, 3, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert format_utc(moment) == "2026-03-02T09:15:03.999Z"
    assert format_utc(NINE_FIFTEEN) == "2026-03-02T09:15:03.000Z"
    assert format_utc(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"


def test_a_naive_time_is_not_written() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_utc(datetime(2026, 3, 2))  # noqa: DTZ001 -- the case under test


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back(moment: datetime) -> None:
    assert parse_rfc3339(format_utc(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
