"""A secret that was replaced on disk is used when the old one is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from collector.app import secrets
from collector.config import Config
from collector.errors import SourceDenied
from tests.unit.app.world import Running, World


def with_files(world: World) -> tuple[Path, Path]:
    """Two tenants whose secrets stand in files."""
    world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}
    found = []
    for name in ("acme", "beta"):
        world.tenants[name]["sources"][0]["client_secret"] = f"${{file:{name}.secret}}"
        found.append(world.folder / f"{name}.secret")
        found[-1].write_text(f"old of {name}")
    return found[0], found[1]


def secret_of(running: Running, tenant: str) -> str:
    source: Any = running.engine.config.tenants[tenant].sources[0]
    value: str = source.client_secret.get_secret_value()
    return value


async def test_denied_source_logs_in_with_the_secret_that_stands_in_the_file_by_now(world: World) -> None:
    acme, beta = with_files(world)
    async with world.running() as running:
        await running.until(lambda: world.vendor().fetched and world.vendor("beta").fetched)
        acme.write_text("new of acme")
        beta.write_text("new of beta")
        await world.clock.advance(120.0)
        assert len(world.vendor().contexts) == 1
        world.vendor().failure = SourceDenied("wrong secret")
        await running.until(lambda: len(world.vendor().contexts) == 2, passing=1.0)
        world.vendor().failure = None
        assert secret_of(running, "acme") == "new of acme"
        # Who is not denied goes on as it was, until it is.
        assert secret_of(running, "beta") == "old of beta"
        assert len(world.vendor("beta").contexts) == 1
        world.vendor("beta").failure = SourceDenied("wrong secret")
        await running.until(lambda: len(world.vendor("beta").contexts) == 2, passing=1.0)
        assert secret_of(running, "beta") == "new of beta"
        world.vendor("beta").failure = None
        assert await running.reload() == []


async def test_files_are_looked_at_once_a_minute_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_files(world)
    looks: list[float] = []

    def look(_: object) -> bool:
        looks.append(world.clock.monotonic())
        return False

    monkeypatch.setattr(secrets, "have_changed", look)
    world.vendor().failure = SourceDenied("wrong secret")
    async with world.running() as running:
        await running.until(lambda: len(looks) >= 3, passing=1.0)

    assert [round(later - earlier) for earlier, later in pairwise(looks)][:2] == [60, 60]


async def test_edit_that_nobody_asked_to_follow_is_not_followed(world: World) -> None:
    acme, _ = with_files(world)
    world.vendor().failure = SourceDenied("wrong secret")
    async with world.running() as running:
        await running.until(lambda: world.vendor().fetched)
        acme.write_text("new of acme")
        world.tenants["acme"]["sources"][0]["poll_interval"] = "30s"
        world.sinks["second"] = {"type": "memory"}
        world.write()
        for _ in range(3):
            await world.clock.advance(61.0)
            await running.quiet()
        assert secret_of(running, "acme") == "old of acme"
        assert list(running.engine.delivering.deliveries) == ["archive"]


async def test_file_that_is_gone_or_a_configuration_that_is_broken_changes_nothing(world: World) -> None:
    acme, beta = with_files(world)
    world.vendor().failure = SourceDenied("wrong secret")
    async with world.running() as running:
        await running.until(lambda: world.vendor().fetched)
        config: Config = running.engine.config
        acme.unlink()
        await world.clock.advance(61.0)
        await running.quiet()
        beta.write_text("even newer of beta")
        await world.clock.advance(61.0)
        await running.quiet()
        assert running.engine.config is config
        acme.write_text("new of acme")
        await running.until(lambda: len(world.vendor().contexts) == 2, passing=1.0)
