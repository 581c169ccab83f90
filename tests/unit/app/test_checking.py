from __future__ import annotations

import asyncio
from typing import Any

import pytest

from collector.app import checking
from collector.app.checking import Finding, check
from collector.errors import SinkDenied, SourceDenied
from collector.store import Store
from tests.unit.app.world import World, stand_in


async def findings(world: World, tenant: str | None = None) -> dict[str, Finding]:
    found = [finding async for finding in check(world.config(), tenant)]
    return {
        finding.what.split()[0] + " " + finding.what.split()[1].rpartition("/state/")[2]: finding for finding in found
    }


async def test_all_is_well_before_the_first_start(world: World) -> None:
    found = await findings(world)

    assert all(finding.good for finding in found.values())
    assert list(found) == ["source acme/memory", "sink archive", "state collector.db"]
    assert found["state collector.db"].remarks == ["not there yet: made at the first start"]


async def test_every_trouble_is_told_and_hides_no_other(world: World) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory"}]}
    world.tenants["gamma"] = {"sources": [{"type": "memory"}]}
    world.vendor().failure = SourceDenied("wrong client secret")
    world.vendor("beta").opening = SourceDenied("no such organization")
    world.vendor("gamma").remarks = ["logged in, but the rights give an empty list"]
    world.sink().down = SinkDenied("token refused")
    found = await findings(world)

    assert {what: (finding.good, list(finding.remarks)) for what, finding in found.items()} == {
        "source acme/memory": (False, ["wrong client secret"]),
        "source beta/memory": (False, ["no such organization"]),
        "source gamma/memory": (True, ["logged in, but the rights give an empty list"]),
        "sink archive": (False, ["token refused"]),
        "state collector.db": (True, ["not there yet: made at the first start"]),
    }


async def test_one_tenant_alone(world: World) -> None:
    world.tenants["beta"] = {"sources": [{"type": "memory"}]}

    assert [what for what in await findings(world, "beta") if what.startswith("source")] == ["source beta/memory"]


async def test_who_does_not_answer_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_SECONDS", 0.02)

    async def never() -> Any:
        await asyncio.Event().wait()

    stand_in(world.vendor(), "check", never)
    stand_in(world.sink(), "probe", never)
    found = await findings(world)

    assert found["source acme/memory"].remarks == found["sink archive"].remarks == ["no answer within 0 s"]


async def test_state_is_read_through_and_left_alone_while_a_daemon_has_it(world: World) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        found = await findings(world)
        assert found["state collector.db"].remarks == ["in use by a running daemon: not looked at"]
    found = await findings(world)
    assert (found["state collector.db"].good, list(found["state collector.db"].remarks)) == (True, [])


async def test_damage_of_the_state_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.config()
    (world.folder / "state").mkdir()
    (world.folder / "state" / "collector.db").write_bytes(b"no state at all")
    found = await findings(world)
    assert not found["state collector.db"].good
    assert "is damaged" in found["state collector.db"].remarks[0]

    (world.folder / "state" / "collector.db").unlink()
    async with world.running():
        pass

    async def damaged(_: Store) -> list[str]:
        return ["row 7 missing from index"]

    monkeypatch.setattr(Store, "full_check", damaged)
    assert (await findings(world))["state collector.db"].remarks == ["row 7 missing from index"]
