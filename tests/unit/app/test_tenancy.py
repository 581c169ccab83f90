"""Tenants are paused, resumed and purged; another account is held until somebody accepts it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from collector.app.engine import run_once
from collector.app.purging import purge_stopped
from collector.errors import CollectorError, SinkUnavailable, SourceDenied
from collector.model import StreamId
from collector.plugins import installed
from collector.sinks.base import Receipt
from collector.store import Position, Store
from tests.unit.app.world import ACME, Running, World, ids

BETA = StreamId("beta", "memory", "alerts")


def two_tenants(world: World) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}


async def done(running: Running, work: Awaitable[Any]) -> Any:
    """Let time pass until it is done."""
    task = asyncio.ensure_future(work)
    await running.until(task.done, passing=0.5)
    return task.result()


async def states(running: Running) -> dict[str, tuple[str, str | None]]:
    status = await running.operations.status()
    return {feed["tenant"]: (feed["state"], feed["last_error"]) for feed in status["feeds"]}


async def left(running: Running) -> list[bytes]:
    """The records of the log."""
    store: Store = running.engine.store
    chunk = await store.read(Position(0), list(store.streams()), 1 << 30)
    return [record.raw for page in chunk.pages for record in page.records]


# -- pause -----------------------------------------------------------------------------------------------


async def test_paused_tenant_is_not_polled_over_restarts_until_it_is_resumed(world: World) -> None:
    two_tenants(world)
    async with world.running() as running:
        await running.settled()
        await running.operations.pause_tenant("acme")
        await running.quiet()
        world.vendor().add(1)
        world.vendor("beta").add(2)
        await running.delivered(1)
        assert await states(running) == {"acme": ("paused", "paused by operator"), "beta": ("ok", None)}
    polled = len(world.vendor().fetched)
    async with world.running() as running:
        await running.settled()
        await world.clock.advance(300.0)
        assert (await states(running))["acme"][0] == "paused"
        assert len(world.vendor().fetched) == polled
        await running.operations.resume_tenant("acme")
        await running.delivered(2)
        assert (await states(running))["acme"] == ("ok", None)

    assert ids(world.sink().lines) == [2, 1]


async def test_what_was_fetched_before_a_pause_is_delivered(world: World) -> None:
    world.sink().opening = SinkUnavailable("down")
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: running.engine.log.end.seq > 1)
        await running.operations.pause_tenant("acme")
        world.sink().opening = None
        await running.delivered(1)


async def test_pause_survives_reloads_and_renames(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        await running.operations.pause_tenant("acme")
        world.tenants = {"acme-oy": {**world.tenants["acme"], "renamed_from": "acme"}}
        await running.reload()
        world.vendor("acme-oy").add(1)
        await world.clock.advance(300.0)
        await running.quiet()
        assert (await states(running))["acme-oy"][0] == "paused"
        assert world.sink().lines == []


async def test_names_are_checked(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    async with world.running() as running:
        with pytest.raises(CollectorError, match="no tenant nobody"):
            await running.operations.pause_tenant("nobody")
        with pytest.raises(CollectorError, match="read with the credentials of acme: pause acme"):
            await running.operations.pause_tenant("acme-fi")
        with pytest.raises(CollectorError, match="is not paused"):
            await running.operations.resume_tenant("acme")
        with pytest.raises(CollectorError, match="knows a tenant nobody"):
            await running.operations.purge_tenant("nobody")
        with pytest.raises(CollectorError, match="is polled: first `collector tenant pause acme`"):
            await running.operations.purge_tenant("acme")
        with pytest.raises(CollectorError, match="no source acme/other"):
            await running.operations.accept_account("acme", "other", anew=False)


async def test_one_off_run_leaves_a_paused_tenant_alone(world: World) -> None:
    two_tenants(world)
    async with world.running() as running:
        await running.settled()
        await running.operations.pause_tenant("acme")
    world.vendor().add(1)
    world.vendor("beta").add(2)
    task = asyncio.create_task(run_once(world.config(), 10.0, world.clock))
    while not task.done():
        await world.clock.advance(0.5)
        await asyncio.sleep(0.001)

    assert task.result() is True
    assert ids(world.sink().lines) == [2]


# -- purge -----------------------------------------------------------------------------------------------


async def test_purged_tenant_is_gone_and_the_others_get_everything_once(world: World) -> None:
    two_tenants(world)
    world.sinks["down"] = {"type": "memory"}
    world.sink("down").opening = SinkUnavailable("down")
    world.vendor().add(*range(7))
    world.vendor("beta").add(*range(100, 107))
    async with world.running() as running:
        await running.delivered(14)
        await running.operations.pause_tenant("acme")
        assert await done(running, running.operations.purge_tenant("acme")) == 7
        assert len(await left(running)) == 7
        world.sink("down").opening = None
        await running.delivered(7, "down")
        world.vendor("beta").add(107)
        await running.delivered(15)
        await running.delivered(8, "down")
        await running.settled()
        assert (await states(running))["acme"] == ("paused", "paused by operator")

        await running.operations.resume_tenant("acme")
        await running.quiet()

    assert ids(world.sink("down").lines) == list(range(100, 108))
    assert sorted(ids(world.sink().lines)) == [*range(7), *range(100, 108)]


async def test_purged_tenant_that_stays_goes_on_behind_what_was_purged(world: World) -> None:
    world.vendor().add(*range(3))
    async with world.running() as running:
        await running.delivered(3)
        await running.operations.pause_tenant("acme")
        await done(running, running.operations.purge_tenant("acme"))
        checkpoints = await running.engine.store.checkpoints()

    ((stream, lane, _, tip),) = checkpoints
    assert (stream, lane) == (ACME, "tip")
    assert tip.watermark is not None
    assert tip.state.keys() == {"beginning", "started"}
    assert tip.state["beginning"] == "2026-11-22T10:11:12.346Z"  # a millisecond behind the watermark


async def test_tenant_that_left_is_purged_with_all_that_names_it(world: World) -> None:
    two_tenants(world)
    world.vendor().add(*range(3))
    world.vendor("beta").add(4)
    async with world.running() as running:
        await running.delivered(4)
        await running.settled()
        del world.tenants["acme"]
        await running.reload()
        await done(running, running.operations.purge_tenant("acme"))
        assert set(running.engine.store.streams()) == {BETA}
        world.tenants["gamma"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
        world.vendor("gamma").add(5)
        await running.reload()
        await running.delivered(5)
        world.vendor("beta").add(6)
        await running.delivered(6)

    assert sorted(ids(world.sink().lines)) == [0, 1, 2, 4, 5, 6]


async def test_mapped_tenants_records_leave_the_partners_pages_and_no_cursor_goes_astray(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi", "org-2": "acme-se"}
    world.sinks["down"] = {"type": "memory", "format": "raw"}
    world.sink("down").limits = type(world.sink().limits)(max_events=2)
    world.sink("down").script = [lambda _: Receipt(), *[SinkUnavailable("down")] * 10_000]
    for number in range(5):
        world.vendor().add(number, raw=b'{"id":"event-%d","org":"org-%d"}' % (number, 1 + number % 2))
    async with world.running() as running:
        await running.delivered(5)
        await running.until(lambda: len(world.sink("down").lines) == 2)
        assert await done(running, running.operations.purge_tenant("acme-fi")) == 3
        assert [b"org-1" in raw for raw in await left(running) if raw] == [False, False]
        world.sink("down").script.clear()
        world.vendor().add(5, raw=b'{"id":"event-5","org":"org-2"}')
        await running.delivered(4, "down")
        await running.settled()

    assert [line.split(b'"')[3] for line in world.sink("down").lines] == [
        *(b"event-0", b"event-1"),  # delivered before
        *(b"event-3", b"event-5"),
    ]


async def test_dead_letters_of_a_mapped_tenant_go_and_those_of_others_stay(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    world.sink().script = [lambda batch: Receipt(rejected=dict.fromkeys(range(len(batch)), "too long"))]
    world.vendor().add(1, raw=b'{"org":"org-1"}')
    world.vendor().add(2, raw=b'{"org":"org-2"}')
    async with world.running() as running:
        status = running.engine.delivering.deliveries["archive"].status
        await running.until(lambda: status.dead_letters == 2, passing=1.0)
        await done(running, running.operations.purge_tenant("acme-fi"))
        letters = await running.engine.store.dead_letters()
        status = running.engine.delivering.deliveries["archive"].status

    assert [letter.event_id for letter in letters] == ["event-2"]
    assert status.dead_letters == 1


# -- accounts --------------------------------------------------------------------------------------------


async def test_another_account_is_held_until_it_is_accepted(world: World) -> None:
    two_tenants(world)
    world.tenants["acme"]["sources"][0]["user"] = "one"
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        world.tenants["acme"]["sources"][0]["user"] = "two"
        await running.reload()
        world.vendor().add(2)
        await world.clock.advance(300.0)
        await running.quiet()
        state, error = (await states(running))["acme"]
        assert state == "held"
        assert "another account" in (error or "")
        assert any("tenant accept acme/memory" in text for text in (await running.operations.status())["warnings"])
    async with world.running() as running:
        await world.clock.advance(300.0)
        await running.quiet()
        assert (await states(running))["acme"][0] == "held"
        assert ids(world.sink().lines) == [1]
        assert await done(running, running.operations.accept_account("acme", "memory", anew=False)) == 1
        await running.delivered(2)
        assert (await states(running))["acme"][0] == "ok"

    assert ids(world.sink().lines) == [1, 2]


async def test_account_accepted_anew_begins_anew(world: World) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "one"
    world.vendor().add(1, 2)
    async with world.running() as running:
        await running.delivered(2)
        world.tenants["acme"]["sources"][0]["user"] = "two"
        world.vendor().records["alerts"].clear()
        await running.reload()
        world.vendor().add(3)
        await done(running, running.operations.accept_account("acme", None, anew=True))
        await running.delivered(3)

    assert ids(world.sink().lines) == [1, 2, 3]


async def test_another_secret_is_the_same_account_and_the_old_account_may_come_back(world: World) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "one"
    async with world.running() as running:
        await running.settled()
        world.tenants["acme"]["sources"][0]["client_secret"] = "another"
        await running.reload()
        assert (await states(running))["acme"][0] in {"ok", "starting"}
        world.tenants["acme"]["sources"][0]["user"] = "two"
        await running.reload()
        assert (await states(running))["acme"][0] == "held"
        world.tenants["acme"]["sources"][0]["user"] = "one"
        await running.reload()
        await running.until(lambda: running.feed.last_success, passing=1.0)
        assert (await states(running))["acme"][0] == "ok"


async def test_account_that_never_read_anything_may_be_corrected(world: World) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "mistyped"
    world.vendor().failure = SourceDenied("unknown client")
    async with world.running() as running:
        await running.until(lambda: running.feed.denied)
        world.vendor().failure = None
        world.tenants["acme"]["sources"][0]["user"] = "right"
        world.vendor().add(1)
        await running.reload()
        await running.delivered(1)


async def test_one_off_run_fails_where_another_account_is_held(world: World) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "one"
    async with world.running() as running:
        await running.until(lambda: running.feed.last_success)
    world.tenants["acme"]["sources"][0]["user"] = "two"
    task = asyncio.create_task(run_once(world.config(), 10.0, world.clock))
    while not task.done():
        await world.clock.advance(0.5)
        await asyncio.sleep(0.001)

    assert task.result() is False


# -- a stopped daemon's state ----------------------------------------------------------------------------


async def test_state_of_a_stopped_daemon_is_purged_and_written_anew(world: World) -> None:
    two_tenants(world)
    world.vendor().add(*range(3))
    world.vendor("beta").add(4)
    async with world.running() as running:
        await running.delivered(4)
        await running.operations.pause_tenant("acme")

    assert await purge_stopped(world.config(), installed(), "acme") == 3

    async with world.running() as running:
        assert len(await left(running)) == 1
        world.vendor("beta").add(5)
        await running.delivered(5)
