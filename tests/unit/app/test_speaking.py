"""What the collector itself says to a SIEM: signs of life, test events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from collector.errors import CollectorError, SinkUnavailable
from collector.sinks.base import Receipt
from tests.unit.app.world import Running, World, field, ids


def kinds(world: World, sink: str = "archive") -> list[str]:
    return field(world.sink(sink).lines, "kind")


async def tried(running: Running, tenant: str = "acme", sink: str | None = None) -> list[dict[str, Any]]:
    task = asyncio.create_task(running.operations.test_event(tenant, sink, 5.0))
    await running.until(task.done, passing=0.5)
    return task.result()


# -- signs of life ---------------------------------------------------------------------------------------


async def test_sink_gets_a_sign_of_life_at_its_interval_and_no_other_sink_does(world: World) -> None:
    world.sinks["archive"]["heartbeat"] = "5m"
    world.sinks["second"] = {"type": "memory"}
    async with world.running() as running:
        await running.until(lambda: world.sink().lines, passing=1.0)
        for _ in range(3):
            await world.clock.advance(300.0)
            await running.quiet()
        store = running.engine.store
        assert await store.last_seq() == 0
        assert running.engine.delivering.deliveries["archive"].status.delivered == 0

    assert kinds(world) == ["heartbeat"] * 4
    assert len(set(field(world.sink().lines, "uid"))) == 4
    first = json.loads(world.sink().lines[0])
    assert first["fields"]["edr.sink"] == "archive"
    assert first["raw"]["interval_seconds"] == 300.0
    assert (first["severity"], first["tenant"]) == ("informational", "edr-collector")
    assert world.sink("second").lines == []


async def test_sign_of_life_that_could_not_be_sent_is_not_sent_late(world: World) -> None:
    world.sinks["archive"]["heartbeat"] = "5m"
    world.sink().opening = SinkUnavailable("down")
    async with world.running() as running:
        for _ in range(8):
            await world.clock.advance(150.0)
            await running.quiet()
        assert world.sink().lines == []
        world.sink().opening = None
        await running.until(lambda: world.sink().lines, passing=10.0)
        await running.quiet()

    assert kinds(world) == ["heartbeat"]


async def test_reload_begins_and_ends_signs_of_life(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        world.sinks["archive"]["heartbeat"] = "1m"
        await running.reload()
        await running.until(lambda: kinds(world) == ["heartbeat"], passing=1.0)
        del world.sinks["archive"]["heartbeat"]
        await running.reload()
        await world.clock.advance(300.0)
        await running.quiet()

    assert kinds(world) == ["heartbeat"]


async def test_every_format_can_write_a_sign_of_life(world: World) -> None:
    for form in ("json", "raw", "cef"):
        world.sinks[form] = {"type": "memory", "format": form, "heartbeat": "1m"}
    async with world.running() as running:
        await running.until(lambda: all(world.sink(form).lines for form in ("json", "raw", "cef")), passing=1.0)

    assert json.loads(world.sink("raw").lines[0])["kind"] == "heartbeat"
    assert b"|Heartbeat|1|" in world.sink("cef").lines[0]


async def test_refused_sign_of_life_is_told_in_the_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.sinks["archive"]["heartbeat"] = "1m"
    world.sink().script = [lambda _: Receipt(rejected={0: "no such index"})]
    async with world.running() as running:
        await running.until(lambda: world.sink().lines, passing=30.0)

    written = capsys.readouterr()
    assert "no such index" in written.out + written.err


# -- test events -----------------------------------------------------------------------------------------


async def test_test_event_reaches_every_sink_whose_route_takes_it(world: World) -> None:
    world.tenants["acme"]["labels"] = {"customer": "Acme"}
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    world.sinks["second"] = {"type": "memory"}
    world.sinks["betas"] = {"type": "memory", "route": {"tenants": ["beta"]}}
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        await running.settled()
        told = await tried(running)
        assert await running.engine.store.last_seq() == 1

    assert {one["sink"]: one["outcome"] for one in told} == {
        "archive": "delivered",
        "second": "delivered",
        "betas": "not routed",
    }
    assert world.sink("betas").lines == []
    event = json.loads(world.sink().lines[-1])
    assert (event["kind"], event["tenant"], event["labels"]) == ("test", "acme", {"customer": "Acme"})
    assert "test" in event["flags"]
    assert event["uid"] == told[0]["uid"]
    assert event["vendor"] == "Memory"


async def test_two_test_events_are_two_events_and_move_no_cursor(world: World) -> None:
    world.vendor().add(*range(3))
    async with world.running() as running:
        await running.delivered(3)
        await running.settled()
        before = await running.engine.store.cursors()
        first, second = await tried(running, sink="archive"), await tried(running, sink="archive")
        after = await running.engine.store.cursors()
        world.vendor().add(3)
        await running.delivered(6)

    assert first[0]["uid"] != second[0]["uid"]
    assert [cursor.position for cursor in before] == [cursor.position for cursor in after]
    lines = [line for line in world.sink().lines if json.loads(line)["kind"] != "test"]
    assert ids(lines) == [0, 1, 2, 3]


async def test_sink_that_does_not_take_it_says_why(world: World) -> None:
    world.sinks["down"] = {"type": "memory"}
    world.sink().script = [lambda _: Receipt(rejected={0: "field too long"})]
    world.sink("down").opening = SinkUnavailable("connection refused")
    async with world.running() as running:
        await running.settled_but("down")
        told = {one["sink"]: one for one in await tried(running)}
        world.sink("down").opening = None
        await world.clock.advance(600.0)
        await running.quiet()

    assert (told["archive"]["outcome"], told["archive"]["reason"]) == ("refused", "field too long")
    assert (told["down"]["outcome"], told["down"]["reason"]) == ("no answer", "connection refused")
    assert told["down"]["seconds"] >= 5.0
    assert world.sink("down").lines == []


async def test_tenant_that_an_organization_is_mapped_to_can_be_tried_out(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    world.sinks["archive"]["route"] = {"tenants": ["acme-fi"]}
    async with world.running() as running:
        await running.settled()
        told = await tried(running, "acme-fi")
        other = await tried(running, "acme")

    event = json.loads(world.sink().lines[0])
    assert (event["tenant"], event["organization"]["id"]) == ("acme-fi", "org-1")
    assert [one["outcome"] for one in (*told, *other)] == ["delivered", "not routed"]


async def test_names_that_do_not_exist_are_refused(world: World) -> None:
    async with world.running() as running:
        with pytest.raises(CollectorError, match="no tenant nobody"):
            await running.operations.test_event("nobody", None, 1.0)
        with pytest.raises(CollectorError, match="no sink nowhere"):
            await running.operations.test_event("acme", "nowhere", 1.0)
