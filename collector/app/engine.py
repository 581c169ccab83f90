"""The running collector.

    outer task group:  delivery loops · janitor · what else looks after them     (ends last)
      admin servers
      inner task group:  pollers · budgets · reload                              (ends first)

Stop → pollers cancelled → sinks drain for `DRAIN_SECONDS` → the rest cancelled → resources closed in reverse. Draining
is a courtesy: whatever was not settled is delivered after the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from collector.app.attending import attend, summary
from collector.app.delivering import Delivering
from collector.app.holding import Holding
from collector.app.parts import Account, accounts, naming, receiver, tenants, vendors
from collector.app.patience import Patience, StopAsked
from collector.app.reading import Reading
from collector.app.reloading import reload_config
from collector.app.secrets import read_secrets_again
from collector.app.serving import operators_served
from collector.app.speaking import heartbeats
from collector.app.successors import (
    fitting_cursors,
    forget_gone_sinks,
    refuse_changed_types,
    refuse_lost_backlogs,
    rename_streams,
)
from collector.clock import Clock
from collector.config import Config
from collector.errors import CollectorError, ConfigError, StoreError
from collector.http import HttpClients
from collector.liveness import LivenessClock
from collector.metrics import METRICS
from collector.model import Event, StreamId
from collector.notify import Notifier
from collector.pipeline.backlogs import Claim
from collector.pipeline.events import Events
from collector.pipeline.gate import Gate
from collector.pipeline.janitor import Janitor, Limits
from collector.pipeline.log import Log
from collector.pipeline.organizations import Organizations
from collector.plugins import Plugins, installed
from collector.store import Cursor, LogPage, Store
from collector.supervisor import supervise

T = TypeVar("T")
log = structlog.get_logger()

DRAIN_SECONDS = 8.0
# Of those: for the batch a sink is at when the time is over, so that it need not be sent again.
GRACE_SECONDS = 1.5


class Engine:
    """Everything that runs, and what operators may ask of it. Made by `assembled`; alive inside that context."""

    def __init__(
        self, config: Config, plugins: Plugins, store: Store, clock: Clock, last_seq: int, patience: Patience
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.store = store
        self.clock = self.loops = LivenessClock(clock)
        self.patience = patience
        self.notifier = Notifier()
        self.started_at: datetime = clock.now()
        self.reloading = asyncio.Lock()
        self.stopping = False
        self.gate = Gate()
        self.log = Log(store, last_seq)
        self.events = Events(vendors(plugins), tenants(config))
        self.events.on_unparsed = self._note_unparsed
        self.events.on_unknown = self._note_unknown
        self.organizations = Organizations()
        self.events.on_unmapped = self._note_unmapped
        self.events.on_tenants = self.organizations.follow
        self.events.on_owner_unknown = self._note_owner_unknown
        limits = Limits(config.state.max_size, config.state.keep_delivered, config.state.remember_ids)
        self.janitor = Janitor(store, self.log, self.gate, self.clock, limits, self._claims)
        self.delivering: Delivering
        self.reading: Reading
        self.holding = Holding(self)
        store.on_page = self._append

    def _append(self, page: LogPage) -> None:
        self.log.append(page)
        self.janitor.note_appended(page.stored_bytes)

    def _claims(self) -> Sequence[Claim]:
        return self.delivering.claims()

    def _note_unparsed(self, stream: StreamId, count: int) -> None:
        if stream in self.reading.feeds:  # of others there is no metric any more
            METRICS.events_unparsed.labels(tenant=stream.tenant, source=stream.source, feed=stream.feed).inc(count)
            self.reading.feeds[stream].unparsed += count

    def _note_unknown(self, stream: StreamId, names: Sequence[str]) -> None:
        if stream in self.reading.feeds:  # as above
            labels = {"tenant": stream.tenant, "source": stream.source, "feed": stream.feed}
            METRICS.unknown_fields.labels(**labels).inc(len(names))
            self.reading.feeds[stream].note_unknown(names)

    def _note_unmapped(self, stream: StreamId, event: Event) -> None:
        if stream in self.reading.feeds:  # as above
            self.organizations.note(stream, event)

    def _note_owner_unknown(self, stream: StreamId) -> None:
        if stream in self.reading.feeds:  # as above
            labels = {"tenant": stream.tenant, "source": stream.source, "feed": stream.feed}
            METRICS.events_owner_unknown.labels(**labels).inc()
            self.reading.feeds[stream].owner_unknown += 1

    async def start_sinks(self, config: Config, names: Sequence[str]) -> None:
        """Give these sinks their cursors and start their loops."""
        await self.delivering.stop([name for name in names if name in self.delivering.sinks], 0)
        renamed = {name: old for name in names if (old := config.sinks[name].renamed_from)}
        wanted = {name: config.sinks[name].start_at for name in names}
        cursors = await self.patience.until_done(lambda: self.store.prepare_cursors(wanted, renamed))
        by_sink: dict[str, list[Cursor]] = {name: [] for name in [*names, *(cursor.sink for cursor in cursors)]}
        for cursor in cursors:
            by_sink[cursor.sink].append(cursor)
        letters: dict[str, dict[str, int]] = {name: {} for name in names}
        for (sink, destination), count in (await self.store.dead_letter_counts()).items():
            letters.setdefault(sink, {})[destination] = count
        for name in names:
            await self._start_sink(name, config, by_sink[name], letters[name])

    async def _start_sink(
        self, name: str, config: Config, cursors: Sequence[Cursor], letters: Mapping[str, int]
    ) -> None:
        where = naming(name, config, self.plugins, self.events.tenant)
        fitting = await self.patience.until_done(lambda: fitting_cursors(self.store, where, cursors))
        sink, most = receiver(name, config, self.plugins), config.max_backlog(name)
        if where.is_constant:
            sink = replace(sink, destination=where.constant)
            self.delivering.start(sink, fitting[0], most, sum(letters.values()))
        else:
            self.delivering.start_routed(sink, where, fitting, most, letters)


@asynccontextmanager
async def assembled(config: Config, clock: Clock, stop: asyncio.Event | None = None) -> AsyncIterator[Engine]:
    """Open the state and put everything together; nothing runs yet. A full volume is waited for, unless `stop` is None.

    Raises:
        StoreError: the state can't be used.
        StoreFull: there is no room for it, and nobody to stop the wait.
        ConfigError: the configuration would lose a backlog.
        StopAsked: told to stop while waiting for room.
    """
    plugins, patience = installed(), Patience(clock, stop)
    async with AsyncExitStack() as stack:

        async def opened() -> Store:
            opening = Store.open(config.state.path, max_size=config.state.max_size, clock=clock)
            return await stack.enter_async_context(opening)

        store = await patience.until_done(opened)
        refuse_changed_types(store, config, plugins)
        await refuse_lost_backlogs(store, config)
        await patience.until_done(lambda: rename_streams(store, config, plugins))
        await patience.until_done(lambda: forget_gone_sinks(store, config))
        yield Engine(config, plugins, store, clock, await store.last_seq(), patience)


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
        CollectorError: an admin address can't be had.
    """
    with suppress(StopAsked):
        async with assembled(config, clock or Clock(), stop) as engine:
            engine.notifier = notifier or engine.notifier
            await _unwrapped(_run(engine, stop, reload))


async def run_once(config: Config, deliver_timeout: float, clock: Clock | None = None) -> bool:
    """Read every feed until it is caught up, deliver, return whether all of that was done.

    Raises:
        StoreError, ConfigError: as `run`.
        StoreFull: no room for the state.
    """
    async with assembled(config, clock or Clock()) as engine:
        return await _unwrapped(_run_once(engine, deliver_timeout))


async def _run(engine: Engine, stop: asyncio.Event, reload: asyncio.Event) -> None:
    config = engine.config
    async with HttpClients() as http, asyncio.TaskGroup() as outer, AsyncExitStack() as servers:
        engine.delivering = Delivering(outer, engine.store, engine.log, engine.events, engine.clock)
        async with asyncio.TaskGroup() as inner:
            engine.reading = Reading(inner, engine.store, engine.gate, http, engine.clock)
            async with _starting(engine):
                await servers.enter_async_context(operators_served(engine))
                background = await _start_delivering(engine, outer)
                await _start_reading(engine, stop)
            looking = [
                _loop(engine, inner, "reload", partial(_reload_on, engine, reload)),
                _loop(engine, inner, "secrets", partial(read_secrets_again, engine)),
                _loop(engine, inner, "budget_waiting", engine.reading.note_waiting),
            ]
            engine.notifier.ready(summary(engine))
            background.append(_loop(engine, outer, "attend", partial(attend, engine)))
            background.append(_loop(engine, outer, "heartbeats", partial(heartbeats, engine)))
            log.info("collecting", tenants=len(config.tenants), sinks=len(config.sinks))
            await stop.wait()
            log.info("stopping")
            engine.stopping = True
            engine.notifier.stopping()
            _cancel(looking)
            engine.reading.cancel()
        left = await engine.delivering.drained(DRAIN_SECONDS - GRACE_SECONDS)
        if left:
            log.info("stopped before everything was delivered, the rest follows after the next start", sinks=left)
        await engine.delivering.end(GRACE_SECONDS)
        _cancel(background)


@asynccontextmanager
async def _starting(engine: Engine) -> AsyncIterator[None]:
    """Who asks for a reload meanwhile waits: it would be undone by what is still to be started, or start it twice."""
    async with engine.reloading:
        try:
            yield
        except BaseException:
            engine.stopping = True
            raise


async def _start_delivering(engine: Engine, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """Start the sinks, then those who look after them: to the janitor, what no sink claims counts as delivered."""
    await engine.start_sinks(engine.config, list(engine.config.sinks))
    return [
        _loop(engine, group, "janitor", engine.janitor.run),
        _loop(engine, group, "pass_over", engine.delivering.pass_over),
    ]


async def _start_reading(engine: Engine, stop: asyncio.Event) -> None:
    configured = await _ready_to_read(engine)
    for account in configured.values():
        if stop.is_set():
            return
        await engine.patience.until_done(partial(engine.reading.start, account))


async def _ready_to_read(engine: Engine) -> dict[tuple[str, str], Account]:
    """Every account, with all known that is to be known before one of them is polled."""
    configured = accounts(engine.config, engine.plugins)
    engine.reading.limits(configured)
    engine.reading.on_declared = engine.holding.look
    await engine.holding.load()
    return configured


def _loop(
    engine: Engine, group: asyncio.TaskGroup, name: str, work: Callable[[], Awaitable[None]]
) -> asyncio.Task[None]:
    return group.create_task(supervise(name, work, engine.clock), name=name)


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _reload_on(engine: Engine, asked: asyncio.Event) -> None:
    while True:
        with engine.clock.resting():
            await asked.wait()
        asked.clear()
        with suppress(ConfigError, StopAsked):  # it said so itself; what runs goes on
            await reload_config(engine)


async def _run_once(engine: Engine, deliver_timeout: float) -> bool:
    async with HttpClients() as http, asyncio.TaskGroup() as outer:
        engine.delivering = Delivering(outer, engine.store, engine.log, engine.events, engine.clock)
        async with asyncio.TaskGroup() as inner:
            engine.reading = Reading(inner, engine.store, engine.gate, http, engine.clock)
            background = await _start_delivering(engine, outer)
            failed = await _read_once(engine)
            engine.reading.cancel()
        left = await engine.delivering.drained(deliver_timeout)
        await engine.delivering.end(GRACE_SECONDS)
        _cancel(background)
    if left:
        log.error("not everything was delivered in time", sinks=left)
    return not failed and not left


async def _read_once(engine: Engine) -> bool:
    """Read every account; returns whether anything of them failed."""
    configured = await _ready_to_read(engine)
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(engine.reading.read_once(account)) for key, account in configured.items()}
    failures = [(key, failure) for key, task in tasks.items() for failure in task.result()]
    for (tenant, source), failure in failures:
        log.error("a feed could not be read to its end", tenant=tenant, source=source, error=str(failure))
    return bool(failures)


async def _unwrapped(work: Coroutine[None, None, T]) -> T:
    """Run it; of several errors at once raise the one that a person must know about."""
    try:
        return await work
    except BaseExceptionGroup as group:
        for kind in (StoreError, CollectorError, StopAsked):
            found: BaseException | None = group.subgroup(kind)
            while isinstance(found, BaseExceptionGroup):
                found = found.exceptions[0]
            if found is not None:
                raise found from group
        raise
