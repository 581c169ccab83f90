from __future__ import annotations

import pytest

from collector.budget import Budget
from tests.unit.app.world import World

ALERTS = {"type": "memory", "feeds": ["alerts"]}


def budget(world: World, tenant: str = "acme") -> Budget:
    return world.vendor(tenant).contexts[-1].budget


async def test_each_feed_that_is_read_counts_by_its_age_until_it_is_read_no_more(world: World) -> None:
    world.tenants["acme"] = {"sources": [{"type": "memory", "feeds": ["alerts", "incidents"]}]}
    world.tenants["beta"] = {"sources": [ALERTS]}
    async with world.running() as running:
        await running.until(lambda: world.vendor("beta").fetched)
        shared = budget(world)
        assert budget(world, "beta") is shared
        assert sorted(caller.max_age for caller in shared.policy._callers) == [600.0] * 3

        del world.tenants["acme"]
        await running.reload()
        assert len(shared.policy._callers) == 1


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [({}, 600.0), ({"max_age": "5m"}, 300.0), ({"poll_interval": "1h"}, 3600.0)],
    ids=["default", "shorter", "longer-interval"],
)
async def test_the_age_a_feed_may_have_is_what_was_configured_but_no_less_than_the_interval(
    world: World, keys: dict[str, str], seconds: float
) -> None:
    world.tenants["acme"] = {"sources": [{**ALERTS, **keys}]}
    async with world.running() as running:
        await running.until(lambda: world.vendor().fetched)
        status = await running.operations.status()

        assert [caller.max_age for caller in budget(world).policy._callers] == [seconds]
        assert status["feeds"][0]["max_age_seconds"] == seconds


async def test_status_shows_how_often_feeds_are_asked_and_warns_of_those_that_are_too_old(world: World) -> None:
    world.tenants["beta"] = {"sources": [{**ALERTS, "max_age": "61s"}]}
    async with world.running() as running:
        await running.until(lambda: all(len(world.vendor(name).fetched) > 2 for name in ("acme", "beta")), passing=1.0)
        await running.until(lambda: all(feed.interval_seconds for feed in running.engine.reading.feeds.values()))
        before = await running.operations.status()
        running.engine.reading.feeds[next(iter(running.engine.reading.feeds))].interval_seconds = 700.0
        after = await running.operations.status()

    assert all(30.0 <= feed["interval_seconds"] <= 61.0 for feed in before["feeds"])
    assert not [warning for warning in before["warnings"] if "max_age" in warning]
    assert [warning for warning in after["warnings"] if "max_age" in warning] == [
        "the rate limit does not allow for max_age: 1 feeds are asked less often, acme/memory/alerts every 700 s"
    ]
