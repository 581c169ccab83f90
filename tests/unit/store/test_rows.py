"""Moments are kept to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from collector.store.rows import EPOCH, Position, from_micros, to_day, to_micros


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back_exactly(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_day_holds_its_moments(moment: datetime) -> None:
    assert timedelta(0) <= moment - (EPOCH + timedelta(days=to_day(moment))) < timedelta(days=1)


def test_positions_are_ordered_by_page_then_by_event() -> None:
    assert Position(1, 199) < Position(2) < Position(2, 1)
