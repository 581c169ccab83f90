"""Detections under random schedules: whatever dies, comes late or crashes, each record in time for a sweep is read.

A crash is a page thrown away, or a feed begun anew from what was stored last.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from collector.errors import CheckpointExpired, SourceError, SourceUnavailable
from collector.model import Checkpoint, Lane, Window
from collector.timestamps import parse_rfc3339
from tests.unit.sources.eset.detections_vendor import DAY, HOUR, MINUTE, Asked, Bench, stored

# Later than this after its stamp nothing is promised: window - every.
LATEST = 14 * DAY - 6 * HOUR
LATENESS = (timedelta(0), MINUTE, 5 * HOUR, 5 * DAY, 13 * DAY, LATEST - MINUTE)


@dataclass
class World:
    """A vendor, a feed and its store; `tip_alone`: deltas may die, but are never refused, so no sweep is needed."""

    seed: int
    tip_alone: bool = False
    stored: dict[Lane, Checkpoint | None] = field(default_factory=lambda: {Lane.TIP: None, Lane.SWEEP: None})
    read: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    swept: datetime | None = None
    calm: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.bench = Bench(start_from="40d")
        self.vendor = self.bench.vendor
        self.vendor.delta_offered["v2"] = self.vendor.list_offered["v2"] = True
        self.vendor.cap = self.random.choice([3, 20, 1000])
        self.vendor.delta_cap = self.random.choice([2, 1000])
        self.vendor.always = self.say

    def say(self, asked: Asked) -> bytes | Exception | None:
        if self.calm or self.random.random() > 0.06:
            return None
        troubles: list[bytes | Exception] = [
            SourceUnavailable(f"{asked.path}: status 500"),
            SourceUnavailable("GET vendor: the connection was lost"),
            b'{"detections":[{"uuid":',
            b"<html>",
        ]
        if asked["pageToken"] or asked["deltaToken"] not in {None, "latest"}:
            troubles += [CheckpointExpired(f"{asked.path}: the token is refused")] * 2
        return self.random.choice(troubles)

    def new_records(self) -> None:
        for _ in range(self.random.randrange(4)):
            moment = self.vendor.now - self.random.choice(LATENESS)
            if self.random.random() < 0.1:
                moment = self.vendor.now + self.random.choice([HOUR, 400 * DAY])
            version = self.random.choice([0, 1, 2])
            self.due.add(self.vendor.put(f"r{len(self.due):05}", moment, version=version))

    def mischief(self) -> None:
        if self.random.random() < 0.1:
            self.vendor.kill_tokens()
        self.vendor.pending = self.random.choice([0, 0, 0, 2])
        if self.tip_alone:
            return
        for version in ("v1", "v2"):
            if self.random.random() < 0.1:
                self.vendor.delta_offered[version] = not self.vendor.delta_offered[version]
        if self.random.random() < 0.05:
            self.vendor.list_offered["v2"] = not self.vendor.list_offered["v2"]

    async def step(self, lane: Lane) -> bool:
        """Fetch and commit a page, unless something crashes; whether there is more."""
        after, window = self.stored[lane], None
        if lane is Lane.SWEEP:
            tip = self.stored[Lane.TIP]
            assert tip is not None
            after = after or Checkpoint(parse_rfc3339(tip.state["started"]))
            window = Window(parse_rfc3339(tip.state["beginning"]))
        try:
            page = await self.bench.fetch(after, lane, window)
        except SourceError as exc:
            await self.bench.clock.advance(getattr(exc, "retry_after", None) or 2.0)
            return True
        if not self.calm and self.random.random() < 0.05:
            self.bench.restart()
            return True
        self.stored[lane] = stored(page.checkpoint)
        self.read |= {record.id for record in page.records}
        if not self.calm and self.random.random() < 0.05:
            self.bench.restart()
        await self.bench.clock.advance(page.retry_after or 0.0)
        return page.more

    async def until_caught_up(self, lane: Lane, most: int = 4000) -> None:
        for _ in range(most):
            if not await self.step(lane):
                return
        raise AssertionError(f"{lane} is not caught up after {most} pages")

    async def live(self, days: int) -> None:
        end = self.vendor.now + days * DAY
        while self.vendor.now < end:
            await self.bench.clock.advance(self.random.choice([60.0, 1800.0, 7200.0]))
            self.new_records()
            self.mischief()
            for _ in range(self.random.randrange(12)):
                if not await self.step(Lane.TIP):
                    break
            if not self.tip_alone and self.swept_long_ago():
                for _ in range(self.random.randrange(30)):
                    if not await self.step(Lane.SWEEP):
                        self.swept = self.vendor.now
                        break

    def swept_long_ago(self) -> bool:
        if self.stored[Lane.TIP] is None:
            return False
        return self.swept is None or self.vendor.now >= self.swept + 6 * HOUR


@pytest.mark.parametrize("seed", range(4))
async def test_every_record_that_shows_up_in_time_for_a_sweep_is_read(seed: int) -> None:
    world = World(seed)

    await world.live(days=3)
    world.calm = True
    world.vendor.pending = 0
    world.vendor.list_offered["v2"] = True
    await world.bench.clock.advance(3700.0)
    await world.until_caught_up(Lane.TIP)
    await world.until_caught_up(Lane.SWEEP)
    await world.bench.clock.advance(6 * 3600.0)
    await world.until_caught_up(Lane.TIP)
    await world.until_caught_up(Lane.SWEEP)

    assert world.due - world.read == set()


@pytest.mark.parametrize("seed", range(8, 10))
async def test_dead_tokens_alone_cost_the_tip_no_record(seed: int) -> None:
    world = World(seed, tip_alone=True)
    await world.until_caught_up(Lane.TIP)

    await world.live(days=3)
    world.calm = True
    world.vendor.pending = 0
    await world.until_caught_up(Lane.TIP)  # the round that was under way
    await world.bench.clock.advance(60.0)
    await world.until_caught_up(Lane.TIP)

    assert world.due - world.read == set()


async def test_a_tip_that_was_off_and_on_is_back_on_deltas_with_nothing_left_to_read() -> None:
    world = World(99)
    await world.live(days=3)
    world.calm = True
    world.vendor.pending = 0
    world.vendor.delta_offered = {"v1": True, "v2": True}
    world.vendor.list_offered = {"v1": True, "v2": True}
    await world.bench.clock.advance(3700.0)

    await world.until_caught_up(Lane.TIP)

    tip = world.stored[Lane.TIP]
    assert tip is not None
    for version in ("v1", "v2"):
        assert "token" in tip.state[version]
        assert not {"sweep_from", "sweep_again", "delta_off", "list_off"} & tip.state[version].keys()
