"""The running collector.

    outer task group:  delivery loops · janitor · admin        (end last)
      inner task group:  pollers · budgets                     (end first)

Stop → pollers cancelled → sinks drain for `DRAIN_SECONDS` → the rest cancelled → resources closed in reverse. Draining
is a courtesy: whatever was not settled is delivered after the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from collector.app.attending import attend, summary
from collector.app.delivering import Delivering
from collector.app.parts import accounts, receiver, renamed_streams, tenants, vendors
from collector.app.reading import Reading
from collector.app.reloading import refuse_lost_backlogs, reload_config
from collector.app.serving import serve_operators
from collector.clock import Clock
from collector.config import Config
from collector.errors import CollectorError, ConfigError, StoreError, StoreFull
from collector.http import HttpClients
from collector.liveness import LivenessClock
from collector.metrics import METRICS
from collector.model import StreamId
from collector.notify import Notifier
from collector.pipeline.events import Events
from collector.pipeline.gate import Gate
from collector.pipeline.janitor import Claim, Janitor, Limits
from collector.pipeline.log import Log
from collector.plugins import Plugins, installed
from collector.store import Cursor, LogPage, Store
from collector.supervisor import supervise

T = TypeVar("T")
log = structlog.get_logger()

DRAIN_SECONDS = 8.0
_FULL_RETRY_SECONDS = 10.0


class Engine:
    """Everything that runs, and what operators may ask of it. Made by `assembled`; alive inside that context."""

    def __init__(self, config: Config, plugins: Plugins, store: Store, clock: Clock, last_seq: int) -> None:
        self.config = config
        self.plugins = plugins
        self.store = store
        self.clock = self.loops = LivenessClock(clock)
        self.notifier = Notifier()
        self.serving = asyncio.Event()
        self.started_at: datetime = clock.now()
        self.gate = Gate()
        self.log = Log(store, last_seq)
        self.events = Events(vendors(plugins), tenants(config))
        self.events.on_unparsed = self._note_unparsed
        self.events.on_unknown = self._note_unknown
        limits = Limits(config.state.max_size, config.state.keep_delivered, config.state.remember_ids)
        self.janitor = Janitor(store, self.log, self.gate, self.clock, limits, self._claims)
        self.delivering: Delivering
        self.reading: Reading
        store.on_page = self._append

    def _append(self, page: LogPage) -> None:
        self.log.append(page)
        self.janitor.note_appended(page.stored_bytes)

    def _claims(self) -> Sequence[Claim]:
        return self.delivering.claims()

    def _note_unparsed(self, stream: StreamId, count: int) -> None:
        METRICS.events_unparsed.labels(tenant=stream.tenant, source=stream.source, feed=stream.feed).inc(count)
        if stream in self.reading.feeds:
            self.reading.feeds[stream].unparsed += count

    def _note_unknown(self, stream: StreamId, count: int) -> None:
        METRICS.unknown_fields.labels(source=stream.source).inc(count)

    async def start_sinks(self, config: Config, names: list[str]) -> None:
        """Give these sinks their cursors and start their loops."""
        renamed = {name: old for name in names if (old := config.sinks[name].renamed_from)}
        cursors = await self.store.prepare_cursors({name: config.sinks[name].start_at for name in names}, renamed)
        by_sink: dict[str, Cursor] = {cursor.sink: cursor for cursor in cursors}
        for name in names:
            self.delivering.start(receiver(name, config, self.plugins), by_sink[name], config.max_backlog(name))


@asynccontextmanager
async def assembled(config: Config, clock: Clock) -> AsyncIterator[Engine]:
    """Open the state and put everything together; nothing runs yet.

    Raises:
        StoreError: the state can't be used.
        ConfigError: the configuration would lose a backlog.
    """
    plugins = installed()
    async with _opened(config, clock) as store:
        for old, new in renamed_streams(config, plugins):
            await store.rename_stream(old, new)
        await refuse_lost_backlogs(store, config)
        yield Engine(config, plugins, store, clock, await store.last_seq())


@asynccontextmanager
async def _opened(config: Config, clock: Clock) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        yield await _open_patiently(config, clock, stack)


async def _open_patiently(config: Config, clock: Clock, stack: AsyncExitStack) -> Store:
    """Open the state, waiting for room if the volume is full: a full disk never ends the process."""
    while True:
        try:
            opening = Store.open(config.state.path, max_size=config.state.max_size, clock=clock)
            return await stack.enter_async_context(opening)
        except StoreFull as exc:
            log.error("the state can't be opened, waiting for room", error=str(exc))
            await clock.sleep(_FULL_RETRY_SECONDS)


async def run(
    config: Config,
    stop: asyncio.Event,
    reload: asyncio.Event,
    clock: Clock | None = None,
    notifier: Notifier | None = None,
) -> None:
    """Collect and deliver until `stop` is set; `reload` set means: read the configuration again.

    `notifier` tells the service manager how it goes.

    Raises:
        StoreError: the state is damaged or out of reach.
        ConfigError: the configuration would lose a backlog.
    """
    async with assembled(config, clock or Clock()) as engine:
        engine.notifier = notifier or engine.notifier
        await _unwrapped(_run(engine, stop, reload))


async def run_once(config: Config, deliver_timeout: float, clock: Clock | None = None) -> bool:
    """Read every feed until it is caught up, deliver, return whether all of that was done.

    Raises:
        StoreError, ConfigError: as `run`.
    """
    async with assembled(config, clock or Clock()) as engine:
        return await _unwrapped(_run_once(engine, deliver_timeout))


async def _run(engine: Engine, stop: asyncio.Event, reload: asyncio.Event) -> None:
    config = engine.config
    async with HttpClients() as http, asyncio.TaskGroup() as outer:
        engine.delivering = Delivering(outer, engine.store, engine.log, engine.events, engine.clock)
        janitor = outer.create_task(supervise("janitor", engine.janitor.run, engine.clock), name="janitor")
        async with asyncio.TaskGroup() as inner:
            engine.reading = Reading(inner, engine.store, engine.gate, http, engine.clock)
            await engine.start_sinks(config, list(config.sinks))
            served = outer.create_task(serve_operators(engine), name="admin")
            configured = accounts(config, engine.plugins)
            engine.reading.limits(configured)
            for account in configured.values():
                await engine.reading.start(account)
            reloads = inner.create_task(_reload_on(engine, reload), name="reload")
            await engine.serving.wait()
            engine.notifier.ready(summary(engine))
            attended = outer.create_task(supervise("attend", partial(attend, engine), engine.clock), name="attend")
            log.info("collecting", tenants=len(config.tenants), sources=len(configured), sinks=len(config.sinks))
            await stop.wait()
            log.info("stopping")
            engine.notifier.stopping()
            attended.cancel()
            reloads.cancel()
            engine.reading.cancel()
        left = await engine.delivering.drained(DRAIN_SECONDS)
        if left:
            log.info("stopped before everything was delivered, the rest follows after the next start", sinks=left)
        engine.delivering.cancel()
        janitor.cancel()
        served.cancel()


async def _reload_on(engine: Engine, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        with suppress(ConfigError):  # it said so itself; what runs goes on
            await reload_config(engine)


async def _run_once(engine: Engine, deliver_timeout: float) -> bool:
    config = engine.config
    async with HttpClients() as http, asyncio.TaskGroup() as outer:
        engine.delivering = Delivering(outer, engine.store, engine.log, engine.events, engine.clock)
        janitor = outer.create_task(supervise("janitor", engine.janitor.run, engine.clock), name="janitor")
        async with asyncio.TaskGroup() as inner:
            engine.reading = Reading(inner, engine.store, engine.gate, http, engine.clock)
            await engine.start_sinks(config, list(config.sinks))
            configured = accounts(config, engine.plugins)
            engine.reading.limits(configured)
            results = await asyncio.gather(*[engine.reading.read_once(account) for account in configured.values()])
            engine.reading.cancel()
        left = await engine.delivering.drained(deliver_timeout)
        engine.delivering.cancel()
        janitor.cancel()
    failed = [failure for failures in results for failure in failures]
    for failure in failed:
        log.error("a feed could not be read to its end", error=str(failure))
    if left:
        log.error("not everything was delivered in time", sinks=left)
    return not failed and not left


async def _unwrapped(work: Coroutine[None, None, T]) -> T:
    """Run it; of several errors at once raise the one that a person must know about."""
    try:
        return await work
    except BaseExceptionGroup as group:
        for kind in (StoreError, CollectorError):
            found: BaseException | None = group.subgroup(kind)
            while isinstance(found, BaseExceptionGroup):
                found = found.exceptions[0]
            if found is not None:
                raise found from group
        raise
