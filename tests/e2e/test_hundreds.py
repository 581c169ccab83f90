"""Hundreds of tenants of both vendors in one daemon: those that are sick are their own business."""

from __future__ import annotations

import logging
from pathlib import Path
from statistics import median

import pytest

from tests.e2e.hundreds import Outcome, Town, lived, p99

log = logging.getLogger(__name__)

# As the vendors document them; of ESET's ten a second half is used.
_WITHSECURE, _ESET = (300, 60.0), (5, 1.0)
_SIZE = 250
_MIB = 250.0


def _is_whole(outcome: Outcome, town: Town) -> None:
    """Everything of the healthy ones is there, once, and nobody's limit was exceeded."""
    assert outcome.verdict.good, str(outcome.verdict)[:5000]
    assert not outcome.rules_broken
    assert outcome.most_in_window[0] <= town.withsecure[0]
    assert outcome.most_in_window[1] <= 2 * town.eset[0]


async def test_twenty_tenants_of_both_vendors_of_which_three_are_sick(tmp_path: Path) -> None:
    town = Town(20, 1, (300, 15.0), _ESET, seconds=12.0, rate=10.0, source={"poll_interval": "2s"})

    outcome = await lived(town, tmp_path, patience=45.0)

    _is_whole(outcome, town)
    assert len(outcome.withsecure) > 50
    assert len(outcome.eset) > 50


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_thousand_feeds_at_the_documented_limits_within_ten_minutes(tmp_path: Path) -> None:
    town = Town(_SIZE, 10, _WITHSECURE, _ESET, seconds=300.0, rate=5.0)

    outcome = await lived(town, tmp_path, patience=600.0)

    log.info("%s", outcome)
    _is_whole(outcome, town)
    assert outcome.took <= 600.0
    assert outcome.resident <= _MIB


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_sick_tenants_make_the_healthy_ones_no_later(tmp_path: Path) -> None:
    """Three pairs of runs; limits are wide enough for poll_interval, as a budget too small is shared by all."""
    ratios, behind = [], []
    for number in range(3):
        pair = []
        for sick in (10, 0):
            town = Town(
                _SIZE - 30 * (not sick),
                sick,
                (1500, 15.0),
                _ESET,
                seconds=90.0,
                rate=20.0,
                source={"poll_interval": "15s"},
            )
            outcome = await lived(town, tmp_path / f"{number}-{sick}", patience=150.0)
            _is_whole(outcome, town)
            log.info("%s sick: %s", sick, outcome)
            pair.append(outcome.withsecure + outcome.eset)
        with_sick, without = pair
        ratios.append(median(with_sick) / median(without))
        behind.append(p99(with_sick) - p99(without))

    log.info("medians %s times, p99 %s s behind", ratios, behind)
    assert median(ratios) <= 1.3, (ratios, behind)
    assert median(behind) <= 1.0, (ratios, behind)
