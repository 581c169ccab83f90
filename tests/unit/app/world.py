"""A whole collector in one process: configuration on disk, real state, vendors and receivers in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from collector.app.engine import Engine, _run, _unwrapped, assembled, run_once
from collector.app.operations import EngineOperations
from collector.config import Config, load_config
from collector.model import StreamId
from collector.pipeline.status import FeedStatus
from collector.testing import FakeClock
from tests.unit.app.plugins import RECEIVERS, VENDORS, MemorySink, MemoryVendor

ACME = StreamId("acme", "memory", "alerts")


class World:
    """Everything around the program. Time stands still but for what a test lets pass."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.tenants: dict[str, Any] = {"acme": {"sources": [{"type": "memory", "feeds": ["alerts"]}]}}
        self.sinks: dict[str, Any] = {"archive": {"type": "memory"}}
        self.top: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        return self.folder / "collector.yaml"

    def vendor(self, tenant: str = "acme", name: str = "memory") -> MemoryVendor:
        return VENDORS.setdefault((tenant, name), MemoryVendor())

    def sink(self, name: str = "archive") -> MemorySink:
        return RECEIVERS.setdefault(name, MemorySink())

    def write(self) -> None:
        """Put the configuration on disk."""
        document = {
            "state": {"path": "state/collector.db", **self.top.get("state", {})},
            "admin": {"listen": None, "control": "c.sock", **self.top.get("admin", {})},
            "tenants": self.tenants,
            "sinks": self.sinks,
        }
        self.path.write_text(yaml.safe_dump(document))

    def config(self) -> Config:
        self.write()
        return load_config(self.path)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """The daemon, stopped in an orderly way at the end."""
        stop, reload = asyncio.Event(), asyncio.Event()
        async with assembled(self.config(), self.clock, stop) as engine:
            task = asyncio.create_task(_unwrapped(_run(engine, stop, reload)))
            running = Running(self, engine, stop, reload, task)
            try:
                await running.until(lambda: task.done() or running.is_up)
                yield running
                await running.stop()
            finally:
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task


class Running:
    """A daemon at work."""

    def __init__(
        self, world: World, engine: Engine, stop: asyncio.Event, reload: asyncio.Event, task: asyncio.Task[None]
    ) -> None:
        self.world = world
        self.engine = engine
        self.operations = EngineOperations(engine)
        self.task = task
        self._stop = stop
        self._reload = reload
        self.told: dict[str, Any] = {}

    @property
    def is_up(self) -> bool:
        """Everything that is configured has been started."""
        wanted = sum(len(tenant.sources) for tenant in self.engine.config.tenants.values())
        return hasattr(self.engine, "reading") and len(self.engine.reading._tasks) == wanted

    @property
    def feed(self) -> FeedStatus:
        """The first feed's status."""
        return next(iter(self.engine.reading.feeds.values()))

    async def until(self, condition: Callable[[], object], *, passing: float = 0.0) -> None:
        """Let everything run until it is so, with so many seconds passing every now and then."""
        async with asyncio.timeout(10):
            while not condition():
                if passing:
                    await self.world.clock.advance(passing)
                await asyncio.sleep(0.001)

    async def delivered(self, count: int, sink: str = "archive") -> None:
        await self.until(lambda: len(self.world.sink(sink).lines) >= count, passing=1.0)

    async def settled(self) -> None:
        """Everything that was fetched is delivered and settled."""
        deliveries = self.engine.delivering.deliveries
        await self.until(lambda: all(one._resting for one in deliveries.values()), passing=0.1)

    async def settled_but(self, *names: str) -> None:
        """The same, but for these sinks, which are down."""
        deliveries = self.engine.delivering.deliveries
        await self.until(
            lambda: all(one._resting for name, one in deliveries.items() if name not in names), passing=0.1
        )

    async def quiet(self, turns: int = 20) -> None:
        for _ in range(turns):
            await asyncio.sleep(0.001)

    async def reload(self) -> list[str]:
        """Write the world's configuration and follow it."""
        self.world.write()
        task = asyncio.create_task(self.operations.reload())
        await self.until(task.done, passing=0.5)
        self.told = task.result()
        changed: list[str] = self.told["changed"]
        return changed

    def hang_up(self) -> None:
        """SIGHUP."""
        self._reload.set()

    def ask_to_stop(self) -> None:
        self._stop.set()

    async def stop(self) -> None:
        """SIGTERM, and what follows."""
        self._stop.set()
        await self.until(self.task.done, passing=0.1)
        await self.task


def stand_in(target: object, name: str, value: object) -> None:
    """Let `value` answer in place of a method of `target`."""
    setattr(target, name, value)


async def until(condition: Callable[[], object]) -> None:
    """Let everything run, threads too, until it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.001)


def ids(lines: list[bytes]) -> list[int]:
    """The numbers of events in the `json` format."""
    return [int(str(json.loads(line)["id"]).removeprefix("event-")) for line in lines]


def field(lines: list[bytes], name: str) -> list[Any]:
    return [json.loads(line)[name] for line in lines]


async def once(world: World, seconds: float = 60.0) -> bool:
    """Run over all feeds once, time passing; whether all went well."""
    task = asyncio.create_task(run_once(world.config(), seconds, world.clock))
    while not task.done():
        await world.clock.advance(0.25)
        await asyncio.sleep(0.001)
    return task.result()
