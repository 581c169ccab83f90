"""SIGKILL at random moments under load."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.simulator import BAD_DAY, Drip
from tests.e2e.harness import QUICK, Setup, arrived, daemon, simulator


async def _kill_often(tmp_path: Path, kills: int, tenants: int, events: int) -> None:
    rng = random.Random(kills)
    vendor = simulator(tenants)
    now = datetime.now(UTC)
    vendor.cloud.fill(events, now - timedelta(hours=12), now, mix=QUICK)
    vendor.faults.switch_on_all(BAD_DAY)
    sink = {"path": str(tmp_path / "events") + "/{tenant}/{hour}.ndjson", "rotate": {"max_size": "1MiB"}}
    live = events // 2
    vendor.cloud.drip(Drip(rate=live / (kills * 0.8), limit=live, again=0.1, again_seconds=(0.5, 5.0), mix=QUICK))
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, tenants, sink=sink)
        async with daemon(setup) as running:
            for _ in range(kills):
                await running.start()
                await asyncio.sleep(rng.uniform(0.4, 1.6))
                await running.kill()
            await running.start()
            verdict = await arrived(vendor, running, seconds=120)
            status = await running.stop()

    assert verdict.good, verdict
    assert status == 0
    assert not vendor.violations


async def test_a_few_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    await _kill_often(tmp_path, kills=5, tenants=5, events=4000)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_fifty_kills_with_fifty_tenants_lose_and_double_nothing(tmp_path: Path) -> None:
    await _kill_often(tmp_path, kills=50, tenants=50, events=20_000)
