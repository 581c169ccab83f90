"""The running sources: each account's pollers, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import structlog

from collector.app.parts import Account
from collector.clock import Clock
from collector.errors import NotLicensed, PageRefused, SourceError, StoreFull
from collector.http import HttpClients
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.asking import Asking, intervals
from collector.pipeline.gate import Gate
from collector.pipeline.poller import Poller
from collector.pipeline.scheduler import RateLimit, Scheduler
from collector.pipeline.status import FeedStatus
from collector.sources.base import BudgetKey, Source, SourceContext
from collector.store import Store
from collector.supervisor import supervise
from collector.turns import Caller

log = structlog.get_logger()

_WAITING_SECONDS = 1.0


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
        self._budgets: dict[BudgetKey, asyncio.Task[None]] = {}
        self._ended = False
        self._configured = 0
        self.feeds: dict[StreamId, FeedStatus] = {}

    def out_of_budget(self, accounts: Mapping[tuple[str, str], Account]) -> set[tuple[str, str]]:
        """Which of these accounts hold a budget that `limits` would replace: they are to be stopped before."""
        changed = self._scheduler.changed(rate_limits(accounts.values()))
        return {key for key, account in accounts.items() if account.plugin.budget_key(account.config) in changed}

    def limits(self, accounts: Mapping[tuple[str, str], Account]) -> None:
        """Make every account's rate limit known before any of them asks for its budget."""
        wanted = list(rate_limits(accounts.values()))
        for key in self._scheduler.changed(wanted):
            self._budgets.pop(key).cancel()
        self._scheduler.follow(wanted)
        self._configured = sum(len(account.streams) for account in accounts.values())

    async def start(self, account: Account) -> None:
        """Poll an account until it is stopped. After `cancel` nothing is started."""
        await self.stop(account.key)
        await self._declare(account)
        if self._ended:
            return
        task = self._spawn("source", partial(self._poll, account), f"source {account.tenant}/{account.name}")
        self._tasks[account.key] = task

    async def read_once(self, account: Account) -> list[Exception]:
        """Read an account's feeds to their end; returns what went wrong, feed by feed.

        A feed that good credentials may not read is none of it where they have another.
        """
        await self._declare(account)
        failures: list[Exception] = []
        try:
            async with self._pollers(account) as pollers, asyncio.TaskGroup() as group:
                for poller in pollers:
                    group.create_task(_once(poller, failures), name="once")
        except SourceError as exc:  # from opening it: the pollers keep theirs to themselves
            failures.append(exc)
        if len(failures) == len(account.streams):
            return failures
        for failure in failures:
            if isinstance(failure, NotLicensed):
                log.warning("a feed is not licensed", tenant=account.tenant, source=account.name, error=str(failure))
        return [failure for failure in failures if not isinstance(failure, NotLicensed)]

    async def stop(self, key: tuple[str, str]) -> None:
        """Stop polling an account, if it is polled, and wait until it has stopped."""
        task = self._tasks.pop(key, None)
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        for stream in [stream for stream in self.feeds if (stream.tenant, stream.source) == key]:
            del self.feeds[stream]
        METRICS.forget(tenant=key[0], source=key[1])

    def cancel(self) -> None:
        """Stop polling everything; the task group ends with it."""
        self._ended = True
        for task in [*self._tasks.values(), *self._budgets.values()]:
            task.cancel()

    async def note_waiting(self) -> None:
        """Count the requests that wait for their turn, for ever."""
        while True:
            for lane, count in self._scheduler.waiting().items():
                METRICS.budget_waiting.labels(lane=lane).set(count)
            await self._clock.sleep(_WAITING_SECONDS)

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
        key = account.plugin.budget_key(account.config)
        budget, new = self._scheduler.budget(key)
        if new:
            self._budgets[key] = self._spawn("budget", budget.run)
        context = SourceContext(account.tenant, account.name, self._http, budget, self._clock)
        callers = {stream: Caller(_max_age(account)) for stream in account.streams}
        async with account.plugin.open(account.config, context) as source:
            try:
                for caller in callers.values():
                    budget.policy.join(caller)
                yield [self._poller(account, stream, source, caller) for stream, caller in callers.items()]
            finally:
                for caller in callers.values():
                    budget.policy.leave(caller)

    def _poller(self, account: Account, stream: StreamId, source: Source, caller: Caller) -> Poller:
        status = self.feeds[stream]
        status.max_age_seconds = caller.max_age
        config = account.config
        pace = intervals(stream, config.poll_interval, config.sweep.every, self._configured)
        asking = Asking(caller, self._http.room)
        return Poller(stream, source, self._store, self._gate, self._clock, pace, asking, status)


def _max_age(account: Account) -> float:
    """In seconds; a feed may well be asked less often than `max_age` where `poll_interval` says so."""
    return max(account.config.max_age, account.config.poll_interval).total_seconds()


def rate_limits(accounts: Iterable[Account]) -> Iterable[tuple[BudgetKey, RateLimit]]:
    """The rate limit of every account, by the budget it counts against."""
    for account in accounts:
        limit = account.config.rate_limit
        yield account.plugin.budget_key(account.config), (limit.requests, limit.per.total_seconds())


async def _once(poller: Poller, failures: list[Exception]) -> None:
    try:
        await poller.once()
    except (SourceError, PageRefused, StoreFull) as exc:
        failures.append(exc)
