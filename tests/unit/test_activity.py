from __future__ import annotations

import pytest

from collector.activity import Activity


def test_a_feed_nobody_has_read_is_worth_a_little() -> None:
    assert 0 < Activity(600.0).rate < 1 / 600


def test_the_estimate_comes_to_what_is_going_on() -> None:
    activity = Activity(600.0)
    for _ in range(200):
        activity.note(6, 60.0)

    assert activity.rate == pytest.approx(0.1, rel=0.15)


def test_a_feed_that_fell_silent_is_believed_silent_after_a_while_but_never_dead() -> None:
    activity = Activity(600.0)
    for _ in range(200):
        activity.note(6, 60.0)
    rates = []
    for _ in range(600):
        activity.note(0, 60.0)
        rates.append(activity.rate)

    assert rates == sorted(rates, reverse=True)
    assert rates[60] < 0.04
    assert 0 < rates[-1] < 0.001


def test_a_day_that_is_caught_up_with_counts_by_its_hours_and_is_soon_outweighed() -> None:
    activity = Activity(600.0)
    activity.note(8640, 86400.0)
    assert activity.rate == pytest.approx(0.1, rel=0.2)
    for _ in range(60):
        activity.note(60, 60.0)

    assert activity.rate > 0.5
