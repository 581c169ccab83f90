from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.errors import CollectorError, SourceDenied, StoreFull
from collector.metrics import METRICS
from collector.model import Gap, Lane, Page
from collector.sinks.base import Batch, Receipt
from collector.store import Position, Store
from collector.testing.clock import START
from tests.unit.app.world import Running, World, ids, stand_in


def reject(*positions: int) -> Callable[[Batch], Receipt]:
    return lambda batch: Receipt(rejected={i: "field too long" for i in positions if i < len(batch)})


async def letters(running: Running, count: int) -> list[dict[str, Any]]:
    """The first dead letters, once there are so many."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        await running.quiet(1)
        found = await running.operations.dead_letters(None, 100)
    return found


async def first_of(lines: AsyncIterator[bytes]) -> bytes:
    return await anext(lines)


# -- status and health --------------------------------------------------------------------------------


async def test_status_tells_of_every_feed_and_sink(world: World) -> None:
    world.vendor().add(*range(3))
    world.vendor().add(3, raw=b'{"broken":1}')
    world.vendor().add(4, raw=b'{"surprise":1}')
    async with world.running() as running:
        await running.delivered(5)
        await running.settled()
        archive = running.engine.delivering.deliveries["archive"].status
        await running.until(lambda: not archive.backlog_events, passing=1.0)
        status = await running.operations.status()

    assert (status["pid"], status["state"]["polling"]) == (os.getpid(), "running")
    assert status["state"]["path"].endswith("collector.db")
    assert status["state"]["bytes"] > 0
    assert status["unknown_fields"] == {"memory:surprise": 1}
    assert status["warnings"] == []
    feed, sink = status["feeds"][0], status["sinks"][0]
    assert (feed["tenant"], feed["state"], feed["events"], feed["unparsed"], feed["gaps"]) == ("acme", "ok", 5, 1, 0)
    assert feed["unknown_fields"] == {"surprise": 1}
    assert feed["last_event"] == feed["watermark"] == "2026-11-22T10:11:12.345Z"
    assert (sink["sink"], sink["state"], sink["delivered"], sink["backlog_events"]) == ("archive", "ok", 5, 0)
    json.dumps(status)


async def test_status_tells_what_is_wrong(world: World) -> None:
    world.vendor().failure = SourceDenied("wrong client secret")
    async with world.running() as running:
        await running.until(lambda: running.feed.errors)
        feed = (await running.operations.status())["feeds"][0]
        assert (feed["state"], feed["last_error"], feed["errors"]) == ("denied", "wrong client secret", 1)

        running.engine.gate.close("disk full", {})
        status = await running.operations.status()
        assert status["state"]["polling"] == "paused: disk full"
        assert (status["feeds"][0]["state"], status["feeds"][0]["last_error"]) == ("paused", "disk full")
        running.engine.gate.close(None, {})


async def test_status_warns_of_a_clock_that_is_off_and_counts_gaps(world: World) -> None:
    fetch = world.vendor().fetch
    gap = Gap(START, START + timedelta(seconds=1), "can't be read")

    async def off(*args: Any) -> Page:
        return replace(await fetch(*args), clock_skew=95.0, gaps=[gap])

    stand_in(world.vendor(), "fetch", off)
    async with world.running() as running:
        await running.until(lambda: running.feed.last_success)
        status = await running.operations.status()

    assert status["warnings"] == ["acme/memory/alerts: this host's clock and the vendor's are +95 s apart"]
    assert status["feeds"][0]["gaps"] == 1


async def test_ready_once_the_state_was_looked_at_and_only_while_that_goes_on(world: World) -> None:
    async with world.running() as running:
        janitor, health = running.engine.janitor, running.operations.health
        await running.until(lambda: janitor.looked_at > 0)
        assert await health() == {"live": True, "ready": True, "reasons": []}

        janitor.looked_at = float("-inf")
        assert (await health())["reasons"] == ["the state has not been looked at yet"]
        janitor.looked_at = world.clock.monotonic() - 61
        assert (await health())["reasons"] == ["the state was last looked at 61 s ago"]
        janitor.trouble = "no room for the state"
        assert await health() == {"live": True, "ready": False, "reasons": ["no room for the state"]}


async def test_volume_that_is_full_makes_unready_until_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.running() as running:
        await running.until(lambda: running.engine.janitor.looked_at > 0)
        usage = running.engine.store.usage

        async def full() -> None:
            raise StoreFull("no room for the state")

        stand_in(running.engine.store, "usage", full)
        await running.until(lambda: running.engine.janitor.trouble, passing=0.5)
        assert (await running.operations.health())["ready"] is False
        stand_in(running.engine.store, "usage", usage)
        await running.until(lambda: running.engine.janitor.trouble is None, passing=0.5)
        assert (await running.operations.health())["ready"] is True


async def test_status_warns_of_what_a_source_lacks_while_it_runs(world: World) -> None:
    warning = "acme/memory: device names are not available"
    async with world.running() as running:
        await running.until(lambda: running.feed.last_success)
        world.vendor().lacking = ["device names are not available"]
        assert warning in (await running.operations.status())["warnings"]
        del world.tenants["acme"]
        world.tenants["other"] = {"sources": [{"type": "memory"}]}
        world.write()
        await running.operations.reload()
        assert warning not in (await running.operations.status())["warnings"]


async def test_lag_of_a_feed_that_is_denied_grows_in_status_and_metrics(world: World) -> None:
    world.vendor().add(0)
    async with world.running() as running:
        await running.until(lambda: running.feed.last_success)
        running.feed.vendor_time, running.feed.answered_at = running.feed.watermark, world.clock.monotonic()
        world.vendor().failure = SourceDenied("no licence")
        await running.until(lambda: running.feed.denied, passing=10.0)
        before = (await running.operations.status())["feeds"][0]["lag_seconds"]
        await world.clock.advance(240.0)
        after = (await running.operations.status())["feeds"][0]["lag_seconds"]

        assert running.feed.denied
        assert after == before + 240.0
        labels = {"tenant": "acme", "source": "memory", "feed": "alerts"}
        told = METRICS.registry.get_sample_value("edr_collector_feed_lag_seconds", labels)
        assert told is not None
        assert after - 15.0 <= told <= after


async def test_receiver_and_vendor_that_are_down_make_nobody_unready(world: World) -> None:
    world.vendor().failure = SourceDenied("no licence")
    async with world.running() as running:
        await running.until(lambda: running.engine.janitor.looked_at > 0)
        assert (await running.operations.health())["ready"] is True


# -- tail -------------------------------------------------------------------------------------------------


async def test_tail_gives_events_as_they_enter_the_log(world: World) -> None:
    world.vendor().add(0)
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    async with world.running() as running:
        await running.delivered(1)
        everything: list[bytes] = []
        betas: list[bytes] = []

        async def follow(tenant: str | None, form: str, into: list[bytes]) -> None:
            async for line in running.operations.tail(tenant, form):
                into.append(line)  # noqa: PERF401 -- as they come

        tasks = [
            asyncio.create_task(follow(None, "json", everything)),
            asyncio.create_task(follow("beta", "raw", betas)),
        ]
        await running.quiet(3)
        world.vendor().add(1)
        world.vendor("beta").add(2)
        await running.until(lambda: len(everything) == 2 and betas, passing=1.0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert sorted(ids(everything)) == [1, 2]
        assert betas == [world.vendor("beta").records["alerts"][0].raw]
        assert len(running.engine.log._readers) == 1


async def test_tail_that_is_closed_leaves_nothing_behind(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        async with aclosing(running.operations.tail(None, "json")) as lines:  # type: ignore[type-var]
            task = asyncio.create_task(first_of(lines))
            await running.quiet(3)
            world.vendor().add(1)
            await running.until(task.done, passing=1.0)
        assert len(running.engine.log._readers) == 1


async def test_slow_reader_of_a_tail_misses_events_rather_than_read_the_disk(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        running.engine.log._max_tail_bytes = 3000
        lines = running.operations.tail(None, "json")
        first = asyncio.create_task(first_of(lines))
        await running.quiet(3)
        world.vendor().add(0)
        await running.until(first.done, passing=1.0)
        world.vendor().add(*range(1, 41))
        await running.delivered(41)

        async def never(*_: object) -> None:
            raise AssertionError

        stand_in(running.engine.store, "read", never)
        seen = ids([await asyncio.wait_for(anext(lines), 5) for _ in range(3)])

    assert seen[0] > 1


async def test_tail_of_what_does_not_exist_is_refused_at_once(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    async with world.running() as running:
        with pytest.raises(CollectorError, match="no format xml"):
            running.operations.tail(None, "xml")
        with pytest.raises(CollectorError, match="no tenant gamma"):
            running.operations.tail("gamma", "json")
        running.operations.tail("acme-fi", "json")


# -- dead letters ------------------------------------------------------------------------------------------


async def test_dead_letters_are_listed_shown_and_sent_again(world: World) -> None:
    world.sink().script = [reject(0, 2)]
    world.vendor().add(*range(4))
    async with world.running() as running:
        found = await letters(running, 2)
        assert [letter["event_id"] for letter in found] == ["event-0", "event-2"]
        assert {letter["reason"] for letter in found} == {"field too long"}
        assert (await running.operations.dead_letter(found[0]["id"]))["record"].startswith('{"id":"event-0"')
        assert await running.operations.dead_letters("other", 100) == []
        with pytest.raises(CollectorError, match="no dead letter 99"):
            await running.operations.dead_letter(99)

        assert await running.operations.retry_dead_letters(None, [found[1]["id"], 99]) == 1
        await running.delivered(3)
        assert await running.operations.retry_dead_letters("archive", None) == 1
        await running.delivered(4)
        await running.settled()

        assert sorted(ids(world.sink().lines)) == [0, 1, 2, 3]
        assert await running.operations.dead_letters(None, 100) == []
        assert (await running.operations.status())["sinks"][0]["dead_letters"] == 0


async def test_dead_letters_asked_for_twice_are_sent_once(world: World) -> None:
    world.sink().script = [reject(0)]
    world.vendor().add(0)
    async with world.running() as running:
        await letters(running, 1)
        for _ in range(3):
            await running.operations.retry_dead_letters(None, None)
        await running.delivered(1)
        await running.settled()
        await running.quiet()

    assert ids(world.sink().lines) == [0]


async def test_dropped_dead_letters_are_gone_and_a_sink_full_of_them_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.pipeline.delivery.MAX_DEAD_LETTERS", 2)
    world.sink().script = [reject(0, 1)]
    world.vendor().add(*range(2))
    async with world.running() as running:
        found = await letters(running, 2)
        status = running.engine.delivering.deliveries["archive"].status
        world.vendor().add(2)
        await running.until(lambda: status.state == "held", passing=1.0)

        assert await running.operations.drop_dead_letters("archive", [found[0]["id"]]) == 1
        assert await running.operations.drop_dead_letters(None, None) == 1
        await running.until(lambda: world.sink().lines, passing=1.0)

        assert status.dead_letters == 0
        assert await running.operations.dead_letters(None, 100) == []


async def test_dead_letters_of_a_sink_that_is_not_configured_are_refused(world: World) -> None:
    async with world.running() as running:
        with pytest.raises(CollectorError, match="no sink other"):
            await running.operations.retry_dead_letters("other", None)
        with pytest.raises(CollectorError, match="no sink other"):
            await running.operations.drop_dead_letters("other", None)


async def test_restart_knows_how_many_dead_letters_there_are_before_it_delivers(world: World) -> None:
    world.sink().script = [reject(0)]
    world.vendor().add(0)
    async with world.running() as running:
        await letters(running, 1)
    async with world.running() as running:
        await running.until(lambda: "archive" in running.engine.delivering.deliveries)
        assert running.engine.delivering.deliveries["archive"].status.dead_letters == 1


# -- the rest ------------------------------------------------------------------------------------------------


async def test_checkpoints_show_positions_without_tokens(world: World) -> None:
    async with world.running() as running:
        await running.until(lambda: running.feed.last_success)
        rows = await running.operations.checkpoints()

    assert [(row["lane"], row["watermark"], row["run"], row["job"]) for row in rows] == [
        (Lane.TIP, "2026-11-22T10:11:12.345Z", False, None)
    ]
    assert rows[0]["state"]["next"] == 0


async def test_backup_is_a_state_of_its_own(world: World, tmp_path: Path) -> None:
    world.vendor().add(0)
    async with world.running() as running:
        await running.delivered(1)
        await running.settled()
        target = tmp_path / "copy.db"
        assert await running.operations.backup(str(target)) == {"path": str(target)}

    async with Store.open(target, max_size=1 << 30, clock=world.clock) as copy:
        assert await copy.last_seq() == 1
        assert [cursor.position for cursor in await copy.cursors()] == [Position(2)]
