"""SIGKILL at each named point of the daemon, then a restart: nothing missing, nothing double, no torn line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.faults import POINTS
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
