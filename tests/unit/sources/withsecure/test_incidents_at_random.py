"""Incidents that live at random, before a vendor on a bad day, read by a daemon that is killed at any moment."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from collector.errors import CheckpointExpired, SourceDenied, SourceError
from collector.model import Checkpoint, Lane, Record, Window
from tests.unit.sources.withsecure.incident_vendor import IncidentBench, IncidentVendor, incidents
from tests.unit.sources.withsecure.vendor import LOGIN, Asked, Say, _stored, error

POLL, SWEEP = timedelta(minutes=1), timedelta(minutes=5)
STATES = ("new", "acknowledged", "inProgress", "closed")
# None: the JSON is torn.
REFUSALS = (error(401), error(500), error(503, headers={"Retry-After": "2"}), Say(body=b"<html>"), Say(body=b""), None)
# Within a sweep and what failures in a row may cost, everything is there.
PATIENCE = SWEEP + timedelta(minutes=3)


class BadDay:
    """Answers some of the requests otherwise, with a probability; 401 takes the token back too."""

    def __init__(self, vendor: IncidentVendor, rng: Random, probability: float) -> None:
        self.probability = probability
        self._vendor = vendor
        self._rng = rng
        self._usual = vendor._page
        vendor._page = self._page  # type: ignore[method-assign]

    def _page(self, asked: Asked) -> Say:
        if asked.path == LOGIN or self._rng.random() >= self.probability:
            return self._usual(asked)
        said = self._rng.choice(REFUSALS)
        if said is None:
            return Say(body=self._usual(asked).body[:-3])
        if said.status == 401:
            self._vendor.revoked.add(asked.headers["Authorization"].removeprefix("Bearer "))
        return said


class Daemon:
    """Polls and sweeps as pollers do; a page is stored with its checkpoint or not at all."""

    def __init__(self, it: IncidentBench, rng: Random) -> None:
        self.stored: dict[str, Record] = {}
        self.killed_with = 0.0
        self._it = it
        self._rng = rng
        self._at: dict[Lane, Checkpoint] = {}
        self._due = {Lane.TIP: it.vendor.now, Lane.SWEEP: it.vendor.now + SWEEP}
        self._started = it.vendor.now
        self._gaps: list[str] = []

    @property
    def next_due(self) -> datetime:
        """When a lane wants to be read next."""
        return min(self._due.values())

    @property
    def gaps(self) -> list[str]:
        """What was given up."""
        return self._gaps

    async def step(self) -> None:
        """The next page of the lane that has waited longest."""
        lane = min(self._due, key=lambda each: self._due[each])
        after = self._at.get(lane)
        window = None
        if lane is Lane.SWEEP:
            after, window = after or Checkpoint(self._started), Window(self._started - timedelta(days=1))
        try:
            page = await self._it.fetch(_stored(after), lane, window)
        except CheckpointExpired as exc:
            if after is not None:
                self._at[lane] = exc.resume or replace(after, run=None)
            return
        except SourceError as exc:
            wait = 60.0 if isinstance(exc, SourceDenied) else max(2.0, getattr(exc, "retry_after", None) or 0.0)
            self._due[lane] = self._it.vendor.now + timedelta(seconds=wait)
            return
        if self._rng.random() < self.killed_with:
            self._it.restart()
            return
        self.stored.update({record.id: record for record in page.records})
        self._gaps += [gap.reason for gap in page.gaps]
        self._at[lane] = page.checkpoint
        if page.retry_after is not None:
            self._due[lane] = self._it.vendor.now + timedelta(seconds=page.retry_after)
        elif not page.more:
            self._due[lane] = self._it.vendor.now + (POLL if lane is Lane.TIP else SWEEP)


def happen(vendor: IncidentVendor, rng: Random, changed: dict[str, datetime]) -> None:
    """An incident opens, changes, wins a detection with or without being moved by it."""
    lot, number = rng.random(), len(vendor.incidents)
    if lot < 0.4 or not changed:
        name = f"i{number:03}"
        vendor.open(name, vendor.now, rng.randint(0, 3))
        changed[name] = vendor.now
        return
    name = rng.choice(list(changed))
    if lot < 0.6:
        vendor.change(name, vendor.now, status=rng.choice(STATES))
        changed[name] = vendor.now
        return
    # What joins an incident unseen is found by the sweeps that still read that incident.
    if lot < 0.8 or vendor.now - changed[name] > SWEEP:
        vendor.change(name, vendor.now)
        changed[name] = vendor.now
    vendor.members[name].append(f"{name}-late{len(vendor.members[name]):03}")


def missing(vendor: IncidentVendor, daemon: Daemon) -> set[str]:
    """Detections that did not arrive, and incidents whose last state did not."""
    members = {member for each in vendor.members.values() for member in each}
    states = {_state(incident) for incident in vendor.incidents.values()}
    raws = {record.raw for record in daemon.stored.values()}
    return (members - daemon.stored.keys()) | {state.decode() for state in states - raws}


def _state(incident: dict[str, Any]) -> bytes:
    return json.dumps(incident).encode()


@pytest.mark.parametrize("seed", range(6))
async def test_everything_arrives_soon_whatever_happens_when(seed: int) -> None:
    rng = Random(seed)
    async with incidents() as it:
        daemon, changed = Daemon(it, rng), dict[str, datetime]()
        trouble = BadDay(it.vendor, rng, probability=rng.choice((0.02, 0.1, 0.3)))
        daemon.killed_with = rng.choice((0.0, 0.05, 0.2))
        live_until = it.vendor.now + timedelta(minutes=25)
        while it.vendor.now < live_until:
            if rng.random() < 0.15:
                happen(it.vendor, rng, changed)
            if daemon.next_due <= it.vendor.now:
                await daemon.step()
            await it.clock.advance(rng.choice((0.0, 0.1, 3.0)))
        trouble.probability = daemon.killed_with = 0.0
        until = it.vendor.now + PATIENCE
        while missing(it.vendor, daemon) and it.vendor.now < until:
            if daemon.next_due <= it.vendor.now:
                await daemon.step()
            else:
                await it.clock.advance(1.0)

    assert missing(it.vendor, daemon) == set()
    assert daemon.gaps == []
