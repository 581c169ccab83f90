"""What every source must do: run against its vendor's simulator, which is strict and knows all."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from collector.budget import Budget
from collector.clock import Clock
from collector.errors import CheckpointExpired, SourceError
from collector.http import HttpClients
from collector.model import Checkpoint, Gap, Lane, Record, Window
from collector.simulator import BAD_DAY, Mix
from collector.simulator.accounts import COMPANY
from collector.simulator.withsecure import WithSecureSimulator
from collector.sources.base import Source, SourceContext, SourcePlugin
from collector.sources.withsecure import PLUGIN as WITHSECURE
from collector.timestamps import parse_rfc3339

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
_PUNCTUAL = Mix(late=0.0)


@dataclass
class Subject:
    """A source on its simulated vendor, and what it brought so far."""

    plugin: SourcePlugin
    source: Source
    vendor: WithSecureSimulator
    feed: str
    started: datetime
    times: Counter[str] = field(default_factory=Counter)
    raw: dict[str, bytes] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    failures: int = 0

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            self.times[record.id] += 1
            self.raw.setdefault(record.id, record.raw)

    async def read(
        self, lane: Lane, after: Checkpoint | None, window: Window | None = None, most: int = 3000
    ) -> Checkpoint:
        """Until the lane is caught up, failures tried again, each checkpoint through JSON as the store does."""
        for _ in range(most):
            try:
                page = await self.source.fetch(self.feed, lane, stored(after), window)
            except CheckpointExpired:
                assert after is not None
                after = replace(after, run=None)
                continue
            except SourceError:
                self.failures += 1
                continue
            self.take(page.records)
            self.gaps += page.gaps
            assert page.watermark is None or page.watermark == page.checkpoint.watermark
            if after is not None and after.watermark is not None:
                assert page.checkpoint.watermark is not None
                assert page.checkpoint.watermark >= after.watermark
            after = page.checkpoint
            if not page.more:
                assert after.run is None
                return after
        raise AssertionError(f"not caught up after {most} pages")

    async def sweep(self, tip: Checkpoint, after: Checkpoint | None = None) -> Checkpoint:
        begun = after or Checkpoint(parse_rfc3339(tip.state["started"]))
        return await self.read(Lane.SWEEP, begun, Window(parse_rfc3339(tip.state["beginning"])))


def stored(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    run = None if checkpoint.run is None else json.loads(json.dumps(checkpoint.run))
    return Checkpoint(checkpoint.watermark, run, json.loads(json.dumps(checkpoint.state)))


@asynccontextmanager
async def withsecure() -> AsyncIterator[Subject]:
    vendor = WithSecureSimulator(requests=100_000, per_seconds=1.0)
    clock = Clock()
    budget = Budget(90_000, 1.0, clock)
    giving = asyncio.create_task(budget.run())
    try:
        async with vendor.serve() as base_url, HttpClients() as http:
            config = WITHSECURE.config.model_validate(
                {"client_id": COMPANY.client_id, "client_secret": COMPANY.client_secret, "base_url": base_url}
            )
            context = SourceContext("acme", "source", http, budget, clock)
            async with WITHSECURE.open(config, context) as source:
                yield Subject(WITHSECURE, source, vendor, "security_events", datetime.now(UTC))
    finally:
        giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving


SUBJECTS = {"withsecure": withsecure}


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param]() as it:
        yield it


def was_shown(it: Subject) -> dict[str, bytes]:
    return {key: entry["raw"] for key, entry in it.vendor.ledger(hashes=False).items()}


async def test_the_vendors_bytes_arrive_and_no_rule_of_the_vendor_is_broken(subject: Subject) -> None:
    names = subject.vendor.cloud.fill(3000, subject.started - 20 * HOUR, subject.started - MINUTE, mix=_PUNCTUAL)

    await subject.read(Lane.TIP, None)

    assert set(subject.times) == set(names)
    assert set(subject.times.values()) == {1}
    assert subject.raw == was_shown(subject)
    assert not subject.vendor.violations


async def test_a_bad_day_at_the_vendor_costs_nothing(subject: Subject) -> None:
    names = subject.vendor.cloud.fill(6000, subject.started - 20 * HOUR, subject.started - MINUTE, mix=_PUNCTUAL)
    trouble = {name: chance for name, chance in BAD_DAY.items() if "throttled" not in name and name != "slow"}
    subject.vendor.faults.switch_on_all({**trouble, "date_wrong": 0.03, "date_missing": 0.03})

    tip = await subject.read(Lane.TIP, None)
    for _ in range(5):
        tip = await subject.read(Lane.TIP, tip)

    assert set(names) <= set(subject.times)
    assert subject.gaps == []
    assert subject.failures > 0
    assert not subject.vendor.violations


async def test_what_shows_up_late_is_found_by_the_sweep(subject: Subject) -> None:
    tip = await subject.read(Lane.TIP, None)
    sweep = await subject.sweep(tip)
    late = subject.started - 9 * MINUTE
    names = subject.vendor.cloud.fill(450, late, late, mix=_PUNCTUAL)

    await subject.read(Lane.TIP, tip)
    assert not set(names) & set(subject.times)
    await subject.sweep(tip, sweep)

    assert set(names) <= set(subject.times)


async def test_a_restart_after_any_page_loses_nothing(subject: Subject) -> None:
    names = subject.vendor.cloud.tie(900, subject.started - HOUR)
    page = await subject.source.fetch(subject.feed, Lane.TIP, None, None)
    seen = {record.id for record in page.records}
    at = page.checkpoint

    while page.more:
        rest = replace(subject, times=Counter(), raw={})
        await rest.read(Lane.TIP, at)
        assert seen | set(rest.times) == set(names)
        page = await subject.source.fetch(subject.feed, Lane.TIP, stored(at), None)
        at = page.checkpoint
        seen |= {record.id for record in page.records}

    assert seen == set(names)


async def test_a_cancelled_fetch_leaves_the_source_usable(subject: Subject) -> None:
    names = subject.vendor.cloud.fill(500, subject.started - 20 * HOUR, subject.started - MINUTE, mix=_PUNCTUAL)
    for delay in (0.0, 0.001, 0.003, 0.01, 0.02):
        fetching = asyncio.create_task(subject.source.fetch(subject.feed, Lane.TIP, None, None))
        await asyncio.sleep(delay)
        fetching.cancel()
        await asyncio.wait([fetching])

    await subject.read(Lane.TIP, None)

    assert set(subject.times) == set(names)


async def test_an_unreadable_record_is_a_gap_and_costs_no_other(subject: Subject) -> None:
    names = subject.vendor.cloud.fill(700, subject.started - 20 * HOUR, subject.started - MINUTE, mix=_PUNCTUAL)
    subject.vendor.faults.make_unreadable(names[350])

    await subject.read(Lane.TIP, None)

    assert set(names) - set(subject.times) == {names[350]}
    assert len(subject.gaps) == 1
    assert not subject.vendor.violations


async def test_a_job_reads_its_window_whole_and_is_then_over(subject: Subject) -> None:
    start = subject.started - timedelta(days=80)
    names = subject.vendor.cloud.fill(700, start, start + timedelta(days=40), mix=_PUNCTUAL)
    window = Window(start - MINUTE, start + timedelta(days=41))

    at = await subject.read(Lane.JOB, None, window)
    assert set(subject.times) == set(names)
    assert await subject.read(Lane.JOB, at, window) == at
    assert set(subject.times.values()) == {1}


async def test_check_finds_nothing_wrong_where_there_is_nothing(subject: Subject) -> None:
    subject.vendor.cloud.fill(5, subject.started - HOUR, subject.started - MINUTE, mix=_PUNCTUAL)

    assert await subject.source.check() == []


async def test_every_feed_of_the_plugin_is_one_of_the_source(subject: Subject) -> None:
    assert set(subject.source.feeds) <= set(subject.plugin.feeds)
    with pytest.raises(SourceError):
        await subject.source.fetch("no such feed", Lane.TIP, None, None)
