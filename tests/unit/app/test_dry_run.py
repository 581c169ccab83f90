from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.app import dry_run
from collector.errors import SourceDenied, SourceUnavailable
from collector.model import Page
from tests.unit.app.world import World, ids, stand_in


async def test_every_event_is_written_and_nothing_else(world: World) -> None:
    world.tenants["acme"]["sources"][0]["feeds"] = ["alerts", "incidents"]
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.vendor().add(*range(7))
    world.vendor().add(7, feed="incidents")
    world.vendor("beta").add(8)
    lines: list[bytes] = []

    assert await dry_run(world.config(), lines.append)

    assert ids(lines) == list(range(9))
    assert world.sink().states == []
    assert not (world.folder / "state").exists()


async def test_feed_that_fails_is_told_and_hides_no_other(world: World) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.tenants["gamma"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.vendor().failure = SourceUnavailable("503")
    world.vendor("beta").opening = SourceDenied("no such organization")
    world.vendor("gamma").add(1)
    lines: list[bytes] = []

    assert not await dry_run(world.config(), lines.append)
    assert ids(lines) == [1]


async def test_lane_that_is_to_be_asked_later_is_asked_then(world: World) -> None:
    world.vendor().add(*range(7))
    fetch = world.vendor().fetch

    async def later(*args: Any) -> Page:
        return replace(await fetch(*args), retry_after=0.001)

    stand_in(world.vendor(), "fetch", later)
    lines: list[bytes] = []
    assert await dry_run(world.config(), lines.append)
    assert ids(lines) == list(range(7))


async def test_reader_that_goes_away_ends_it_as_what_it_is(world: World) -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError

    world.vendor().add(1)
    with pytest.raises(BrokenPipeError):
        await dry_run(world.config(), gone)
