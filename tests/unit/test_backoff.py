from __future__ import annotations

import pytest

from collector.backoff import Backoff


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)

    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_away_half_at_most() -> None:
    lowest, middle = Backoff(4.0, 100.0, draw=lambda: 0.0), Backoff(4.0, 100.0, draw=lambda: 0.5)

    assert [lowest.next(), lowest.next()] == [2, 4]
    assert [middle.next(), middle.next()] == [3, 6]


def test_default_jitter_differs_and_stays_in_bounds() -> None:
    delays = [Backoff(8.0, 8.0).next() for _ in range(200)]

    assert len(set(delays)) > 100
    assert all(4 <= delay <= 8 for delay in delays)


def test_reset_begins_at_the_base_again() -> None:
    backoff = Backoff(1.0, 60.0, draw=lambda: 1.0)
    for _ in range(5):
        backoff.next()

    backoff.reset()

    assert backoff.next() == 1


def test_a_year_of_failures_stays_at_the_cap() -> None:
    backoff = Backoff(0.1, 300.0, draw=lambda: 1.0)

    assert max(backoff.next() for _ in range(100_000)) == 300


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_nonsense_is_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="0 < base <= cap"):
        Backoff(base, cap)
