"""What vendors do to their clients: faults, ties, late records, records served again, narrow limits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.clock import Clock
from collector.model import Checkpoint, Lane, StreamId
from collector.simulator import BAD_DAY, Drip, Mix
from collector.simulator.faults import Fault
from collector.store import Store
from tests.e2e.harness import QUICK, Daemon, Setup, account, arrived, daemon, judged, simulator

_PUNCTUAL = Mix(late=0.0)


async def _twenty_thousand(tmp_path: Path, requests: int, per: str, restarts: int, seconds: float) -> None:
    vendor = simulator(2, requests=requests)
    vendor.gateway.set_limit(requests, 60.0 if per == "60s" else 5.0)
    now = datetime.now(UTC)
    vendor.cloud.fill(20_000, now - timedelta(hours=20), now, mix=QUICK)
    vendor.faults.switch_on_all(BAD_DAY)
    vendor.cloud.drip(Drip(20.0, limit=300, again=0.1, again_seconds=(1.0, 8.0), mix=QUICK))
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, 2, source={"rate_limit": {"requests": requests, "per": per}})
        async with daemon(setup) as running:
            for _ in range(restarts):
                await running.start()
                await asyncio.sleep(seconds / (restarts + 2))
                await running.kill()
            await running.start()
            verdict = await arrived(vendor, running, seconds=seconds * 3 + 120)
            await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations
    assert vendor.most_in_window <= requests


@pytest.mark.timeout(300)
async def test_backlog_of_20_000_with_every_fault_keeps_every_rule_across_restarts(tmp_path: Path) -> None:
    await _twenty_thousand(tmp_path, 100, "5s", restarts=2, seconds=20.0)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_backlog_of_20_000_at_the_vendors_real_limit(tmp_path: Path) -> None:
    await _twenty_thousand(tmp_path, 300, "60s", restarts=2, seconds=90.0)


async def test_account_that_is_throttled_for_an_hour_holds_up_nobody_else(tmp_path: Path) -> None:
    vendor = simulator(3)
    now = datetime.now(UTC)
    vendor.cloud.fill(100, now - timedelta(hours=1), now, mix=_PUNCTUAL)
    throttled = account(0).client_id
    vendor.faults.switch_on("throttled_seconds", Fault(seconds=3600.0, client_ids=frozenset([throttled])))
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, 3, source={"rate_limit": {"requests": 300, "per": "3s"}})
        async with daemon(setup) as running:
            await running.start()
            await running.until(lambda status: sum(feed["state"] == "ok" for feed in status["feeds"]) == 2)
            vendor.cloud.fill(100, now, now, mix=_PUNCTUAL)
            expected = vendor.ledger([account(1).client_id, account(2).client_id], hashes=False)
            await running.until(lambda status: sum(feed["events"] for feed in status["feeds"]) == len(expected))
            await running.stop()

    assert vendor.faults_served["throttled_seconds"] == 1


async def test_tie_of_500_in_one_millisecond_arrives_once(tmp_path: Path) -> None:
    vendor = simulator()
    vendor.cloud.tie(500, datetime.now(UTC) - timedelta(minutes=30))
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await running.start()
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict


async def test_event_that_shows_up_nine_minutes_after_its_stamp_arrives_once(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(50, now - timedelta(hours=1), now, mix=_PUNCTUAL)
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await running.start()
        await arrived(vendor, running)
        await asyncio.sleep(1.5)
        stamp = datetime.now(UTC) - timedelta(minutes=9)
        vendor.cloud.fill(5, stamp, stamp, mix=_PUNCTUAL)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict


async def test_records_served_again_with_changed_times_and_flags_arrive_once(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    ids = vendor.cloud.fill(400, now - timedelta(hours=1), now, mix=_PUNCTUAL)
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await running.start()
        await arrived(vendor, running)
        for part in (ids[:200], ids[100:300]):
            vendor.cloud.serve_again(part)
            await asyncio.sleep(1.0)
        await running.until(lambda status: status["feeds"][0]["duplicates"] >= 400)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict


async def _set_back(running: Daemon, days: int) -> None:
    """Let the feed believe that it read last so many days ago."""
    moment = datetime.now(UTC) - timedelta(days=days)
    state = {"beginning": moment.isoformat(), "started": moment.isoformat()}
    stream = StreamId("t0", "withsecure", "security_events")
    async with Store.open(running.setup.database, max_size=1 << 30, clock=Clock()) as store:
        await store.add_stream(stream, "withsecure", "WithSecure")
        await store.set_checkpoint(stream, Lane.TIP, Checkpoint(moment, None, state))
        await store.set_checkpoint(stream, Lane.SWEEP, Checkpoint(moment))


async def test_checkpoint_of_90_days_ago_walks_windows_and_loses_nothing(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(2000, now - timedelta(days=89), now, mix=QUICK)
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        (tmp_path / "state").mkdir()
        await _set_back(running, 90)
        await running.start()
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations


async def test_window_of_90_days_ago_fetched_again_after_a_prune_doubles_nothing(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    vendor.cloud.fill(1000, now - timedelta(days=89), now - timedelta(days=60), mix=QUICK)
    top = {"state": {"keep_delivered": "1s", "remember_ids": "30d"}}
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url, top=top)) as running:
        (tmp_path / "state").mkdir()
        await _set_back(running, 90)
        await running.start()
        await arrived(vendor, running)
        await running.stop()
        await asyncio.sleep(1.2)
        await _set_back(running, 90)
        await running.start()  # its janitor prunes at once
        await running.until(lambda status: status["feeds"][0]["duplicates"] >= 1000)
        verdict = await arrived(vendor, running)
        await running.stop()

    assert verdict.good, verdict


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_unreadable_record_becomes_a_gap_and_all_others_arrive(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    ids = vendor.cloud.fill(600, now - timedelta(hours=2), now - timedelta(minutes=20), mix=_PUNCTUAL)
    bad = ids[317]
    vendor.faults.make_unreadable(bad)
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await running.start()
        status = await running.until(lambda status: status["feeds"][0]["gaps"] >= 1, seconds=240)
        await running.until(lambda status: status["feeds"][0]["events"] >= len(ids) - 1)
        await running.until(lambda status: status["sinks"][0]["delivered"] >= len(ids) - 1)
        verdict = await judged(vendor, running.setup)
        await running.stop()

    assert verdict.missing == [bad]
    assert not verdict.doubled
    assert status["feeds"][0]["gaps"] == 1
