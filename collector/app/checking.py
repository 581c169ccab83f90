"""Whether a configuration works: log in at every vendor, reach every sink, look through the state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from collector.app.parts import Account, accounts
from collector.app.turns import budget_of, scheduler_for
from collector.clock import Clock
from collector.config import Config
from collector.errors import CollectorError, SinkError, SourceError, StateInUse
from collector.http import HttpClients
from collector.pipeline.scheduler import Scheduler
from collector.plugins import Plugins, installed
from collector.sinks.base import SinkContext
from collector.sources.base import SourceContext
from collector.store import Store

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check's table: what was tried, whether it works, what to know about it."""

    what: str
    good: bool
    remarks: Sequence[str]


async def check(config: Config, tenant: str | None) -> AsyncIterator[Finding]:
    """Try everything (`tenant`: only that tenant's sources), one after the other within the vendors' budgets."""
    plugins, clock = installed(), Clock()
    configured = [account for account in accounts(config, plugins).values() if tenant in {None, account.tenant}]
    scheduler = scheduler_for(configured, clock)
    async with HttpClients() as http:
        for account in configured:
            yield await _source(account, http, scheduler, clock)
    for name in config.sinks:
        yield await _sink(name, config, plugins, clock)
    yield await _state(config, clock)


async def _source(account: Account, http: HttpClients, scheduler: Scheduler, clock: Clock) -> Finding:
    what = f"source {account.tenant}/{account.name}"
    try:
        async with asyncio.timeout(_SECONDS), budget_of(account, scheduler) as budget:
            context = SourceContext(account.tenant, account.name, http, budget, clock)
            async with account.plugin.open(account.config, context) as source:
                return Finding(what, good=True, remarks=await source.check())
    except TimeoutError:
        return Finding(what, good=False, remarks=[f"no answer within {_SECONDS:.0f} s"])
    except SourceError as exc:
        return Finding(what, good=False, remarks=[str(exc)])


async def _sink(name: str, config: Config, plugins: Plugins, clock: Clock) -> Finding:
    sink = config.sinks[name]
    try:
        async with (
            asyncio.timeout(_SECONDS),
            plugins.sinks.get(sink.type).open(sink, SinkContext(name, clock), None) as opened,
        ):
            await opened.probe()
    except TimeoutError:
        return Finding(f"sink {name}", good=False, remarks=[f"no answer within {_SECONDS:.0f} s"])
    except SinkError as exc:
        return Finding(f"sink {name}", good=False, remarks=[str(exc)])
    return Finding(f"sink {name}", good=True, remarks=[])


async def _state(config: Config, clock: Clock) -> Finding:
    path = config.state.path
    what = f"state {path}"
    if not await asyncio.to_thread(path.exists):
        return Finding(what, good=True, remarks=["not there yet: made at the first start"])
    try:
        async with Store.open(path, max_size=config.state.max_size, clock=clock) as store:
            damage = await store.full_check()
    except StateInUse:
        return Finding(what, good=True, remarks=["in use by a running daemon: not looked at"])
    except CollectorError as exc:
        return Finding(what, good=False, remarks=[str(exc)])
    return Finding(what, good=not damage, remarks=damage)
