"""One run over all feeds, for cron: what counts as a failure."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
import structlog

from collector.app.engine import run_once
from collector.errors import (
    NotLicensed,
    PageRefused,
    SinkUnavailable,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
    StoreError,
)
from collector.sinks.base import Batch, Receipt
from collector.store import Store
from tests.unit.app.world import World, ids, once, stand_in, until


async def test_once_reads_every_feed_and_delivers_and_is_content(world: World) -> None:
    world.tenants["acme"]["sources"][0]["feeds"] = ["alerts", "incidents"]
    world.vendor().add(*range(7))
    world.vendor().add(7, feed="incidents")
    assert await once(world)
    assert sorted(ids(world.sink().lines)) == list(range(8))

    world.vendor().add(8)
    assert await once(world)
    assert sorted(ids(world.sink().lines)) == list(range(9))


async def test_once_delivers_what_other_feeds_gave_and_says_that_one_failed(world: World) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.vendor().failure = SourceDenied("wrong client secret")
    world.vendor("beta").add(1)
    with structlog.testing.capture_logs() as logs:
        assert not await once(world)

    assert ids(world.sink().lines) == [1]
    assert [(line["tenant"], line["error"]) for line in logs if "could not be read" in line["event"]] == [
        ("acme", "wrong client secret")
    ]


async def test_once_warns_of_a_feed_that_is_not_licensed_where_another_is(world: World) -> None:
    world.tenants["acme"]["sources"][0]["feeds"] = ["alerts", "incidents"]
    world.vendor().failing["incidents"] = NotLicensed("no subscription")
    world.vendor().add(1)
    with structlog.testing.capture_logs() as logs:
        assert await once(world)

    assert ids(world.sink().lines) == [1]
    told = [(line["log_level"], line["event"]) for line in logs if line.get("error") == "no subscription"]
    assert told == [("warning", "feed denied"), ("warning", "a feed is not licensed")]


@pytest.mark.parametrize(
    "failing",
    [
        {"alerts": NotLicensed("no"), "incidents": NotLicensed("no")},
        {"alerts": SourceUnavailable("down"), "incidents": NotLicensed("no")},
        {"incidents": SourceDenied("wrong client secret")},
        {"incidents": SourceProtocolError("what is this")},
    ],
    ids=["none-licensed", "other-down", "denied", "unreadable"],
)
async def test_once_fails_where_more_than_a_licence_is_lacking(world: World, failing: dict[str, SourceError]) -> None:
    world.tenants["acme"]["sources"][0]["feeds"] = ["alerts", "incidents"]
    world.vendor().failing.update(failing)

    assert not await once(world)


async def test_once_says_that_a_source_could_not_be_opened(world: World) -> None:
    world.vendor().opening = SourceUnavailable("no address")
    assert not await once(world)


async def test_once_says_that_a_required_sink_did_not_finish_in_time(world: World) -> None:
    world.vendor().add(1)
    world.sink().opening = SinkUnavailable("down")
    began = world.clock.monotonic()
    assert not await once(world, 20.0)
    assert 20.0 <= world.clock.monotonic() - began <= 25.0

    world.sink().opening = None
    assert await once(world)
    assert ids(world.sink().lines) == [1]


async def test_once_waits_for_no_sink_that_is_not_required(world: World) -> None:
    world.sinks["archive"]["required"] = False
    world.sink().opening = SinkUnavailable("down")
    world.vendor().add(1)

    assert await once(world)


async def test_once_with_a_page_that_cannot_be_stored_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise PageRefused("can't be stored")

    monkeypatch.setattr(Store, "commit_page", refuse)
    world.vendor().add(1)
    assert not await once(world)


async def test_once_ends_with_a_state_that_cannot_be_trusted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def damaged(*_: object) -> None:
        raise StoreError("damaged")

    monkeypatch.setattr(Store, "commit_page", damaged)
    world.vendor().add(1)
    with pytest.raises(StoreError):
        await once(world)


async def test_cancelled_once_ends_and_loses_nothing(world: World) -> None:
    gate = asyncio.Event()
    deliver = world.sink().deliver

    async def slow(batch: Batch) -> Receipt:
        await gate.wait()
        return await deliver(batch)

    stand_in(world.sink(), "deliver", slow)
    world.vendor().add(1)
    task = asyncio.create_task(run_once(world.config(), 60.0, world.clock))
    await until(lambda: world.sink().states)
    await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()

    gate.set()
    assert await once(world)
    assert ids(world.sink().lines) == [1]
