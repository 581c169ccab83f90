"""This host's clock is wrong, or jumps, while events arrive."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.simulator import Drip
from collector.simulator.eset import DetectionDrip
from tests.e2e import eset
from tests.e2e.harness import QUICK, Setup, arrived, daemon, simulator

_MINUTE, _HOUR, _YEAR = 60, 3600, 365 * 86400


@pytest.mark.parametrize(
    ("offsets", "seconds"),
    [
        pytest.param((11 * _MINUTE,), 4.0, id="eleven minutes fast throughout"),
        pytest.param((0, -_HOUR, 0), 2.0, id="an hour back, and right again"),
        pytest.param((0, _YEAR, 0), 2.0, id="a year ahead for a moment"),
        pytest.param((0, _YEAR, 0), 60.0, id="a year ahead for a minute", marks=pytest.mark.slow),
        pytest.param((-_YEAR, 0), 2.0, id="a year behind at the start"),
    ],
)
@pytest.mark.timeout(300)
async def test_wrong_clock_loses_and_doubles_nothing(tmp_path: Path, offsets: tuple[int, ...], seconds: float) -> None:
    vendor = simulator(2)
    now = datetime.now(UTC)
    vendor.cloud.fill(1500, now - timedelta(hours=20), now, mix=QUICK)
    live = int(10 * seconds * len(offsets))
    vendor.cloud.drip(Drip(10.0, limit=live, again=0.1, again_seconds=(0.5, 3.0), mix=QUICK))
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url, 2)) as running:
        await running.start(seconds_ahead=offsets[0])
        for offset in offsets:
            running.shift_clock(offset)
            await asyncio.sleep(seconds)
        verdict = await arrived(vendor, running)
        await running.stop()
        # Nothing was forgotten meanwhile either: reading the same windows again brings nothing new.
        await running.start(seconds_ahead=offsets[-1])
        await running.until(lambda status: all(feed["duplicates"] for feed in status["feeds"]))
        again = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert again.good, again
    assert not vendor.violations


async def test_first_start_with_a_clock_a_year_ahead_reads_from_vendor_time(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(hours=20), now, mix=QUICK)
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await running.start(seconds_ahead=_YEAR)
        status = await running.until(lambda status: status["feeds"][0]["events"] >= 300)
        running.shift_clock(0)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert any("clock" in warning for warning in status["warnings"])


@pytest.mark.parametrize("delta", [200, 501], ids=["delta", "lists"])
@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param((0, -_HOUR, 0), id="an hour back, and right again"),
        pytest.param((-_YEAR, _YEAR, 0), id="a year behind, a year ahead"),
    ],
)
async def test_wrong_clock_loses_and_doubles_no_detection_of_eset(
    tmp_path: Path, offsets: tuple[int, ...], delta: int
) -> None:
    vendor = eset.eset_simulator(2)
    vendor.offer(v1_delta=delta)
    now = datetime.now(UTC)
    vendor.cloud.fill(800, now - timedelta(hours=20), now, mix=eset.QUICK)
    vendor.cloud.drip(DetectionDrip(10.0, limit=20 * len(offsets), mix=eset.QUICK))
    async with vendor.serve() as base_url, daemon(eset.detections_setup(tmp_path, base_url, 2)) as running:
        await running.start(seconds_ahead=offsets[0])
        for offset in offsets:
            running.shift_clock(offset)
            vendor.cloud.straggle(10, timedelta(days=3))
            await asyncio.sleep(2.0)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations
