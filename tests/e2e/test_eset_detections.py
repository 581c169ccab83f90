"""Detections of ESET Connect through the real daemon: late ones, dying tokens, a vendor on its bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from collector.simulator import Fault
from collector.simulator.eset import BAD_DAY, DetectionDrip, EsetSimulator
from tests.e2e.eset import PUNCTUAL, QUICK, api_user, broken_rules, detections_setup, eset_simulator
from tests.e2e.harness import Daemon, arrived, daemon, judged

Mode = Literal["delta", "delta refused", "delta on and off"]

_HOUR = timedelta(hours=1)
_LATE = {
    "30 s": timedelta(seconds=30),
    "8 h": timedelta(hours=8),
    "5 d": timedelta(days=5),
    "13 d": timedelta(days=13),
}
# Lists have no order and no finer filter than time: a gap is a millisecond of occurTime, with whatever else is in it.
_NO_TIES = replace(PUNCTUAL, ties=0.0, whole_second=0.0)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def started(tmp_path: Path, vendor: EsetSimulator, tenants: int = 1, **more: Any) -> AsyncIterator[Daemon]:
    """The daemon on this vendor, running."""
    async with vendor.serve() as base_url, daemon(detections_setup(tmp_path, base_url, tenants, **more)) as running:
        await running.start()
        yield running


# -- completeness ----------------------------------------------------------------------------------


async def _let_stragglers_come(vendor: EsetSimulator, mode: Mode, pause: float) -> None:
    """Detections become visible long after their stamp; in delta mode every other group while the token is dead."""
    for number, late in enumerate([*_LATE.values()] * 2):
        if mode == "delta" and number % 2:
            vendor.deltas.kill()
        if mode == "delta on and off":
            vendor.offer(v1_delta=501 if number % 2 else 200)
        vendor.cloud.straggle(10, late)
        await asyncio.sleep(pause)
    if mode == "delta on and off":
        vendor.offer(v1_delta=200)


async def _everything_arrives(tmp_path: Path, mode: Mode, events: int, pause: float, seconds: float) -> None:
    vendor = eset_simulator(2)
    if mode == "delta refused":
        vendor.offer(v1_delta=501)
    vendor.cloud.fill(events, now() - 20 * _HOUR, now(), mix=QUICK)
    vendor.faults.switch_on_all(BAD_DAY)
    vendor.cloud.drip(DetectionDrip(25.0, limit=200, mix=QUICK))
    async with started(tmp_path, vendor, 2) as running:
        await _let_stragglers_come(vendor, mode, pause)
        await running.kill()
        vendor.cloud.straggle(10, _LATE["5 d"])
        await running.start()
        await _let_stragglers_come(vendor, mode, pause)
        verdict = await arrived(vendor, running, seconds=seconds)
        await running.stop()

    assert verdict.good, verdict
    assert not broken_rules(vendor)
    assert vendor.faults_served


MODES: tuple[Mode, ...] = ("delta", "delta refused", "delta on and off")


@pytest.mark.parametrize("mode", MODES)
async def test_late_detections_on_a_bad_day_arrive_once(tmp_path: Path, mode: Mode) -> None:
    await _everything_arrives(tmp_path, mode, events=2000, pause=0.4, seconds=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
async def test_backlog_of_20_000_and_late_detections_on_a_bad_day_arrive_once(tmp_path: Path, mode: Mode) -> None:
    await _everything_arrives(tmp_path, mode, events=20_000, pause=2.5, seconds=400)


async def test_both_versions_of_the_api_bring_each_detection_once(tmp_path: Path) -> None:
    vendor = eset_simulator()
    vendor.offer(v2=200, v2_delta=200)
    vendor.cloud.fill(500, now() - 20 * _HOUR, now(), mix=QUICK)
    async with started(tmp_path, vendor) as running:
        await arrived(vendor, running)
        for late in _LATE.values():
            vendor.cloud.straggle(10, late)
        verdict = await arrived(vendor, running)
        await running.until(lambda status: status["feeds"][0]["duplicates"] >= 500)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations


async def test_backlog_of_3_000_behind_10_requests_a_second_arrives_within_10_seconds(tmp_path: Path) -> None:
    vendor = eset_simulator(requests=10)
    vendor.gateway.set_limit(10, 1.0)
    source = {
        "rate_limit": {"requests": 10, "per": "1s"},
        "poll_interval": "1s",
        "sweep": {"every": "1h", "window": "14d"},
    }
    async with started(tmp_path, vendor, source=source) as running:
        await running.until(lambda status: status["feeds"][0]["state"] == "ok")
        vendor.cloud.fill(3000, now() - 20 * _HOUR, now(), mix=PUNCTUAL)
        verdict = await arrived(vendor, running, seconds=10)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations
    assert vendor.most_in_window <= 10


# -- trouble that passes by itself -----------------------------------------------------------------


# The sweep would find what the tip has lost; here it does not come in time.
_TIP_ALONE = {"sweep": {"every": "6h", "window": "14d"}}


@pytest.mark.parametrize("delta", [200, 501], ids=["token dead", "deltas over"])
async def test_delta_that_ended_while_nobody_looked_costs_nothing(tmp_path: Path, delta: int) -> None:
    vendor = eset_simulator()
    vendor.cloud.fill(300, now() - 20 * _HOUR, now(), mix=PUNCTUAL)
    async with started(tmp_path, vendor, source=_TIP_ALONE) as running:
        await arrived(vendor, running)
        await running.stop()
        vendor.deltas.kill()
        vendor.offer(v1_delta=delta)
        for late in _LATE.values():
            vendor.cloud.straggle(25, late)
        await running.start()
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations


async def test_detections_stamped_in_the_future_arrive_without_deltas(tmp_path: Path) -> None:
    vendor = eset_simulator()
    vendor.offer(v1_delta=501)
    ahead = replace(PUNCTUAL, future=1.0)
    vendor.cloud.fill(50, now(), now(), mix=ahead)
    async with started(tmp_path, vendor, source=_TIP_ALONE) as running:
        await arrived(vendor, running)
        vendor.cloud.fill(50, now(), now(), mix=ahead)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations


@pytest.mark.parametrize("delta", [200, 501], ids=["delta", "lists"])
async def test_stored_page_token_that_is_refused_costs_nothing(tmp_path: Path, delta: int) -> None:
    vendor = eset_simulator()
    vendor.offer(v1_delta=delta)
    vendor.cloud.fill(3500, now() - 20 * _HOUR, now(), mix=PUNCTUAL)
    async with vendor.serve() as base_url, daemon(detections_setup(tmp_path, base_url)) as running:
        await running.start(fault="commit.after:3")
        await running.ended()
        vendor.faults.switch_on("stale_page_token", Fault(count=1))
        await running.start()
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert vendor.faults_served["stale_page_token"] == 1
    assert not vendor.violations


def _struck(vendor: EsetSimulator, *numbers: int, **faults: Fault) -> None:
    """Let faults strike at these tenants alone."""
    users = frozenset(api_user(number).username for number in numbers)
    for name, fault in faults.items():
        vendor.faults.switch_on(name, replace(fault, client_ids=users))


@pytest.mark.parametrize("delta", [200, 501], ids=["delta", "lists"])
async def test_trouble_passes_by_itself_and_costs_nothing(tmp_path: Path, delta: int) -> None:
    vendor = eset_simulator(7)
    vendor.offer(v1_delta=delta)
    vendor.cloud.fill(7 * 1200, now() - 20 * _HOUR, now(), mix=PUNCTUAL)
    known = vendor.ledger([api_user(0).username])
    vendor.faults.make_unreadable(sorted(known)[77], times=12)  # and then it is mended
    _struck(vendor, 1, truncated=Fault(count=9))  # a page that is wholly unreadable
    _struck(vendor, 2, html_200=Fault(count=4, skip=3))
    _struck(vendor, 3, unauthorized=Fault(count=3, skip=2))  # in mid-run
    _struck(vendor, 4, 5, 6, pending=Fault(count=24, seconds=0.3))
    _struck(vendor, 4, pending_cut=Fault(count=5))
    _struck(vendor, 5, pending_lost=Fault(count=4))
    _struck(vendor, 6, pending_504=Fault(count=4))
    async with started(tmp_path, vendor, 7) as running:
        verdict = await arrived(vendor, running, seconds=100)
        await running.stop()

    assert verdict.good, verdict
    assert set(vendor.faults_served) > {"unreadable", "truncated", "html_200", "unauthorized", "pending_cut"}
    assert set(vendor.faults_served) > {"pending_lost", "pending_504"}
    assert not vendor.violations


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("delta", [200, 501], ids=["delta", "lists"])
async def test_unreadable_detection_becomes_a_gap_and_all_others_arrive(tmp_path: Path, delta: int) -> None:
    vendor = eset_simulator()
    vendor.offer(v1_delta=delta)
    ids = vendor.cloud.fill(600, now() - 20 * _HOUR, now() - _HOUR, mix=_NO_TIES)
    bad = ids[317]
    vendor.faults.make_unreadable(bad)
    async with started(tmp_path, vendor) as running:
        status = await running.until(lambda status: status["feeds"][0]["gaps"] >= 1, seconds=240)
        await running.until(lambda status: status["feeds"][0]["events"] >= len(ids) - 1)
        await running.until(lambda status: status["sinks"][0]["delivered"] >= len(ids) - 1)
        verdict = await judged(vendor, running.setup)
        await running.stop()

    assert verdict.missing == [bad]
    assert not verdict.doubled
    assert status["feeds"][0]["gaps"] == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_unreadable_detection_in_the_delta_costs_no_other(tmp_path: Path) -> None:
    vendor = eset_simulator()
    async with started(tmp_path, vendor) as running:
        await running.until(lambda status: status["feeds"][0]["state"] == "ok")
        ids = vendor.cloud.fill(60, now() - _HOUR, now(), mix=_NO_TIES)
        vendor.faults.make_unreadable(ids[31])
        await running.until(lambda status: status["feeds"][0]["events"] >= len(ids) - 1, seconds=240)
        later = vendor.cloud.straggle(20, _LATE["8 h"])
        await running.until(lambda status: status["feeds"][0]["events"] >= len(ids) - 1 + len(later), seconds=240)
        await running.until(lambda status: status["sinks"][0]["delivered"] >= len(ids) - 1 + len(later))
        verdict = await judged(vendor, running.setup)
        await running.stop()

    assert verdict.missing == [ids[31]]
    assert not verdict.doubled


async def test_tenant_without_the_feed_is_denied_and_harms_no_other(tmp_path: Path) -> None:
    vendor = eset_simulator(2)
    vendor.offer(api_user(0).username, v1=403, v1_delta=403)
    vendor.cloud.fill(300, now() - 20 * _HOUR, now(), mix=PUNCTUAL, accounts=[api_user(1)])
    async with started(tmp_path, vendor, 2) as running:
        verdict = await arrived(vendor, running)
        status = await running.until(
            lambda status: "denied" in {feed["state"] for feed in status["feeds"] if feed["tenant"] == "t0"}
        )
        await running.stop()

    assert verdict.good, verdict
    assert {feed["state"] for feed in status["feeds"] if feed["tenant"] == "t1"} == {"ok"}
