"""The running sources: each account's pollers, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import structlog

from collector.app.parts import Account
from collector.clock import Clock
from collector.http import HttpClients
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.gate import Gate
from collector.pipeline.poller import Intervals, Poller
from collector.pipeline.scheduler import Scheduler
from collector.pipeline.status import FeedStatus
from collector.sources.base import SourceContext
from collector.store import Store
from collector.supervisor import supervise

log = structlog.get_logger()


class Reading:
    """Starts and stops accounts inside the task group it was given."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        store: Store,
        gate: Gate,
        http: HttpClients,
        clock: Clock,
    ) -> None:
        self._group = group
        self._store = store
        self._gate = gate
        self._http = http
        self._clock = clock
        self._scheduler = Scheduler(clock)
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []
        self.feeds: dict[StreamId, FeedStatus] = {}

    @property
    def waiting(self) -> Mapping[str, int]:
        """Requests that wait for their turn, by lane."""
        return self._scheduler.waiting()

    def limits(self, accounts: Mapping[tuple[str, str], Account]) -> None:
        """Make every account's rate limit known before any of them asks for its budget."""
        for account in accounts.values():
            limit = account.config.rate_limit
            key = account.plugin.budget_key(account.config)
            self._scheduler.limit(key, limit.requests, limit.per.total_seconds())

    async def start(self, account: Account) -> None:
        """Poll an account until it is stopped."""
        await self._declare(account)
        task = self._spawn("source", partial(self._poll, account), f"source {account.tenant}/{account.name}")
        self._tasks[account.key] = task

    async def read_once(self, account: Account) -> list[BaseException]:
        """Read an account's feeds to their end; returns what went wrong, feed by feed."""
        await self._declare(account)
        async with self._pollers(account) as pollers:
            results = await asyncio.gather(*[poller.once() for poller in pollers], return_exceptions=True)
        return [result for result in results if result is not None]

    async def stop(self, key: tuple[str, str]) -> None:
        """Stop polling an account and wait until it has stopped."""
        task = self._tasks.pop(key)
        task.cancel()
        await asyncio.wait({task})
        for stream in [stream for stream in self.feeds if (stream.tenant, stream.source) == key]:
            del self.feeds[stream]
            METRICS.forget(tenant=stream.tenant, source=stream.source, feed=stream.feed)

    def cancel(self) -> None:
        """Stop polling everything; the task group ends with it."""
        for task in [*self._tasks.values(), *self._background]:
            task.cancel()

    def _spawn(self, loop: str, work: Callable[[], Awaitable[None]], name: str | None = None) -> asyncio.Task[None]:
        return self._group.create_task(supervise(loop, work, self._clock), name=name or loop)

    async def _declare(self, account: Account) -> None:
        for stream in account.streams:
            METRICS.declare_feed(stream.tenant, stream.source, stream.feed)
            self.feeds.setdefault(stream, FeedStatus(stream))
            await self._store.add_stream(stream, account.config.type, account.plugin.vendor)

    async def _poll(self, account: Account) -> None:
        async with self._pollers(account) as pollers, asyncio.TaskGroup() as group:
            for poller in pollers:
                group.create_task(supervise("tip", poller.run_tip, self._clock), name="tip")
                group.create_task(supervise("sweep", poller.run_sweep, self._clock), name="sweep")

    @asynccontextmanager
    async def _pollers(self, account: Account) -> AsyncIterator[list[Poller]]:
        budget, new = self._scheduler.budget(account.plugin.budget_key(account.config))
        if new:
            self._background.append(self._spawn("budget", budget.run))
        context = SourceContext(account.tenant, account.name, self._http, budget, self._clock)
        intervals = Intervals(account.config.poll_interval, account.config.sweep.every)
        async with account.plugin.open(account.config, context) as source:
            yield [
                Poller(stream, source, self._store, self._gate, self._clock, intervals, self.feeds[stream])
                for stream in account.streams
            ]
