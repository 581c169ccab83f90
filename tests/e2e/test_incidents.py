"""Incidents of both vendors through the real daemon: every state that a poll saw, once, and always the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from collector.simulator import BAD_DAY
from collector.simulator.eset import BAD_DAY as ESET_BAD_DAY
from collector.simulator.eset import EsetSimulator
from tests.e2e.eset import broken_rules, eset_simulator
from tests.e2e.harness import Setup, account, simulator
from tests.e2e.incidents import complete, delivered, started

_STATUSES = ("acknowledged", "inProgress", "monitoring", "closed")


def now() -> datetime:
    return datetime.now(UTC)


def unread_states(vendor: EsetSimulator, setup: Setup) -> list[str]:
    """The incidents with a state that an answer to the daemon showed, and that is not there."""
    there = {(event.id, event.raw) for event in delivered(setup)}
    report = vendor.incidents.report()
    return [
        key for key, states in report.items() for state in states if state["read"] and (key, state["raw"]) not in there
    ]


def _states_before_the_last(states: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for state in states[:-1]:
        yield f"{state['updated']} {state['status']} {state['risk']} {state['resolution']}"


# -- WithSecure ------------------------------------------------------------------------------------


async def test_every_state_of_a_withsecure_incident_arrives_once_with_its_detections(tmp_path: Path) -> None:
    vendor = simulator()
    incidents = vendor.cloud.incidents
    ids = incidents.open(120, now() - timedelta(hours=20), now() - timedelta(minutes=1))
    rng = Random(1)
    async with started(tmp_path, vendor) as running:
        await complete(vendor, running)
        for status in _STATUSES:
            for key in rng.sample(ids, 20):
                incidents.change(key, status=status)
            incidents.detect(rng.choice(ids), 3)
            one, other = rng.sample(ids, 2)
            incidents.merge(one, other)
            await complete(vendor, running)
        await asyncio.sleep(2.5)
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert verdict.events > 120 * 3 + 80
    assert not vendor.violations


async def test_two_changes_of_a_withsecure_incident_within_one_poll_give_the_last(tmp_path: Path) -> None:
    vendor = simulator()
    incidents = vendor.cloud.incidents
    ids = incidents.open(20, now() - timedelta(hours=2), now() - timedelta(minutes=1))
    async with started(tmp_path, vendor, poll_interval="1s") as running:
        await complete(vendor, running)
        for key in ids:
            incidents.change(key, status="inProgress")
            incidents.change(key, now() + timedelta(milliseconds=1), riskLevel="severe", status="monitoring")
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    last = {event.id: event.raw for event in delivered(running.setup) if event.kind == "incident"}
    assert all(b'"monitoring"' in last[key] for key in ids)


async def test_detection_that_joins_a_withsecure_incident_unseen_arrives(tmp_path: Path) -> None:
    vendor = simulator()
    incidents = vendor.cloud.incidents
    ids = incidents.open(10, now() - timedelta(minutes=8), now() - timedelta(minutes=1))
    async with started(tmp_path, vendor) as running:
        await complete(vendor, running)
        joined = incidents.detect(ids[3], 2, move=False)
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert set(joined) <= {event.id for event in delivered(running.setup) if event.kind == "detection"}


async def test_withsecure_incidents_on_a_bad_day_with_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    vendor = simulator(2)
    incidents = vendor.cloud.incidents
    incidents.open(40, now() - timedelta(hours=20), now() - timedelta(minutes=1))
    vendor.faults.switch_on_all(BAD_DAY)
    async with started(tmp_path, vendor, 2) as running:
        incidents.live(10.0, limit=60)
        for _ in range(3):
            await asyncio.sleep(2.0)
            await running.kill()
            await running.start()
        await asyncio.sleep(3.0)
        # A state that was read before a kill and is another after it was no poll's: what is owed is the last.
        verdict = await complete(
            vendor,
            running,
            seconds=100,
            passing=lambda: {
                name for each in incidents.report().values() for name in _states_before_the_last(each["states"])
            },
        )
        await running.stop()

    assert verdict.good, verdict
    assert not vendor.violations


async def test_withsecure_account_without_incidents_is_told_so_and_its_events_arrive(tmp_path: Path) -> None:
    vendor = simulator()
    vendor.cloud.incidents.unlicensed.add(account(0).client_id)
    vendor.cloud.fill(50, now() - timedelta(hours=1), now())
    async with started(tmp_path, vendor, feeds=["security_events", "incidents"]) as running:
        status = await running.until(lambda status: all(feed["state"] in {"ok", "denied"} for feed in status["feeds"]))
        await running.until(lambda status: status["sinks"][0]["delivered"] >= 50)
        await running.stop()

    states = {feed["feed"]: feed for feed in status["feeds"]}
    assert states["security_events"]["state"] == "ok"
    assert states["incidents"]["state"] == "denied"
    assert "not licensed" in states["incidents"]["last_error"]


# -- ESET ------------------------------------------------------------------------------------------


async def test_every_state_of_an_eset_incident_that_was_read_arrives_once(tmp_path: Path) -> None:
    vendor = eset_simulator(2)
    incidents = vendor.incidents
    incidents.fill(60, now() - timedelta(days=5), now() - timedelta(minutes=1))
    async with started(tmp_path, vendor, 2, reread_open="2s") as running:
        await complete(vendor, running)
        for _ in range(4):
            incidents.stir(30, within_seconds=1.5)
            await asyncio.sleep(2.5)
        verdict = await complete(vendor, running)
        await asyncio.sleep(2.5)
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    assert not unread_states(vendor, running.setup)
    assert not vendor.violations


async def test_two_changes_of_an_eset_incident_within_one_poll_give_the_last(tmp_path: Path) -> None:
    vendor = eset_simulator()
    incidents = vendor.incidents
    incidents.lag_ms = 0
    ids = incidents.fill(20, now() - timedelta(hours=2), now() - timedelta(minutes=1))
    async with started(tmp_path, vendor, poll_interval="1s") as running:
        await complete(vendor, running)
        for key in ids:
            incidents.change(key, status="INCIDENT_STATUS_IN_PROGRESS")
            incidents.change(key, after_seconds=0.01, status="INCIDENT_STATUS_CLOSED", assigneeUuid="u-1")
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    last = {event.id: event.raw for event in delivered(running.setup)}
    assert all(b'"INCIDENT_STATUS_CLOSED"' in last[key] for key in ids)


@pytest.mark.parametrize("open_for", [timedelta(minutes=30), timedelta(days=6)], ids=["new", "old"])
async def test_detection_that_joins_an_eset_incident_unseen_makes_a_new_event(
    tmp_path: Path, open_for: timedelta
) -> None:
    vendor = eset_simulator()
    incidents = vendor.incidents
    ids = incidents.fill(10, now() - open_for, now() - open_for + timedelta(minutes=5))
    async with started(tmp_path, vendor, reread_open="1s") as running:
        await complete(vendor, running)
        before = [event.id for event in delivered(running.setup)]
        incidents.join(ids[3], "joined-without-a-trace", moves=False)
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict
    fresh = delivered(running.setup)[len(before) :]
    assert [event.id for event in fresh] == [ids[3]]
    assert b"joined-without-a-trace" in fresh[0].raw


async def test_comment_that_moves_no_time_arrives_with_its_incident(tmp_path: Path) -> None:
    vendor = eset_simulator()
    ids = vendor.incidents.fill(5, now() - timedelta(hours=3), now() - timedelta(hours=2))
    async with started(tmp_path, vendor, reread_open="1s") as running:
        await complete(vendor, running)
        vendor.incidents.comment(ids[2], "seen by the night shift", moves=False)
        verdict = await complete(vendor, running)
        await running.stop()

    assert verdict.good, verdict


async def test_eset_incidents_on_a_bad_day_with_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    vendor = eset_simulator(2)
    incidents = vendor.incidents
    incidents.fill(30, now() - timedelta(days=10), now() - timedelta(minutes=1))
    vendor.faults.switch_on_all(ESET_BAD_DAY)
    async with started(tmp_path, vendor, 2, reread_open="2s") as running:
        for _ in range(3):
            incidents.stir(15, within_seconds=2.0)
            await asyncio.sleep(2.0)
            await running.kill()
            await running.start()
        verdict = await complete(vendor, running, seconds=100)
        await running.stop()

    assert verdict.good, verdict
    assert not broken_rules(vendor)


@pytest.mark.parametrize("status", [403, 404, 501])
async def test_eset_account_without_incidents_is_told_so_and_its_detections_arrive(tmp_path: Path, status: int) -> None:
    vendor = eset_simulator()
    vendor.offer(incidents=status)
    vendor.cloud.fill(50, now() - timedelta(hours=1), now())
    async with started(tmp_path, vendor, feeds=["detections", "incidents"]) as running:
        found = await running.until(lambda status: all(feed["state"] in {"ok", "denied"} for feed in status["feeds"]))
        await running.until(lambda status: status["sinks"][0]["delivered"] >= 50)
        await running.stop()

    states: dict[str, str] = {feed["feed"]: feed["state"] for feed in found["feeds"]}
    assert states == {"detections": "ok", "incidents": "denied"}
