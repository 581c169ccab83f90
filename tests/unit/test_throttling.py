from __future__ import annotations

import pytest

from collector.throttling import Throttling


@pytest.fixture
def throttling() -> Throttling:
    return Throttling(60.0)


@pytest.mark.parametrize(("wait", "shared"), [(5.0, 5.0), (60.0, 60.0), (3600.0, 60.0)])
def test_the_first_refusal_holds_up_all_but_not_longer_than_a_window(
    throttling: Throttling, wait: float, shared: float
) -> None:
    throttling.answered("beta", 9.0)

    assert throttling.refused("acme", wait, 10.0) == shared


def test_account_that_is_refused_again_while_others_are_answered_stops_nobody(throttling: Throttling) -> None:
    throttling.refused("acme", 3600.0, 10.0)
    throttling.answered("beta", 80.0)

    assert throttling.refused("acme", 3600.0, 90.0) == 0.0
    assert throttling.refused("acme", 3600.0, 91.0) == 60.0  # nobody was answered in between
    assert throttling.refused("beta", 5.0, 92.0) == 5.0


def test_refusals_of_everybody_hold_up_everybody(throttling: Throttling) -> None:
    waits = [throttling.refused(account, 30.0, now) for now, account in enumerate(["acme", "beta", "acme", "beta"])]

    assert waits == [30.0] * 4


def test_account_that_was_answered_itself_begins_anew(throttling: Throttling) -> None:
    throttling.refused("acme", 30.0, 10.0)
    throttling.answered("beta", 50.0)
    throttling.answered("acme", 60.0)

    assert throttling.refused("acme", 30.0, 70.0) == 30.0


def test_answers_to_the_refused_account_do_not_hide_those_to_others(throttling: Throttling) -> None:
    throttling.refused("acme", 30.0, 10.0)
    throttling.answered("beta", 20.0)
    for now in (30.0, 31.0):
        throttling.answered("gamma", now)

    assert throttling.refused("acme", 30.0, 70.0) == 0.0
