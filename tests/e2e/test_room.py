"""The volume fills up, the log reaches its limit, a receiver is down for long."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.simulator import Drip
from tests.e2e.harness import QUICK, Setup, arrived, daemon, simulator


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB."""
    path = tmp_path / "volume"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


async def test_full_volume_stops_polling_and_goes_on_when_there_is_room(tmp_path: Path, small_volume: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(1000, now - timedelta(hours=5), now, mix=QUICK)
    ballast = small_volume / "ballast"
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url, state=small_volume)) as running:
        await running.start()
        await arrived(vendor, running)
        _fill(ballast)
        paused = await running.until(lambda status: status["state"]["polling"].startswith("paused: disk full"))
        vendor.cloud.drip(Drip(100.0, limit=300, mix=QUICK))
        await asyncio.sleep(4.0)
        meanwhile = await running.status()
        ballast.unlink()
        verdict = await arrived(vendor, running)
        after = await running.until(lambda status: status["state"]["polling"] == "running")
        exit_status = await running.stop()

    assert verdict.good, verdict
    assert paused["state"]["free_bytes"] < 2 << 20
    assert meanwhile is not None
    assert meanwhile["state"]["polling"].startswith("paused")
    assert after["state"]["polling"] == "running"
    assert exit_status == 0


async def test_log_that_fills_the_volume_itself_loses_nothing(tmp_path: Path, small_volume: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(20_000, now - timedelta(hours=20), now, mix=QUICK)
    (small_volume / "ballast").write_bytes(bytes(15 << 20))
    blocked = tmp_path / "events"
    blocked.write_text("a file where the sink wants a folder")
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url, state=small_volume)) as running:
        await running.start()
        await running.until(lambda status: status["state"]["polling"].startswith("paused: disk full"), seconds=90)
        blocked.unlink()
        verdict = await arrived(vendor, running, seconds=120)
        await running.stop()

    assert verdict.good, verdict


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 65536)


def _paused(status: dict[str, Any]) -> bool:
    polling: str = status["state"]["polling"]
    return polling != "running" or any(feed["state"] == "paused" for feed in status["feeds"])


# The first size is for every run, the second the one that is promised.
_SIZES = [
    pytest.param(4, 12_000, id="4MiB"),
    pytest.param(20, 120_000, id="20MiB", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
]


@pytest.mark.parametrize(("mebibytes", "events"), _SIZES)
async def test_delivered_data_alone_never_pauses_polling(tmp_path: Path, mebibytes: int, events: int) -> None:
    vendor = simulator(4)
    now = datetime.now(UTC)
    vendor.cloud.fill(events, now - timedelta(hours=20), now - timedelta(minutes=1), mix=QUICK)
    pauses = []
    largest = 0
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, 4, top={"state": {"max_size": f"{mebibytes}MiB", "keep_delivered": "7d"}})
        async with daemon(setup) as running:
            await running.start()
            while (status := await running.status()) is None or sum(f["events"] for f in status["feeds"]) < events - 10:
                if status is not None:
                    pauses += [status] if _paused(status) else []
                    largest = max(largest, status["state"]["bytes"])
                await asyncio.sleep(0.2)
            verdict = await arrived(vendor, running)
            await running.stop()

    assert verdict.good, verdict
    assert not pauses
    assert largest <= mebibytes << 20
    assert sum(len(entry["raw"]) for entry in vendor.ledger(hashes=False).values()) > 2 * mebibytes << 20


@pytest.mark.parametrize(("mebibytes", "events"), _SIZES)
async def test_backlog_pauses_its_feeds_says_so_and_is_delivered_later(
    tmp_path: Path, mebibytes: int, events: int
) -> None:
    vendor = simulator(2)
    now = datetime.now(UTC)
    vendor.cloud.fill(events, now - timedelta(hours=20), now, mix=QUICK)
    blocked = tmp_path / "events"
    blocked.write_text("a file where the sink wants a folder")
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, 2, top={"state": {"max_size": f"{mebibytes}MiB"}})
        async with daemon(setup) as running:
            await running.start()
            status = await running.until(_all_paused, seconds=120)
            blocked.unlink()
            verdict = await arrived(vendor, running, seconds=300)
            await running.stop()

    assert verdict.good, verdict
    assert "backlog of sink events" in status["feeds"][0]["last_error"]
    assert status["state"]["bytes"] <= mebibytes << 20


def _all_paused(status: dict[str, Any]) -> bool:
    return all(feed["state"] == "paused" for feed in status["feeds"])
