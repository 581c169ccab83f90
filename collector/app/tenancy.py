"""What operators may do to a tenant of the running collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from collector.app.holding import accept
from collector.app.parts import accounts, tenants
from collector.app.purging import Purge, planned, refuse_unpaused
from collector.errors import CollectorError
from collector.pipeline.status import note_dead_letters

if TYPE_CHECKING:
    from collector.app.engine import Engine

log = structlog.get_logger()

# For the batch a sink is at, so that it need not be sent again.
_STOP_SECONDS = 10.0


async def pause_tenant(engine: Engine, tenant: str) -> None:
    """Poll a tenant no more until `resume_tenant`; what is in the log is delivered.

    Raises:
        CollectorError: no tenant of that name with sources of its own.
    """
    _refuse_unknown(engine, tenant)
    async with engine.reloading:
        await engine.holding.pause(tenant)
    log.warning("tenant paused by operator", tenant=tenant)


async def resume_tenant(engine: Engine, tenant: str) -> None:
    """Poll a tenant again, from where it was.

    Raises:
        CollectorError: it is not paused.
    """
    if not engine.holding.is_paused(tenant):
        raise CollectorError(f"{tenant} is not paused")
    async with engine.reloading:
        await engine.holding.resume(tenant)
    log.info("tenant resumed by operator", tenant=tenant)


async def accept_account(engine: Engine, tenant: str, source: str | None, *, anew: bool) -> int:
    """Let held feeds go on with the account they have now; returns how many.

    Raises:
        CollectorError: no such tenant or source.
    """
    async with engine.reloading:
        chosen = [
            account
            for account in accounts(engine.config, engine.plugins).values()
            if account.tenant == tenant and source in {None, account.name}
        ]
        held = [account for account in chosen if engine.holding.held(account)]
        for account in held:
            await engine.reading.stop(account.key)  # its pollers remember positions
        changed = await accept(engine.store, engine.config, engine.plugins, tenant, source, anew=anew)
        await engine.holding.load()
        for account in held:
            await engine.reading.start(account)
    log.info("another account accepted by operator", tenant=tenant, source=source, feeds=changed, anew=anew)
    return changed


async def purge_tenant(engine: Engine, tenant: str) -> int:
    """Take a tenant's events out of the state; returns how many. Other tenants go on meanwhile.

    Raises:
        CollectorError: nobody knows it; it is polled; a sink hangs with some of its events.
    """
    async with engine.reloading:
        purge = planned(engine.store, engine.events, engine.config, tenant)
        refuse_unpaused(engine.config, tenant, await engine.store.tenants.paused())
        own = [one for one in accounts(engine.config, engine.plugins).values() if one.tenant == tenant]
        for account in own:
            await engine.reading.stop(account.key)
        try:
            _forget_in_memory(engine)
            await purge.take_away()
            await _reopen_sinks(engine, purge)
            _forget_in_memory(engine)
            await purge.take_away()  # what sinks refused meanwhile
            await purge.settle()
            engine.log.forget_names()
            await engine.holding.refresh()
        finally:
            for account in own:
                await engine.reading.start(account)
        await purge.clean()
    counts = await engine.store.dead_letter_counts()
    note_dead_letters([claim.delivery.status for claim in engine.delivering.claims()], counts)
    for delivery in engine.delivering.deliveries.values():
        delivery.wake()
    log.warning("tenant purged by operator", tenant=tenant, events=purge.events_gone)
    return purge.events_gone


def _refuse_unknown(engine: Engine, tenant: str) -> None:
    if tenant in engine.config.tenants:
        return
    for partner, known in engine.config.tenants.items():
        if tenant in known.names:
            raise CollectorError(f"{tenant} is read with the credentials of {partner}: pause {partner}")
    raise CollectorError(f"no tenant {tenant} in {engine.config.path}")


def _forget_in_memory(engine: Engine) -> None:
    engine.log.forget_names()
    engine.events.set_tenants(tenants(engine.config))


async def _reopen_sinks(engine: Engine, purge: Purge) -> None:
    """Have sinks read anew what they hold in memory."""
    names = [
        name
        for name, one in engine.delivering.sinks.items()
        if any(one.receiver.stage.takes_stream(stream) for stream in purge.streams)
    ]
    hanging = await engine.delivering.stop(names, _STOP_SECONDS)
    await engine.start_sinks(engine.config, names)
    if hanging:
        raise CollectorError(f"sink {', '.join(hanging)} hangs and may hold some of it: run it again when it answers")
