"""Random receipts over several batches in flight, held to what delivery promises."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from collector.errors import SinkDenied, SinkUnavailable
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.store import Position, Store
from collector.testing import FakeClock, RecordingSink
from tests.unit.pipeline.workbench import BETA, Workbench, ids, until

EVENTS = 120


class Moody(RecordingSink):
    """Takes, refuses, defers, fails, late or at once; knows what it has, and what it told that it has."""

    def __init__(self, draw: random.Random, *, certain_after: float | None) -> None:
        super().__init__(BatchLimits(max_events=draw.randint(1, 9)), max_in_flight=draw.choice([1, 2, 4, 16]))
        self._draw = draw
        self._certain_after = certain_after
        self.trouble = draw.choice([0.0, 0.2, 0.5])
        self.under_way = 0
        self.most = 0
        self.taken: list[int] = []
        self.told: set[int] = set()
        self.in_doubt: set[int] = set()
        self.settled: set[int] = set()
        self.again: list[int] = []

    async def deliver(self, batch: Batch) -> Receipt:
        numbers = ids(list(batch.payloads))
        assert not self.settled & set(numbers), "sent again although it was settled"
        self.again += [number for number in numbers if number in self.told and self._certain_after is None]
        self.under_way += bool(numbers)  # a question may be asked beside them
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(self._draw.choice([0, 0, 1, 5, 30])):
                await asyncio.sleep(0)
            return self._answer(numbers)
        finally:
            self.under_way -= bool(numbers)

    def _answer(self, numbers: list[int]) -> Receipt:
        if self._draw.random() < self.trouble / 2:
            self.taken += [number for number in numbers if self._draw.random() < 0.5]  # and nobody knows
            self.in_doubt |= set(numbers)
            raise self._draw.choice([SinkUnavailable("down"), SinkUnavailable("busy", 3.0), SinkDenied("no")])
        rejected, deferred = {}, set()
        for index in range(len(numbers)):
            if self._draw.random() < self.trouble / 4:
                rejected[index] = "bad"
            elif self._draw.random() < self.trouble / 2:
                deferred.add(index)
        taken = [number for index, number in enumerate(numbers) if index not in rejected and index not in deferred]
        self.taken += taken
        self.told |= set(taken)
        return Receipt(rejected, frozenset(deferred), certain_after=self._certain_after)


class Watched:
    """A store that looks, whenever a cursor moves, whether everything before it has arrived or is a dead letter."""

    def __init__(self, store: Store, sink: Moody, numbers: dict[Position, int]) -> None:
        self._store = store
        self._sink = sink
        self._numbers = numbers
        self.refused: set[int] = set()
        self.last = Position(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, sink: str, destination: str, position: Position, **rest: Any) -> None:
        assert position >= self.last, "the cursor went back"
        self.last = position
        self.refused |= {int(letter.event_id.removeprefix("event-")) for letter in rest.get("dead_letters", ())}
        before = {number for where, number in self._numbers.items() if where < position}
        missing = before - set(self._sink.taken) - self.refused
        assert not missing, f"the cursor passed {sorted(missing)}"
        await self._store.settle(sink, destination, position, **rest)
        self._sink.settled |= before


@pytest.mark.parametrize("certain_after", [None, 2.0], ids=["at_once", "after_a_while"])
@pytest.mark.parametrize("seed", range(25))
async def test_nothing_is_lost_and_only_what_is_in_doubt_comes_again(
    store: Store, clock: FakeClock, seed: int, certain_after: float | None
) -> None:
    draw = random.Random(seed)
    sink = Moody(draw, certain_after=certain_after)
    async with Workbench(store, clock) as bench:
        numbers: dict[Position, int] = {}
        watched = Watched(store, sink, numbers)
        delivery, task = None, None
        seq = 1
        crashes = 0
        while bench.numbers < EVENTS:
            count = draw.randint(1, 12)
            numbers |= {Position(seq, offset): bench.numbers + offset for offset in range(count)}
            await bench.append(count, *([BETA] if draw.random() < 0.3 else []))
            seq += 1
            if delivery is None or draw.random() < 0.1:
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                    await store.last_seq()  # what was queued is written
                    sink.told &= sink.settled  # a new process knows what was settled, and no more
                    crashes += 1
                    settled = await bench.position()
                    watched.last = settled
                delivery = await bench.delivery(sink, volume=watched)  # type: ignore[arg-type]  # stands in for the store
                task = bench.run(delivery.run())
            await asyncio.sleep(draw.choice([0, 0, 0.002]))
        sink.trouble = min(sink.trouble, 0.2) if certain_after is None else 0.0
        await until(
            lambda: task is not None and (task.done() or (delivery is not None and delivery.settled.seq == seq))
        )

        assert task is not None
        assert not task.done(), task.exception()
        assert set(sink.taken) | watched.refused == set(range(bench.numbers))
        assert sink.again == []
        assert sink.most <= sink.max_in_flight
        if certain_after is None and not crashes:
            doubles = {number for number in sink.taken if sink.taken.count(number) > 1}
            assert doubles <= sink.in_doubt
