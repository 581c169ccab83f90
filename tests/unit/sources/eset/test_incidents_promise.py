"""Incidents that change at random while they are polled, against the promise: every state a poll saw, and the last."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from collector.errors import CheckpointExpired, SourceError
from collector.model import Record
from tests.unit.sources.eset.incident_vendor import Asked, Bench, Reading

State = tuple[str, str, str, tuple[str, ...], tuple[str, ...]]
STATUSES = ["INCIDENT_STATUS_OPEN", "INCIDENT_STATUS_IN_PROGRESS", "INCIDENT_STATUS_WAITING_FOR_INPUT"]
CLOSED = "INCIDENT_STATUS_CLOSED"


def state_of(record: Record) -> State:
    incident = json.loads(record.raw)
    comments = json.loads(record.extra or b'{"comments":[]}')["comments"]
    names = tuple(comment["uuid"] for comment in comments)
    return _state(incident, names)


def _state(incident: dict[str, Any], comments: tuple[str, ...]) -> State:
    return (
        incident["uuid"],
        incident["updateTime"],
        incident["status"],
        tuple(incident["detectionUuids"]),
        comments,
    )


class World:
    """A vendor in motion, read by a feed that crashes, and what was delivered of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.it = Bench(reread_open="10m", start_from="1h")
        self.vendor = self.it.vendor
        self.delivered: Counter[State] = Counter()
        self.been: set[State] = set()
        self.reading = Reading()
        self.trouble = 0.0
        self.hidden: set[str] = set()
        self.vendor.always.append(self._trouble)

    def now(self, uuid: str) -> State:
        incident = self.vendor.incidents[uuid]
        names = tuple(comment["uuid"] for comment in self.vendor.comments.get(uuid, []))
        return _state(incident, names)

    def change(self) -> None:
        draw = self.random
        uuids = [uuid for uuid in self.vendor.incidents if self.vendor.incidents[uuid]["status"] != CLOSED]
        if not uuids or draw.random() < 0.3:
            uuid = f"i-{len(self.vendor.incidents):03}"
            self.vendor.put(uuid)
            hidden = False
        else:
            uuid = draw.choice(uuids)
            old = self.vendor.incidents[uuid]
            kind = draw.randrange(4)
            hidden = kind == 3
            match kind:
                case 0:
                    self.vendor.put(uuid, status=draw.choice([*STATUSES, CLOSED]))
                case 1:
                    self.vendor.comment(uuid, f"k-{draw.random()}")
                    self.vendor.put(uuid)
                case 2:
                    self.vendor.put(uuid, detectionUuids=[*old["detectionUuids"], f"d-{draw.random()}"])
                case _:  # a member joins, and nothing tells
                    detections = [*old["detectionUuids"], f"d-{draw.random()}"]
                    self.vendor.incidents[uuid] = {**old, "detectionUuids": detections}
        self.been.add(self.now(uuid))
        (self.hidden.add if hidden else self.hidden.discard)(uuid)

    def _trouble(self, asked: Asked) -> tuple[int, bytes] | None:
        draw = self.random
        if draw.random() < self.trouble / 2 and not asked.is_list:
            self.change()
        if draw.random() >= self.trouble:
            return None
        return draw.choice([(500, b""), (503, b""), (200, b'{"incidents":['), (200, b"<html>"), (400, b"")])

    async def poll(self) -> None:
        for _ in range(2000):
            try:
                page = await self.it.fetch(self.reading.checkpoint)
            except CheckpointExpired as exc:
                self.reading.checkpoint = exc.resume
                continue
            except SourceError:
                await self.it.clock.advance(2)
                continue
            if self.random.random() < self.trouble:  # the page was not stored
                if self.random.random() < 0.5:
                    self.it.restart()
                continue
            stored = {record.id: record for record in page.records}
            for name in dict.fromkeys(self.it.take(self.reading, page)):
                self.delivered[state_of(stored[name])] += 1
            if not page.more:
                return
            await self.it.clock.advance(page.retry_after or 0.0)
        raise AssertionError("never caught up")


@pytest.mark.parametrize("seed", range(12))
async def test_every_state_that_a_poll_saw_comes_once_and_the_last_always(seed: int) -> None:
    world = World(seed)
    world.vendor.slow = seed % 3 == 2
    for _ in range(25):
        for _ in range(world.random.randrange(4)):
            world.change()
        await world.poll()
        assert set(world.delivered) <= world.been
        told = {world.now(uuid) for uuid in world.vendor.incidents if uuid not in world.hidden}
        assert told <= set(world.delivered)
        await world.it.clock.advance(60)

    for _ in range(25):
        await world.it.clock.advance(60)
        await world.poll()
    open_ones = {uuid for uuid, value in world.vendor.incidents.items() if value["status"] != CLOSED}
    assert {world.now(uuid) for uuid in open_ones} <= set(world.delivered)
    assert set(world.delivered.values()) <= {1}


@pytest.mark.parametrize("seed", range(12))
async def test_failures_and_crashes_lose_no_last_state(seed: int) -> None:
    world = World(1000 + seed)
    world.trouble = 0.1
    for _ in range(12):
        for _ in range(world.random.randrange(4)):
            world.change()
        await world.poll()
        await world.it.clock.advance(60)

    world.trouble = 0.0
    for _ in range(30):
        await world.it.clock.advance(60)
        await world.poll()
    open_ones = {uuid for uuid, value in world.vendor.incidents.items() if value["status"] != CLOSED}
    assert {world.now(uuid) for uuid in open_ones} <= set(world.delivered)
    assert not world.reading.gaps
