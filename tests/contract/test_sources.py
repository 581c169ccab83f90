"""What every source must do: run against its vendor's simulator, which is strict and knows all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from collector.errors import SourceError
from collector.model import Lane, Window
from tests.contract.subjects import STAGES, Subject, on_stage, stored

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(params=STAGES)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with on_stage(STAGES[request.param]()) as it:
        yield it


async def test_the_vendors_bytes_arrive_and_no_rule_of_the_vendor_is_broken(subject: Subject) -> None:
    names = subject.stage.fill(subject.stage.many(3000), subject.started - 20 * HOUR, subject.started - MINUTE)

    await subject.read(Lane.TIP, None)

    assert set(subject.times) == set(names)
    assert set(subject.times.values()) == {1}
    shown = subject.stage.shown()
    assert all(raw <= set(shown[name]) for name, raw in subject.raw.items())
    assert not subject.stage.violations


async def test_a_bad_day_at_the_vendor_costs_nothing(subject: Subject) -> None:
    names = subject.stage.fill(subject.stage.many(6000), subject.started - 20 * HOUR, subject.started - MINUTE)
    subject.stage.have_a_bad_day()

    tip = await subject.read(Lane.TIP, None)
    for _ in range(5):
        tip = await subject.read(Lane.TIP, tip)

    assert set(names) <= set(subject.times)
    assert subject.gaps == []
    assert subject.stage.faults.served
    assert not subject.stage.violations


async def test_what_shows_up_late_is_found_by_the_sweep(subject: Subject) -> None:
    tip = await subject.read(Lane.TIP, None)
    sweep = await subject.sweep(tip)
    late = subject.started - subject.stage.late
    names = subject.stage.fill(subject.stage.many(450), late, late)

    await subject.read(Lane.TIP, tip)
    assert subject.stage.tip_finds_late or not set(names) & set(subject.times)
    await subject.sweep(tip, sweep)

    assert set(names) <= set(subject.times)


async def test_a_restart_after_any_page_loses_nothing(subject: Subject) -> None:
    names = subject.stage.fill(subject.stage.many(900), subject.started - HOUR, subject.started - HOUR)
    page = await subject.source.fetch(subject.stage.feed, Lane.TIP, None, None)
    subject.take(page.records)
    at = page.checkpoint

    while page.more:
        rest = subject.anew()
        await rest.read(Lane.TIP, at)
        assert set(subject.times) | set(rest.times) == set(names)
        page = await subject.source.fetch(subject.stage.feed, Lane.TIP, stored(at), None)
        at = page.checkpoint
        subject.take(page.records)

    assert set(subject.times) == set(names)


async def test_a_cancelled_fetch_leaves_the_source_usable(subject: Subject) -> None:
    names = subject.stage.fill(subject.stage.many(500), subject.started - 20 * HOUR, subject.started - MINUTE)
    for delay in (0.0, 0.001, 0.003, 0.01, 0.02):
        fetching = asyncio.create_task(subject.source.fetch(subject.stage.feed, Lane.TIP, None, None))
        await asyncio.sleep(delay)
        fetching.cancel()
        await asyncio.wait([fetching])

    await subject.read(Lane.TIP, None)

    assert set(subject.times) == set(names)


async def test_an_unreadable_record_is_a_gap_and_costs_no_other(subject: Subject) -> None:
    names = subject.stage.fill(subject.stage.many(700), subject.started - 20 * HOUR, subject.started - MINUTE)
    bad = names[len(names) // 2]
    subject.stage.faults.make_unreadable(bad)

    await subject.read(Lane.TIP, None)

    assert set(names) - set(subject.times) == {bad}
    # A filter in whole seconds meets a record from both sides of a second's end.
    assert len(subject.gaps) in {1, 2}
    assert not subject.stage.violations


async def test_a_job_reads_its_window_whole_and_is_then_over(subject: Subject) -> None:
    start = subject.started - timedelta(days=80)
    names = subject.stage.fill(subject.stage.many(700), start, start + timedelta(days=40))
    window = Window(start - MINUTE, start + timedelta(days=41))

    at = await subject.read(Lane.JOB, None, window)
    assert set(subject.times) == set(names)
    assert await subject.read(Lane.JOB, at, window) == at
    assert set(subject.times.values()) == {1}


async def test_check_finds_nothing_wrong_where_there_is_nothing(subject: Subject) -> None:
    subject.stage.fill(5, subject.started - HOUR, subject.started - MINUTE)

    assert await subject.source.check() == []


async def test_every_feed_of_the_plugin_is_one_of_the_source(subject: Subject) -> None:
    assert set(subject.source.feeds) <= set(subject.stage.plugin.feeds)
    with pytest.raises(SourceError):
        await subject.source.fetch("no such feed", Lane.TIP, None, None)
