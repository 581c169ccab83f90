from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import Any

import pytest
import structlog

from collector.app import engine as engine_module
from collector.app.engine import assembled, run, run_once
from collector.errors import (
    CollectorError,
    ConfigError,
    SinkUnavailable,
    SourceUnavailable,
    StoreError,
    StoreFull,
)
from collector.model import Checkpoint, Lane, Page
from collector.notify import Notifier
from collector.sinks.base import Batch, Receipt
from collector.store import Position, Store
from collector.testing import FakeClock, make_record
from collector.testing.clock import START
from tests.unit.app.plugins import RECEIVERS, MemorySink
from tests.unit.app.world import ACME, World, ids, once, stand_in, until


async def test_events_go_from_the_vendor_through_the_log_to_every_sink(world: World) -> None:
    world.sinks["second"] = {"type": "memory", "format": "raw"}
    world.vendor().add(*range(12))
    async with world.running() as running:
        await running.delivered(12)
        await running.delivered(12, "second")
        world.vendor().add(12)
        await running.delivered(13)

    assert ids(world.sink().lines) == list(range(13))
    assert world.sink("second").lines[0] == make_record(0).raw


async def test_restart_goes_on_where_it_stopped(world: World) -> None:
    world.vendor().add(*range(7))
    async with world.running() as running:
        await running.delivered(7)
    world.vendor().add(7)
    async with world.running() as running:
        await running.delivered(8)

    assert ids(world.sink().lines) == list(range(8))


async def test_stopping_polls_no_more_and_delivers_what_was_fetched(world: World) -> None:
    order: list[str] = []
    sink = world.sink()
    gate = asyncio.Event()

    async def slowly(batch: Batch) -> Receipt:
        await gate.wait()
        order.append(f"{len(batch)} delivered with {world.vendor().open} sources open")
        sink.accept(batch)
        return Receipt()

    stand_in(sink, "deliver", slowly)
    world.vendor().add(*range(20))
    async with world.running() as running:
        await running.until(lambda: running.engine.log.end.seq == 5)
        running.ask_to_stop()
        await running.until(lambda: not world.vendor().open)
        gate.set()
        await running.stop()

    assert ids(sink.lines) == list(range(20))
    assert all("with 0 sources" in line for line in order)
    assert sink.closed == 1


async def test_sink_that_hangs_holds_up_the_stop_for_eight_seconds_and_gets_its_events_after_the_restart(
    world: World,
) -> None:
    class Hanging(MemorySink):
        hangs = False

        async def deliver(self, batch: Batch) -> Receipt:
            self.hangs = True
            await asyncio.Event().wait()
            raise AssertionError

    world.vendor().add(1)
    RECEIVERS["archive"] = hanging = Hanging()
    with structlog.testing.capture_logs() as logs:
        async with world.running() as running:
            await running.until(lambda: hanging.hangs)
            began = world.clock.monotonic()
            await running.stop()
            took = world.clock.monotonic() - began

    assert 7.5 <= took <= 9.0
    assert [line["sinks"] for line in logs if "before everything was delivered" in line["event"]] == [["archive"]]
    RECEIVERS["archive"] = MemorySink()
    async with world.running() as running:
        await running.delivered(1)


async def test_batch_under_way_when_the_time_is_over_is_still_settled(world: World) -> None:
    sink = world.sink()
    deliver, calls = sink.deliver, 0

    async def slow(batch: Batch) -> Receipt:
        nonlocal calls
        calls += 1
        await running.engine.clock.sleep(3.6)
        return await deliver(batch)

    sink.limits = type(sink.limits)(max_events=1)
    stand_in(sink, "deliver", slow)
    world.vendor().add(*range(5))
    async with world.running() as running:
        await running.until(lambda: calls == 1)
        await running.stop()
        positions = {cursor.sink: cursor.position for cursor in await running.engine.store.cursors()}

    assert calls == 2
    assert positions == {"archive": Position(1, 2)}


async def test_sink_that_is_not_required_holds_up_no_stop(world: World) -> None:
    world.sinks["archive"]["required"] = False
    world.sink().script = [*[SinkUnavailable("down")] * 100]
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: world.sink().batches)
        began = world.clock.monotonic()
        await running.stop()

    assert world.clock.monotonic() - began <= 2.5


async def test_cursors_of_sinks_that_only_pass_over_are_stored_every_now_and_then_and_at_the_end(
    world: World,
) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.sinks["betas"] = {"type": "memory", "route": {"tenants": ["beta"]}}

    async def position(store: Store) -> Position:
        return next(cursor.position for cursor in await store.cursors() if cursor.sink == "betas")

    async with world.running() as running:
        await running.until(lambda: len(world.vendor().fetched) > 0)
        await running.settled()
        world.vendor().add(1)
        await running.delivered(1)
        for _ in range(30):
            await world.clock.advance(0.5)
            await running.quiet(2)
        assert await position(running.engine.store) == Position(2)
        world.vendor().add(2)
        await running.delivered(2)
        store = running.engine.store
        await running.stop()
        assert await position(store) == Position(3)


async def test_janitor_prunes_nothing_before_every_sink_has_its_claim(world: World) -> None:
    """At the start nobody claims the backlog yet: eight days of it must not be taken for delivered."""
    async with assembled(world.config(), world.clock) as engine:
        await engine.store.add_stream(ACME, "memory", "Memory")
        await engine.store.prepare_cursors({"archive": "earliest"}, {})
        for number, age in ((0, 8), (1, 0)):
            at = START - timedelta(days=age)
            page = Page([make_record(number)], Checkpoint(at), more=False, fetched_at=at)
            await engine.store.commit_page(ACME, Lane.TIP, page)
    world.vendor().failure = SourceUnavailable("503")
    world.sink().opening = SinkUnavailable("down")
    async with world.running() as running:
        await running.until(lambda: running.engine.janitor.looked_at > 0, passing=0.1)
        await running.quiet()
        world.sink().opening = None
        await running.delivered(2)

    assert ids(world.sink().lines) == [0, 1]


async def test_readiness_is_told_when_everything_runs_and_stopping_when_it_ends(world: World) -> None:
    told: list[str] = []

    class Recording(Notifier):
        def ready(self, status: str) -> None:
            told.append(f"ready: {status}")

        def stopping(self) -> None:
            told.append("stopping")

        def status(self, status: str) -> None:
            told.append("status")

    stop, reload = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(world.config(), stop, reload, world.clock, Recording()))
    await until(lambda: told)
    stop.set()
    while not task.done():
        await world.clock.advance(0.5)
        await asyncio.sleep(0.001)
    await task

    assert told[0].startswith("ready: 1 feeds")
    assert told[-1] == "stopping"


# -- what ends the daemon ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["settle", "commit_page", "usage", "checkpoint"])
async def test_state_that_cannot_be_trusted_ends_the_daemon_whichever_loop_meets_it(world: World, verb: str) -> None:
    world.vendor().add(1)

    async def damaged(*_: object, **__: object) -> None:
        raise StoreError("damaged")

    stop, reload = asyncio.Event(), asyncio.Event()
    async with assembled(world.config(), world.clock, stop) as engine:
        setattr(engine.store, verb, damaged)
        with pytest.raises(StoreError, match="damaged"):
            await asyncio.wait_for(engine_module._unwrapped(engine_module._run(engine, stop, reload)), 10)


async def test_crash_of_one_loop_ends_nothing(world: World) -> None:
    world.vendor().failure = ZeroDivisionError("a bug")
    async with world.running() as running:
        await running.until(lambda: world.vendor().fetched)
        await running.quiet()
        world.vendor().failure = None
        world.vendor().add(1)
        await running.delivered(1)


async def test_address_in_use_ends_the_start_with_a_clear_message_before_anything_is_fetched(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        world.top["admin"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        world.vendor().add(1)
        with pytest.raises(CollectorError, match=r"can't listen on 127\.0\.0\.1"):
            await run(world.config(), asyncio.Event(), asyncio.Event(), world.clock)

    assert world.vendor().fetched == []
    assert world.sink().states == []


async def test_two_daemons_on_one_state_the_second_refuses(world: World) -> None:
    async with world.running():
        with pytest.raises(StoreError, match="in use"):
            await run(world.config(), asyncio.Event(), asyncio.Event(), world.clock)


async def test_admin_server_answers_while_the_daemon_runs(world: World) -> None:
    world.top["admin"] = {"listen": "127.0.0.1:0"}
    with structlog.testing.capture_logs() as logs:
        async with world.running() as running:
            await running.until(lambda: any(line["event"] == "admin server listens" for line in logs))


def test_error_group_of_nothing_known_stays_a_group() -> None:
    async def fail() -> None:
        raise ExceptionGroup("group", [ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        asyncio.run(engine_module._unwrapped(fail()))


# -- room ---------------------------------------------------------------------------------------------


class NoRoom:
    """A volume that is full for a while, when the state is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        opening = Store.open

        def open_(*args: Any, **kwargs: Any) -> Any:
            if self.left:
                self.left -= 1
                raise StoreFull("no room for the state")
            return opening(*args, **kwargs)

        monkeypatch.setattr(Store, "open", open_)


async def test_full_volume_at_the_start_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    NoRoom(monkeypatch, 3)
    world.clock = FakeClock(hurry=True)
    async with assembled(world.config(), world.clock, asyncio.Event()) as engine:
        assert await engine.store.last_seq() == 0

    assert world.clock.slept == [10.0] * 3


async def test_daemon_that_waits_for_room_can_be_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    NoRoom(monkeypatch, 10**6)
    stop = asyncio.Event()
    task = asyncio.create_task(run(world.config(), stop, asyncio.Event(), world.clock))
    await until(lambda: world.clock.sleepers)
    stop.set()

    await asyncio.wait_for(task, 5)


async def test_one_off_run_does_not_wait_for_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    NoRoom(monkeypatch, 1)
    with pytest.raises(StoreFull):
        await run_once(world.config(), 60.0, world.clock)


async def test_volume_that_is_full_when_streams_are_made_known_is_waited_for(world: World) -> None:
    world.vendor().add(1)
    stop, reload = asyncio.Event(), asyncio.Event()
    async with assembled(world.config(), world.clock, stop) as engine:
        add, refused = engine.store.add_stream, 0

        async def refuse(*args: Any) -> None:
            nonlocal refused
            refused += 1
            if refused < 3:
                raise StoreFull("no room")
            await add(*args)

        stand_in(engine.store, "add_stream", refuse)
        task = asyncio.create_task(engine_module._run(engine, stop, reload))
        while not world.sink().lines:
            await world.clock.advance(1.0)
            await asyncio.sleep(0.001)
        stop.set()
        while not task.done():
            await world.clock.advance(1.0)
            await asyncio.sleep(0.001)

    assert refused == 3


# -- names and types ------------------------------------------------------------------------------------


async def test_start_is_refused_when_a_sink_with_a_backlog_is_gone(world: World) -> None:
    world.vendor().add(*range(3))
    world.sink().opening = SinkUnavailable("down")
    assert not await once(world, 1.0)
    world.sinks = {"other": {"type": "memory"}}

    with pytest.raises(ConfigError, match="3 events wait for it"):
        await once(world)

    world.sinks["other"]["renamed_from"] = "archive"
    assert await once(world)
    assert ids(world.sink("other").lines) == [0, 1, 2]


async def test_sink_that_is_gone_and_had_everything_is_forgotten(world: World) -> None:
    world.vendor().add(1)
    assert await once(world)
    world.sinks = {"other": {"type": "memory"}}
    assert await once(world)

    async with assembled(world.config(), world.clock) as engine:
        assert [cursor.sink for cursor in await engine.store.cursors()] == ["other"]


async def test_renamed_tenants_and_sources_keep_their_ids_and_positions(world: World) -> None:
    world.vendor().add(1, 2)
    assert await once(world)
    world.tenants = {
        "acme-oy": {
            "renamed_from": "acme",
            "sources": [{"type": "memory", "name": "edr", "renamed_from": "memory", "feeds": ["alerts"]}],
        }
    }
    world.vendor("acme-oy", "edr").add(1, 2, 3)
    assert await once(world)

    assert ids(world.sink().lines) == [1, 2, 3]


async def test_name_that_belongs_to_another_type_is_refused(world: World) -> None:
    world.vendor().add(1)
    assert await once(world)
    world.tenants["acme"]["sources"][0] = {"type": "other", "name": "memory", "feeds": ["alerts"]}

    with pytest.raises(ConfigError, match="is of type memory in the state, not other"):
        await once(world)
