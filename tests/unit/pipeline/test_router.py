"""Destinations that show up, and crashes at any moment."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from collector.errors import StoreFull
from collector.pipeline.delivery import Delivery
from collector.pipeline.events import TenantView
from collector.pipeline.naming import Naming
from collector.pipeline.receiver import Receiver
from collector.pipeline.router import Router, is_router_state, must_begin_anew, signatures
from collector.pipeline.status import SinkStatus
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.store import Cursor, Position
from collector.testing import RecordingConfig, RecordingSink, recording_plugin
from tests.unit.pipeline.workbench import ACME, BETA, Route, Workbench, ids, quiet, until

VIEW = TenantView({}, {})


class Indices(RecordingSink):
    """Remembers what arrived where, and lets nothing be delivered once more that was settled."""

    def __init__(self) -> None:
        super().__init__(BatchLimits(max_events=4), max_in_flight=2)
        self.got: dict[str, list[int]] = {}

    async def deliver(self, batch: Batch) -> Receipt:
        await asyncio.sleep(0)
        self.got.setdefault(batch.destination, []).extend(ids(list(batch.payloads)))
        return Receipt()

    def total(self) -> int:
        return len({number for numbers in self.got.values() for number in numbers})


class Harness:
    """A router with its deliveries, as the app would run them; `crash` and `start` as often as wanted."""

    def __init__(self, bench: Workbench, sink: Indices, text: str = "edr-{tenant}") -> None:
        self.bench = bench
        self.sink = sink
        self.naming = Naming(text, lambda _tenant: VIEW)
        self.tasks: list[asyncio.Task[None]] = []
        self.store: Any = bench.store
        self.router: Router

    async def start(self) -> Router:
        cursors = await self.bench.store.prepare_cursors({"elastic": "earliest"}, {})
        stage = Route().stage
        receiver = Receiver("elastic", recording_plugin(self.sink), RecordingConfig(), stage, required=True)
        bench = self.bench
        self.router = Router(receiver, self.naming, cursors, self.store, bench.log, bench.events, bench.clock, self)
        self.tasks.append(bench.run(self.router.run()))
        return self.router

    def open_(self, receiver: Receiver, cursor: Cursor, /) -> Delivery:
        bench = self.bench
        status = SinkStatus("elastic", cursor.destination)
        delivery = Delivery(receiver, cursor, bench.store, bench.log, bench.events, bench.clock, status)
        self.tasks.append(bench.run(delivery.run()))
        return delivery

    async def close(self, delivery: Delivery, /) -> None:
        delivery.stop()
        await until(lambda: delivery.stopped)

    def let_go(self, delivery: Delivery, /) -> None:
        delivery.close()

    async def crash(self) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        self.tasks.clear()
        await self.bench.store.last_seq()


@pytest.mark.parametrize("text", ["edr-{tenant}", "edr-{organization}-{tenant}"], ids=["by_stream", "by_event"])
@pytest.mark.parametrize("seed", range(12))
async def test_crashes_at_any_moment_lose_nothing_and_repeat_nothing_settled(
    bench: Workbench, seed: int, text: str
) -> None:
    draw = random.Random(seed)
    sink = Indices()
    harness = Harness(bench, sink, text)
    await harness.start()
    tenants: dict[int, str] = {}
    for _ in range(40):
        stream = draw.choice([ACME, BETA])
        count = draw.randint(1, 6)
        tenants |= dict.fromkeys(range(bench.numbers, bench.numbers + count), stream.tenant)
        await bench.append(count, stream)
        if draw.random() < 0.3:
            await bench.store.pass_over([*harness.router.passed()])
        if draw.random() < 0.2:
            for _ in range(draw.randint(0, 8)):
                await asyncio.sleep(0)
            await harness.crash()
            settled = {cursor.destination: cursor.position for cursor in await bench.store.cursors()}
            assert all(position <= bench.log.end for position in settled.values())
            await harness.start()
    await until(lambda: sink.total() == bench.numbers)

    for destination, numbers in sink.got.items():
        assert {tenants[number] for number in numbers} == {destination.rpartition("-")[2]}
        assert list(dict.fromkeys(numbers)) == sorted(set(numbers)), "out of order"


async def test_new_destinations_cursor_is_stored_together_with_the_routers(bench: Workbench) -> None:
    harness = Harness(bench, Indices())
    await bench.append(1)
    await bench.append(1, BETA)
    await harness.start()
    await until(lambda: len(harness.router.deliveries) == 2)
    await harness.crash()

    cursors = {cursor.destination: cursor for cursor in await bench.store.cursors()}
    assert cursors["edr-acme"].position >= Position(1)
    assert cursors["edr-beta"].position >= Position(2)
    assert cursors[""].position == Position(3)
    assert set(signatures(cursors[""].state)) == {str(ACME), str(BETA)}


async def test_full_volume_opens_nothing_and_passes_nothing(bench: Workbench) -> None:
    class Full:
        full = True

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.store, name)

        async def open_destinations(self, *args: Any) -> None:
            await asyncio.sleep(0)
            if self.full:
                raise StoreFull("no room")
            await bench.store.open_destinations(*args)

    sink = Indices()
    harness = Harness(bench, sink)
    harness.store = volume = Full()
    await bench.append(1)
    router = await harness.start()
    await until(lambda: router.status.errors > 2)
    assert router.deliveries == {}
    assert router.holds == Position(1)
    assert (router.status.state, router.status.last_error) == ("backing_off", "no room")

    volume.full = False
    await until(lambda: sink.total() == 1)
    assert router.status.state == "ok"


async def test_router_holds_the_log_until_it_has_seen_it(bench: Workbench) -> None:
    harness = Harness(bench, Indices())
    router = await harness.start()
    await quiet(3)
    harness.tasks[0].cancel()
    await bench.append(1)
    await bench.append(1)

    assert not router.idle
    assert router.holds == Position(1)


async def test_closed_destinations_pass_over_with_the_router_and_in_one_go(bench: Workbench) -> None:
    sink = Indices()
    harness = Harness(bench, sink)
    await bench.append(1)
    router = await harness.start()
    await until(lambda: router.deliveries and router.deliveries["edr-acme"].settled == Position(2))
    await router._close_idle(0.0)
    assert router.deliveries == {}
    await bench.append(1, BETA)
    await until(lambda: sink.total() == 2)

    await bench.store.pass_over(router.passed())
    cursors = {cursor.destination: cursor.position for cursor in await bench.store.cursors()}
    assert cursors["edr-acme"] == cursors[""] == Position(3)


async def test_cursors_never_go_back_when_passed_over(bench: Workbench) -> None:
    await bench.store.settle("elastic", "edr-acme", Position(5, 3), state=b"s")
    await bench.store.pass_over([Cursor("elastic", "edr-acme", Position(5, 2), None)])
    await bench.store.pass_over([Cursor("elastic", "nobody", Position(9), None)])
    (kept,) = await bench.store.cursors()
    assert (kept.position, kept.state) == (Position(5, 3), b"s")

    await bench.store.pass_over([Cursor("elastic", "edr-acme", Position(6), None)])
    assert (await bench.store.cursors())[0].position == Position(6)


def test_state_of_a_sink_is_told_from_that_of_a_router() -> None:
    assert not is_router_state(None)
    assert not is_router_state(b'{"channel": 1}')
    assert signatures(b"\xff") == {}


def test_streams_that_are_new_change_nothing_and_those_that_are_gone_do() -> None:
    name = Naming("{tenant}", lambda _tenant: VIEW)
    state = b'router1\n{"%s":"%s"}' % (str(ACME).encode(), name.signature(ACME).encode())

    assert not must_begin_anew(state, name, [ACME, BETA])
    assert must_begin_anew(state, name, [BETA])
    assert must_begin_anew(state, Naming("x-{tenant}", lambda _tenant: VIEW), [ACME])
    assert not must_begin_anew(None, name, [ACME])
