"""SIGKILL at each named point of the daemon, then a restart: nothing missing, nothing double, no torn line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.faults import POINTS
from collector.simulator import Fault
from collector.simulator.eset import EsetSimulator
from tests.e2e import eset, incidents
from tests.e2e.eset import detections_setup, eset_simulator
from tests.e2e.harness import QUICK, Setup, arrived, daemon, simulator

_EVENTS = 3000
# Points that are passed once per page or batch are killed at a later passing, when there is something to lose.
_AT = dict.fromkeys(POINTS, 1) | {"fetch.after": 5, "commit.before": 5, "commit.after": 5, "settle.after": 2}
_SMALL_STATE = {"state": {"max_size": "1MiB"}}


@pytest.mark.parametrize("point", sorted(POINTS))
async def test_kill_at_the_point_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    vendor = simulator(3)
    now = datetime.now(UTC)
    vendor.cloud.fill(_EVENTS, now - timedelta(hours=6), now, mix=QUICK)
    vendor.cloud.tie(300, now - timedelta(hours=3))
    if point.startswith("position"):
        vendor.faults.switch_on("stale_anchor", Fault(count=3))
    sink: dict[str, object] = {"path": str(tmp_path / "events") + "/{tenant}/{hour}.ndjson"}
    if point.startswith("rotate"):
        sink["rotate"] = {"max_size": "64KiB", "compress": "gzip"}
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, 3, sink=sink, top=_SMALL_STATE if point.startswith("prune") else {})
        async with daemon(setup) as running:
            await running.start(fault=f"{point}:{_AT[point]}")
            killed = await running.ended()
            await running.start()
            verdict = await arrived(vendor, running)
            status = await running.stop()

    assert killed == -9, running.tail()
    assert verdict.good, verdict
    assert status == 0
    assert not vendor.violations


# -- the lanes of every feed: killed again and again, each time a little later -----------------------

_PASSINGS = (1, 2, 3, 5, 8)
_LANE_POINTS = (
    pytest.param("fetch.after", marks=pytest.mark.slow),
    "commit.before",
    pytest.param("commit.after", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("delta", [200, 501], ids=["delta", "lists"])
@pytest.mark.parametrize("point", _LANE_POINTS)
async def test_kills_on_the_way_through_eset_detections_lose_and_double_nothing(
    tmp_path: Path, point: str, delta: int
) -> None:
    vendor = eset_simulator()
    vendor.offer(v1_delta=delta)
    now = datetime.now(UTC)
    vendor.cloud.fill(3500, now - timedelta(hours=20), now, mix=eset.QUICK)
    vendor.faults.switch_on("pending", Fault(probability=0.2, seconds=0.2))
    async with vendor.serve() as base_url, daemon(detections_setup(tmp_path, base_url)) as running:
        for passing in _PASSINGS:
            await running.start(fault=f"{point}:{passing}")
            assert await running.ended() == -9, running.tail()
            vendor.deltas.kill()
            vendor.cloud.straggle(20, timedelta(hours=8 * passing))
        await running.start()
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not eset.broken_rules(vendor)


@pytest.mark.parametrize("vendor_name", ["withsecure", "eset"])
@pytest.mark.parametrize("point", _LANE_POINTS)
async def test_kills_on_the_way_through_incidents_lose_and_double_nothing(
    tmp_path: Path, point: str, vendor_name: str
) -> None:
    now = datetime.now(UTC)
    vendor: incidents.Vendor = simulator() if vendor_name == "withsecure" else eset_simulator()
    vendor.faults.switch_on("slow", Fault(probability=0.1, seconds=0.1))

    def happen(count: int, ago: timedelta) -> None:
        begin = now - ago
        if isinstance(vendor, EsetSimulator):
            vendor.incidents.fill(count, begin, begin + timedelta(minutes=30))
        else:
            vendor.cloud.incidents.open(count, begin, begin + timedelta(minutes=30))

    happen(60, timedelta(hours=20))
    async with incidents.waiting(tmp_path, vendor) as running:
        for passing in _PASSINGS:
            await running.start(fault=f"{point}:{passing}")
            assert await running.ended() == -9, running.tail()
            happen(20, timedelta(minutes=40))
        await running.start()
        verdict = await incidents.complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations
