"""Whether a configuration works: log in at every vendor, reach every sink, look through the state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from collector.app.parts import Account, accounts
from collector.app.turns import budget_of, scheduler_for
from collector.clock import Clock
from collector.config import Config
from collector.errors import CollectorError, SinkError, SourceError, StateInUse
from collector.http import HttpClients
from collector.model import organization_key
from collector.pipeline.scheduler import Scheduler
from collector.plugins import Plugins, installed
from collector.sinks.base import SinkContext
from collector.sources.base import SeesOrganizations, Source, SourceContext
from collector.store import Store

_SECONDS = 60.0
_NAMED = 5
_PARTNER_SEES = 2  # organizations at least; a company's credentials see their own


@dataclass(frozen=True, slots=True)
class Seen:
    """An organization that a source's credentials see; `tenant`: the name mapped to it, None where there is none."""

    id: str
    name: str
    tenant: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check's table: what was tried, whether it works, what to know about it."""

    what: str
    good: bool
    remarks: Sequence[str]
    organizations: Sequence[Seen] = ()


async def check(config: Config, tenant: str | None) -> AsyncIterator[Finding]:
    """Try everything (`tenant`: only that tenant's sources), one after the other within the vendors' budgets."""
    plugins, clock = installed(), Clock()
    configured = [account for account in accounts(config, plugins).values() if tenant in {None, account.tenant}]
    scheduler = scheduler_for(configured, clock)
    async with HttpClients() as http:
        for account in configured:
            yield await _source(account, _map_of(account, config), http, scheduler, clock)
    for name in config.sinks:
        yield await _sink(name, config, plugins, clock)
    yield await _state(config, clock)


@dataclass(frozen=True, slots=True)
class _Map:
    """`names`: organization to tenant; `expected`: those of them that are meant for no other source of the tenant."""

    names: Mapping[str, str]
    expected: Mapping[str, str]


def _map_of(account: Account, config: Config) -> _Map:
    tenant = config.tenants[account.tenant]
    own = account.config.own_organizations or {}
    others = [source for source in tenant.sources if source.name != account.config.name]
    shared = any(source.type == account.config.type or source.own_organizations is not None for source in others)
    return _Map({**tenant.organizations, **own}, own if shared else {**tenant.organizations, **own})


async def _source(account: Account, mapped: _Map, http: HttpClients, scheduler: Scheduler, clock: Clock) -> Finding:
    what = f"source {account.tenant}/{account.name}"
    try:
        async with asyncio.timeout(_SECONDS), budget_of(account, scheduler) as budget:
            context = SourceContext(account.tenant, account.name, http, budget, clock)
            async with account.plugin.open(account.config, context) as source:
                finding = Finding(what, good=True, remarks=await source.check())
                return await _with_organizations(finding, source, mapped)
    except TimeoutError:
        return Finding(what, good=False, remarks=[f"no answer within {_SECONDS:.0f} s"])
    except SourceError as exc:
        return Finding(what, good=False, remarks=[str(exc)])


async def _with_organizations(finding: Finding, source: Source, mapped: _Map) -> Finding:
    """What the credentials see beside what is mapped; that it can't be told harms nothing."""
    if not isinstance(source, SeesOrganizations):
        return finding
    try:
        found = await source.organizations()
    except SourceError as exc:
        remarks = [f"the organizations can't be listed: {exc}"] if mapped.names else []
        return replace(finding, remarks=[*finding.remarks, *remarks])
    if found is None or (not mapped.names and len(found) < _PARTNER_SEES):
        return finding
    seen = [Seen(one.id, one.name, mapped.names.get(organization_key(one.id))) for one in found]
    return replace(finding, remarks=[*finding.remarks, *_about(seen, mapped)], organizations=seen)


def _about(seen: Sequence[Seen], mapped: _Map) -> list[str]:
    without = [f"{one.name} ({one.id})" if one.name else one.id for one in seen if one.tenant is None]
    told = f": {', '.join(without[:_NAMED])}" if mapped.names and without else ""
    more = f" and {len(without) - _NAMED} more" if told and len(without) > _NAMED else ""
    count = f"{len(seen)} organization{'s' if len(seen) != 1 else ''}"
    remarks = [f"sees {count}: {len(seen) - len(without)} mapped, {len(without)} without tenant{told}{more}"]
    ids = {organization_key(one.id) for one in seen}
    gone = [f"{key} ({tenant})" for key, tenant in mapped.expected.items() if key not in ids]
    if gone:
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        remarks.append(f"mapped, but not among what the credentials see: {', '.join(gone[:_NAMED])}{more}")
    return remarks


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
