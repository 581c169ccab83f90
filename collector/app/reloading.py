"""A new configuration for a running collector: checked first, then only what changed is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from collector.app.attending import summary
from collector.app.changes import Changes, Reloaded, compared, lookalikes, told
from collector.app.parts import Account, accounts, tenants
from collector.app.successors import forget_gone_sinks, pending_renames, refuse_changed_types, refuse_lost_backlogs
from collector.config import Config, load_config
from collector.errors import CollectorError, ConfigError
from collector.log import configure, hide
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.router import Router

if TYPE_CHECKING:
    from collector.app.engine import Engine

Key = tuple[str, str]
log = structlog.get_logger()

_RESTART = ("state", "admin")
# For the batch a sink is at, so that it need not be sent again.
_STOP_SECONDS = 10.0


async def reload_config(engine: Engine) -> Reloaded:
    """Read the configuration again and follow it; returns what changed. One at a time.

    Raises:
        ConfigError: it can't be used, or would lose a backlog: nothing was changed.
        CollectorError: the collector is about to stop.
    """
    async with engine.reloading:
        if engine.stopping:
            raise CollectorError("the collector is stopping")
        engine.notifier.reloading()
        try:
            return await _follow(engine)
        finally:
            engine.notifier.ready(summary(engine))


async def _follow(engine: Engine) -> Reloaded:
    try:
        config = await _loaded(engine)
        renames = pending_renames(engine.store, config, engine.plugins)
        sinks = _sinks(engine, config, renames)
        await _stop_sinks(engine, sinks.stopped)
    except ConfigError as exc:
        METRICS.config_reloads.labels(outcome="refused").inc()
        log.error("reload refused, nothing changed", problems=exc.problems)
        raise
    hide(*config.secret_values())
    configure(config.logging.level, config.logging.format)
    done = await _apply(engine, config, renames, sinks)
    METRICS.config_reloads.labels(outcome="ok").inc()
    METRICS.config_last_reload.set(engine.clock.now().timestamp())
    log.info("configuration reloaded", summary=done.summary, changes=done.changed)
    for warning in done.warnings:
        log.warning("configuration", remark=warning)
    return done


async def _loaded(engine: Engine) -> Config:
    """The new configuration, with every reason to refuse it looked for that it bears itself."""
    config = await asyncio.to_thread(load_config, engine.config.path)
    changed = [section for section in _RESTART if getattr(config, section) != getattr(engine.config, section)]
    if changed:
        raise ConfigError([f"{config.path}: {section} changed: that takes a restart" for section in changed])
    refuse_changed_types(engine.store, config, engine.plugins)
    await refuse_lost_backlogs(engine.store, config, engine.delivering)
    return config


async def _stop_sinks(engine: Engine, names: Sequence[str]) -> None:
    """Stop sinks, before streams get other names: a batch under way is settled under the names it was read with.

    Raises:
        ConfigError: one hangs. All go on as they were; after this there is no way back.
    """
    hanging = await engine.delivering.stop(names, _STOP_SECONDS)
    if hanging:
        await engine.start_sinks(engine.config, names)
        raise ConfigError(
            [f"sinks.{name} can't be stopped, its disk hangs: reload when it answers, or restart" for name in hanging]
        )


async def _apply(
    engine: Engine, config: Config, renames: Sequence[tuple[StreamId, StreamId]], sinks: Changes[str]
) -> Reloaded:
    before, wanted = accounts(engine.config, engine.plugins), accounts(config, engine.plugins)
    sources = _sources(engine, config, before, wanted)
    for key in sources.stopped:
        await engine.reading.stop(key)
    await engine.patience.until_done(partial(_rename, engine, renames))
    engine.events.set_tenants(tenants(config))
    # Sinks start before sources: a new one's cursor stands before the first page of a new source.
    await engine.start_sinks(config, sinks.started)
    for name in sinks.left:
        engine.delivering.forget(name)
    await engine.patience.until_done(lambda: forget_gone_sinks(engine.store, config))
    engine.reading.limits(wanted)
    for key in sources.started:
        await engine.patience.until_done(partial(engine.reading.start, wanted[key]))
    done = told(engine.config, config, sources, sinks, lookalikes(before, wanted, sources))
    for name in _names(engine.config) - _names(config):
        METRICS.forget(tenant=name)
    engine.config = config
    await engine.holding.refresh()
    for one in (*engine.delivering.sinks.values(), *engine.delivering.deliveries.values()):
        one.release()
    return done


def _names(config: Config) -> set[str]:
    """Every tenant name that events may carry."""
    return {*config.tenants, *(name for tenant in config.tenants.values() for name in tenant.names)}


async def _rename(engine: Engine, renames: Sequence[tuple[StreamId, StreamId]]) -> None:
    for old, new in renames:
        await engine.store.rename_stream(old, new)
    if renames:
        engine.log.forget_names()
        await engine.holding.load()


def _sources(
    engine: Engine, config: Config, before: Mapping[Key, Account], after: Mapping[Key, Account]
) -> Changes[Key]:
    squeezed = engine.reading.out_of_budget(after)
    renamed = {
        key: (config.tenants[key[0]].renamed_from or key[0], account.config.renamed_from or key[1])
        for key, account in after.items()
    }

    def is_changed(key: Key) -> bool:
        # To which tenants a source's organizations are mapped is seen to behind it.
        return after[key].config.without_names() != before[key].config.without_names()

    return compared(before, after, renamed, lambda key: is_changed(key) or key in squeezed)


def _relabelled(before: Config, after: Config) -> bool:
    views = tenants(after)
    return any(views.get(name) != view for name, view in tenants(before).items())


def _sinks(engine: Engine, config: Config, renames: Sequence[tuple[StreamId, StreamId]]) -> Changes[str]:
    before, after = engine.config.sinks, config.sinks
    remapped = _mapped(config) != _mapped(engine.config)
    relabelled = _relabelled(engine.config, config)
    renamed = {name: sink.renamed_from for name, sink in after.items() if sink.renamed_from}

    def is_changed(name: str) -> bool:
        # Routes by tenant see through the names that organizations are mapped to.
        if after[name] != before[name] or (remapped and bool(after[name].route.tenants)):
            return True
        # What waits for one destination may go to another now.
        return relabelled and isinstance(engine.delivering.sinks.get(name), Router)

    def is_reopened(name: str) -> bool:
        # What it has read ahead bears a name under which nothing can be settled any more.
        running = engine.delivering.sinks.get(name)
        return running is not None and any(running.receiver.stage.takes_stream(old) for old, _ in renames)

    return compared(before, after, renamed, is_changed, is_reopened)


def _mapped(config: Config) -> dict[str, frozenset[str]]:
    return {name: tenant.names for name, tenant in config.tenants.items() if tenant.names}
