"""Sinks whose destination is a template: one cursor, one loop, one fate for each rendered value."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from collector.clock import Clock
from collector.errors import SinkDenied, SinkUnavailable
from collector.metrics import METRICS
from collector.pipeline import router
from collector.pipeline.router import Router
from collector.sinks import BUILTIN
from collector.store import Position, Store
from tests.unit.app.routed import ALL, Indices
from tests.unit.app.world import Running, World, ids


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setitem(BUILTIN, "routed", "tests.unit.app.routed:PLUGIN")
    world.tenants = {
        "acme": {"labels": {"to": "one"}, "sources": [{"type": "memory", "feeds": ["alerts"]}]},
        "beta": {"labels": {"to": "two"}, "sources": [{"type": "memory", "feeds": ["alerts"]}]},
    }
    world.sinks = {"elastic": {"type": "routed", "index": "edr-{tenant}", "start_at": "earliest"}}
    yield world
    for name in ALL:
        METRICS.forget(sink=name)
    ALL.clear()


def indices(name: str = "elastic") -> Indices:
    return ALL.setdefault(name, Indices())


def got(name: str = "elastic") -> dict[str, list[int]]:
    return {destination: sorted(ids(lines)) for destination, lines in indices(name).lines.items()}


async def caught_up(running: Running, expected: dict[str, list[int]]) -> None:
    await running.until(lambda: got() == expected, passing=1.0)
    delivering = running.engine.delivering
    await running.until(lambda: all(one.idle for one in delivering.deliveries.values()), passing=0.1)


async def stored(world: World) -> dict[str, Position]:
    """The cursors of a daemon that has ended."""
    async with Store.open(world.folder / "state/collector.db", max_size=1 << 30, clock=Clock()) as store:
        return {cursor.destination: cursor.position for cursor in await store.cursors()}


async def test_each_rendered_value_gets_its_events_its_cursor_and_its_line_of_status(world: World) -> None:
    world.vendor("acme").add(1, 2)
    world.vendor("beta").add(3)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1, 2], "edr-beta": [3]})
        sinks = (await running.operations.status())["sinks"]

        assert [(one["sink"], one["destination"], one["state"]) for one in sinks] == [
            ("elastic", "edr-acme", "ok"),
            ("elastic", "edr-beta", "ok"),
        ]
        assert [one["delivered"] for one in sinks] == [2, 1]

    assert set(await stored(world)) == {"", "edr-acme", "edr-beta"}
    assert set((await stored(world)).values()) == {Position(3)}


async def test_sink_without_an_event_so_far_is_in_the_status_and_makes_no_destination(world: World) -> None:
    async with world.running() as running:
        await running.quiet()
        sinks = (await running.operations.status())["sinks"]

        assert [(one["sink"], one["destination"], one["state"]) for one in sinks] == [("elastic", "", "ok")]
        assert indices().open == 0


async def test_one_customers_missing_index_holds_that_customer_alone(world: World) -> None:
    indices().down["edr-acme"] = SinkDenied("no such index [edr-acme]")
    world.vendor("acme").add(1)
    world.vendor("beta").add(2)
    async with world.running() as running:
        await caught_up_but(running, "edr-acme", {"edr-beta": [2]})
        world.vendor("acme").add(3)
        world.vendor("beta").add(4)
        await caught_up_but(running, "edr-acme", {"edr-beta": [2, 4]})
        sinks = {one["destination"]: one for one in (await running.operations.status())["sinks"]}

        assert sinks["edr-acme"]["state"] == "held"
        assert sinks["edr-acme"]["last_error"] == "no such index [edr-acme]"
        assert sinks["edr-beta"]["state"] == "ok"
        assert METRICS.registry.get_sample_value("edr_collector_sink_held", {"sink": "elastic"}) == 1

        indices().down.clear()
        await caught_up(running, {"edr-acme": [1, 3], "edr-beta": [2, 4]})
        assert METRICS.registry.get_sample_value("edr_collector_sink_held", {"sink": "elastic"}) == 0


async def caught_up_but(running: Running, held: str, expected: dict[str, list[int]]) -> None:
    await running.until(lambda: got() == expected, passing=1.0)
    deliveries = running.engine.delivering.deliveries
    await running.until(lambda: deliveries[f"elastic/{held}"].status.state == "held", passing=0.1)


async def test_what_waits_for_a_destination_is_delivered_after_a_restart_and_nothing_else_again(world: World) -> None:
    indices().down["edr-acme"] = SinkUnavailable("down")
    world.vendor("acme").add(1)
    world.vendor("beta").add(2)
    async with world.running() as running:
        await running.until(lambda: got() == {"edr-beta": [2]}, passing=1.0)
        await running.until(lambda: "elastic/edr-acme" in running.engine.delivering.deliveries, passing=0.1)

    indices().down.clear()
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1], "edr-beta": [2]})


async def test_destination_that_has_everything_is_not_opened_again_before_its_next_event(world: World) -> None:
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1]})

    async with world.running() as running:
        await running.quiet()
        assert running.engine.delivering.deliveries == {}
        world.vendor("acme").add(2)
        await caught_up(running, {"edr-acme": [1, 2]})


async def test_new_destination_of_an_existing_sink_gets_its_first_event(world: World) -> None:
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1]})
        world.tenants["gamma"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
        world.vendor("gamma").add(5)
        await running.reload()
        await caught_up(running, {"edr-acme": [1], "edr-gamma": [5]})


async def test_events_of_one_stream_go_to_destinations_by_their_organization(world: World) -> None:
    world.sinks["elastic"]["index"] = "edr-{organization}"
    world.vendor("acme").add(1)
    world.vendor("acme").add(2, raw=b'{"org":"org-1"}')
    async with world.running() as running:
        await caught_up(running, {"edr-": [1], "edr-org-1": [2]})
        world.vendor("acme").add(3, raw=b'{"org":"org-1"}')
        await caught_up(running, {"edr-": [1], "edr-org-1": [2, 3]})

    assert set((await stored(world)).values()) == {Position(3)}


async def test_tenant_of_an_event_that_is_mapped_from_its_organization_decides(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    world.vendor("acme").add(1)
    world.vendor("acme").add(2, raw=b'{"org":"org-1"}')
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1], "edr-acme-fi": [2]})


async def test_event_with_nothing_to_name_its_destination_by_is_delivered_all_the_same(world: World) -> None:
    world.sinks["elastic"]["index"] = "{organization}"
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"_": [1]})


async def test_constant_destination_has_one_cursor_and_is_told_to_the_sink(world: World) -> None:
    world.sinks["elastic"]["index"] = "edr"
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr": [1]})

    assert set(await stored(world)) == {""}


async def test_secret_in_a_destination_stands_nowhere_but_as_a_hash(world: World) -> None:
    world.sinks["elastic"]["token"] = "{label.to}"
    world.vendor("acme").add(1)
    async with world.running() as running:
        await running.until(got, passing=1.0)
        (line,) = (await running.operations.status())["sinks"]

        assert line["destination"].startswith("edr-acme #")
        assert "one" not in line["destination"]


# -- the configuration changes ------------------------------------------------------------------------


async def test_what_waited_goes_where_a_new_label_says_and_is_not_lost(world: World) -> None:
    """`two` is in use and up to date: without care its cursor would stand behind what waited for `one`."""
    world.sinks["elastic"]["index"] = "{label.to}"
    indices().down["one"] = SinkDenied("no such index [one]")
    world.vendor("acme").add(1)
    world.vendor("beta").add(2)
    async with world.running() as running:
        await running.until(lambda: got() == {"two": [2]}, passing=1.0)
        world.tenants["acme"]["labels"] = {"to": "two"}
        await running.reload()
        await running.until(lambda: 1 in got()["two"], passing=1.0)


async def test_new_template_begins_where_the_old_one_came_to(world: World) -> None:
    world.vendor("acme").add(1)
    world.vendor("beta").add(2)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1], "edr-beta": [2]})

    world.sinks["elastic"]["index"] = "logs-{tenant}"
    world.vendor("beta").add(3)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1], "edr-beta": [2], "logs-beta": [3]})

    assert set(await stored(world)) == {"", "logs-beta"}


async def test_template_that_becomes_a_constant_loses_nothing_that_waited(world: World) -> None:
    indices().down["edr-acme"] = SinkUnavailable("down")
    world.vendor("acme").add(1)
    async with world.running() as running:
        await running.until(lambda: "elastic/edr-acme" in running.engine.delivering.deliveries, passing=1.0)

    world.sinks["elastic"]["index"] = "edr"
    async with world.running() as running:
        await caught_up(running, {"edr": [1]})
    assert set(await stored(world)) == {""}


async def test_constant_that_becomes_a_template_goes_on_where_it_was(world: World) -> None:
    world.sinks["elastic"]["index"] = "edr"
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr": [1]})
        world.sinks["elastic"]["index"] = "edr-{tenant}"
        world.vendor("acme").add(2)
        await running.reload()
        await caught_up(running, {"edr": [1], "edr-acme": [2]})


async def test_renamed_tenant_keeps_what_waited_for_its_old_destination(world: World) -> None:
    indices().down["edr-acme"] = SinkUnavailable("down")
    world.vendor("acme").add(1)
    async with world.running() as running:
        await running.until(lambda: "elastic/edr-acme" in running.engine.delivering.deliveries, passing=1.0)
        world.tenants["apex"] = {**world.tenants.pop("acme"), "renamed_from": "acme"}
        await running.reload()
        await running.until(lambda: got() == {"edr-apex": [1]}, passing=1.0)


async def test_sink_with_a_destination_that_waits_is_not_forgotten_by_a_reload(world: World) -> None:
    world.sinks["other"] = {"type": "memory"}
    indices().down["edr-acme"] = SinkUnavailable("down")
    world.vendor("acme").add(1)
    async with world.running() as running:
        await running.until(lambda: "elastic/edr-acme" in running.engine.delivering.deliveries, passing=1.0)
        kept = world.sinks.pop("elastic")
        with pytest.raises(Exception, match="1 events wait for it"):
            await running.reload()

        indices().down.clear()
        await caught_up(running, {"edr-acme": [1]})
        await running.reload()
        assert "elastic" not in running.engine.delivering.sinks
        assert not [one for one in running.engine.delivering.claims() if one.key[0] == "elastic"]
        world.sinks["elastic"] = kept


# -- many of them, dead letters, idle ones ------------------------------------------------------------


async def test_dead_letters_are_counted_by_destination_and_go_again_to_where_they_belong(world: World) -> None:
    indices().refuses["edr-acme"] = "mapper_parsing_exception"
    world.vendor("acme").add(1)
    world.vendor("beta").add(2)
    async with world.running() as running:
        await running.until(lambda: got() == {"edr-beta": [2]}, passing=1.0)
        await running.until(lambda: running.engine.delivering.deliveries["elastic/edr-acme"].status.dead_letters)
        (letter,) = await running.operations.dead_letters("elastic", 10)
        assert letter["destination"] == "edr-acme"
        counts = {one["destination"]: one["dead_letters"] for one in (await running.operations.status())["sinks"]}
        assert counts == {"edr-acme": 1, "edr-beta": 0}

    indices().refuses.clear()
    async with world.running() as running:
        assert running.engine.delivering.deliveries == {}
        assert await running.operations.retry_dead_letters("elastic", None) == 1
        await running.until(lambda: got() == {"edr-acme": [1], "edr-beta": [2]}, passing=1.0)
        await running.quiet()
        assert await running.operations.dead_letters("elastic", 10) == []


async def test_idle_destination_is_closed_and_opened_by_its_next_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "IDLE_SECONDS", 100.0)
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1]})
        assert indices().open == 1
        await running.until(lambda: indices().open == 0, passing=60.0)
        assert running.engine.delivering.deliveries == {}

        world.vendor("acme").add(2)
        await caught_up(running, {"edr-acme": [1, 2]})

    assert set((await stored(world)).values()) == {Position(3)}


async def test_over_the_most_destinations_the_further_ones_wait_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "MOST_OPEN", 1)
    indices().down["edr-acme"] = SinkUnavailable("down")
    world.vendor("acme").add(1)
    async with world.running() as running:
        await running.until(lambda: "elastic/edr-acme" in running.engine.delivering.deliveries, passing=1.0)
        world.vendor("beta").add(2)
        routing = running.engine.delivering.sinks["elastic"]
        assert isinstance(routing, Router)
        await running.until(lambda: routing.status.state == "backing_off", passing=1.0)
        sinks = (await running.operations.status())["sinks"]
        assert "destinations at work" in str(sinks[0]["last_error"])
        assert running.engine.delivering.waiting() == ["elastic"]

        indices().down.clear()
        await caught_up(running, {"edr-acme": [1], "edr-beta": [2]})
        assert indices().open == 1


async def test_closed_destinations_hold_nothing_in_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "IDLE_SECONDS", 100.0)
    world.vendor("acme").add(1)
    async with world.running() as running:
        await caught_up(running, {"edr-acme": [1]})
        await running.until(lambda: not running.engine.delivering.deliveries, passing=60.0)
        world.vendor("beta").add(2)
        await caught_up(running, {"edr-acme": [1], "edr-beta": [2]})

        assert [claim.key for claim in running.engine.delivering.claims()] == [("elastic", ""), ("elastic", "edr-beta")]
        assert min(claim.delivery.holds for claim in running.engine.delivering.claims()) == Position(3)


async def test_test_event_goes_to_the_destination_of_its_tenant(world: World) -> None:
    async with world.running() as running:
        asked = asyncio.create_task(running.operations.test_event("beta", "elastic", 30.0))
        await running.until(asked.done, passing=1.0)

        assert [(one["sink"], one["outcome"]) for one in asked.result()] == [("elastic", "delivered")]
        assert list(indices().lines) == ["edr-beta"]
