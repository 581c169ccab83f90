"""The running sources: each account's pollers, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import structlog

from collector.app.parts import Account
from collector.budget import Budget
from collector.clock import Clock
from collector.errors import NotLicensed, PageRefused, SourceDenied, SourceError, StoreFull
from collector.http import HttpClients
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.asking import Asking, intervals
from collector.pipeline.gate import Gate
from collector.pipeline.poll_report import note_lag
from collector.pipeline.poller import Poller
from collector.pipeline.scheduler import RateLimit, Scheduler
from collector.pipeline.status import FeedStatus
from collector.pipeline.timetable import Entry, Timetable
from collector.policy import Policy
from collector.sources.base import BudgetKey, HasWarnings, Source, SourceContext
from collector.store import Store
from collector.supervisor import supervise
from collector.turns import Caller

log = structlog.get_logger()

_WAITING_SECONDS = 1.0
_LAG_SECONDS = 15.0


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
        self._timetable = Timetable(group, clock, self._keep)
        self._starting = self._spawn("timetable", self._timetable.run)
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._budgets: dict[BudgetKey, asyncio.Task[None]] = {}
        self._open: dict[tuple[str, str], Source] = {}
        self._ended = False
        self._configured = 0
        self.feeds: dict[StreamId, FeedStatus] = {}
        self.on_declared: Callable[[Account], Awaitable[None]] | None = None

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
            budget = self._budget(account)
            async with account.plugin.open(account.config, self._context(account, budget)) as source:
                pollers = self._pollers(account, source, budget.policy)
                try:
                    async with asyncio.TaskGroup() as group:
                        for stream, poller in zip(account.streams, pollers, strict=True):
                            if (stop := self._gate.stops.get(stream)) is None:
                                group.create_task(_once(poller, failures), name="once")
                            elif stop.state == "held":
                                failures.append(SourceDenied(stop.reason))
                finally:
                    _leave(pollers, budget.policy)
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
        for task in [*self._tasks.values(), *self._budgets.values(), self._starting]:
            task.cancel()

    def warnings(self) -> list[str]:
        """What running sources lack beside their feeds, a sentence each."""
        return [
            f"{tenant}/{name}: {warning}"
            for (tenant, name), source in sorted(self._open.items(), key=lambda each: each[0])
            if isinstance(source, HasWarnings)
            for warning in source.warnings()
        ]

    async def note_waiting(self) -> None:
        """Count the requests that wait for their turn, and see feeds that are not read fall behind, for ever."""
        due = 0.0
        while True:
            if (now := self._clock.monotonic()) >= due:
                due = now + _LAG_SECONDS
                for feed in self.feeds.values():
                    if not feed.is_read(now):
                        note_lag(feed, now)
            for lane, count in self._scheduler.waiting().items():
                METRICS.budget_waiting.labels(lane=lane).set(count)
            await self._clock.sleep(_WAITING_SECONDS)

    async def _keep(self, name: str, round_: Callable[[], Awaitable[None]]) -> None:
        await supervise(name, round_, self._clock, ends=True)

    def _spawn(self, loop: str, work: Callable[[], Awaitable[None]], name: str | None = None) -> asyncio.Task[None]:
        return self._group.create_task(supervise(loop, work, self._clock), name=name or loop)

    async def _declare(self, account: Account) -> None:
        for stream in account.streams:
            METRICS.declare_feed(stream.tenant, stream.source, stream.feed)
            self.feeds.setdefault(stream, FeedStatus(stream))
            await self._store.add_stream(stream, account.config.type, account.plugin.vendor)
        if self.on_declared is not None:
            await self.on_declared(account)

    async def _poll(self, account: Account) -> None:
        budget = self._budget(account)
        async with account.plugin.open(account.config, self._context(account, budget)) as source:
            lanes: list[Entry] = []
            pollers = self._pollers(account, source, budget.policy)
            self._open[account.key] = source
            try:
                for poller in pollers:
                    poller.on_started = partial(self._add_sweep, poller, lanes)
                    lanes.append(self._timetable.add("tip", poller.tip, poller.tip_delay))
                await asyncio.get_running_loop().create_future()  # until it is stopped
            finally:
                del self._open[account.key]
                _leave(pollers, budget.policy)
                await self._timetable.remove(lanes)

    def _add_sweep(self, poller: Poller, lanes: list[Entry]) -> None:
        lanes.append(self._timetable.add("sweep", poller.sweep))

    def _budget(self, account: Account) -> Budget:
        key = account.plugin.budget_key(account.config)
        budget, new = self._scheduler.budget(key)
        if new:
            self._budgets[key] = self._spawn("budget", budget.run)
        return budget

    def _context(self, account: Account, budget: Budget) -> SourceContext:
        return SourceContext(account.tenant, account.name, self._http, budget, self._clock)

    def _pollers(self, account: Account, source: Source, policy: Policy) -> list[Poller]:
        """One for each feed of it, all known to those who give turns."""
        pollers = [self._poller(account, stream, source) for stream in account.streams]
        for poller in pollers:
            policy.join(poller.caller)
        return pollers

    def _poller(self, account: Account, stream: StreamId, source: Source) -> Poller:
        status, caller = self.feeds[stream], Caller(_max_age(account))
        status.max_age_seconds = caller.max_age
        config = account.config
        pace = intervals(stream, config.poll_interval, config.sweep.every, self._configured)
        asking = Asking(caller, self._http.room)
        return Poller(stream, source, self._store, self._gate, self._clock, pace, asking, status)


def _leave(pollers: Iterable[Poller], policy: Policy) -> None:
    for poller in pollers:
        policy.leave(poller.caller)


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
