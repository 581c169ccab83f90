"""A new configuration for a running collector: checked first, then only what changed is restarted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from collector.app.attending import summary
from collector.app.parts import accounts, renamed_streams, tenants
from collector.config import Config, load_config
from collector.errors import ConfigError
from collector.log import configure, hide
from collector.metrics import METRICS
from collector.store import Store

if TYPE_CHECKING:
    from collector.app.engine import Engine

log = structlog.get_logger()

_RESTART = ("state", "admin")


async def reload_config(engine: Engine) -> list[str]:
    """Read the configuration again and follow it; returns what changed, in words.

    Raises:
        ConfigError: it can't be used, or would lose a backlog: nothing was changed.
    """
    engine.notifier.reloading()
    try:
        return await _follow(engine)
    finally:
        engine.notifier.ready(summary(engine))


async def _follow(engine: Engine) -> list[str]:
    try:
        config = await _loaded(engine)
    except ConfigError as exc:
        METRICS.config_reloads.labels(outcome="refused").inc()
        log.error("reload refused, nothing changed", problems=exc.problems)
        raise
    hide(*config.secret_values())
    configure(config.logging.level, config.logging.format)
    changes = [*await _sources(engine, config), *await _sinks(engine, config)]
    engine.events.set_tenants(tenants(config))
    engine.config = config
    METRICS.config_reloads.labels(outcome="ok").inc()
    METRICS.config_last_reload.set(engine.clock.now().timestamp())
    log.info("configuration reloaded", changes=changes)
    return changes


async def _loaded(engine: Engine) -> Config:
    config = await asyncio.to_thread(load_config, engine.config.path)
    changed = [section for section in _RESTART if getattr(config, section) != getattr(engine.config, section)]
    if changed:
        raise ConfigError([f"{config.path}: {section} changed: that takes a restart" for section in changed])
    await refuse_lost_backlogs(engine.store, config, drop=False)
    return config


async def _sources(engine: Engine, config: Config) -> list[str]:
    before, after = accounts(engine.config, engine.plugins), accounts(config, engine.plugins)
    gone = [key for key in before if key not in after]
    changed = [key for key in after if key in before and after[key].config != before[key].config]
    new = [key for key in after if key not in before]
    for key in [*gone, *changed]:
        await engine.reading.stop(key)
    for old_name, new_name in renamed_streams(config, engine.plugins):
        await engine.store.rename_stream(old_name, new_name)
    engine.reading.limits(after)
    for key in [*changed, *new]:
        await engine.reading.start(after[key])
    signs = (("-", gone), ("~", changed), ("+", new))
    return [f"{sign} source {tenant}/{name}" for sign, keys in signs for tenant, name in keys]


async def _sinks(engine: Engine, config: Config) -> list[str]:
    before, after = engine.config.sinks, config.sinks
    mapping_changed = {name: tenant.names for name, tenant in config.tenants.items()} != {
        name: tenant.names for name, tenant in engine.config.tenants.items()
    }
    gone = [name for name in before if name not in after]
    changed = [name for name in after if name in before and (after[name] != before[name] or mapping_changed)]
    new = [name for name in after if name not in before]
    for name in [*gone, *changed]:
        await engine.delivering.stop(name)
    await engine.start_sinks(config, [*changed, *new])
    for name in gone:
        METRICS.forget(sink=name)
    await refuse_lost_backlogs(engine.store, config)
    signs = (("-", gone), ("~", changed), ("+", new))
    return [f"{sign} sink {name}" for sign, names in signs for name in names]


async def refuse_lost_backlogs(store: Store, config: Config, *, drop: bool = True) -> None:
    """Forget the cursors of sinks that are gone and had delivered everything (`drop` false: only look).

    Raises:
        ConfigError: a sink is gone that had not.
    """
    renamed = {sink.renamed_from for sink in config.sinks.values()}
    problems = []
    for cursor in await store.cursors():
        if cursor.sink in config.sinks or cursor.sink in renamed:
            continue
        backlog = await store.backlog(cursor.position)
        if backlog.events:
            problems.append(
                f"{config.path}: sinks.{cursor.sink} is gone, but {backlog.events} events wait for it: put it back, "
                f"say `renamed_from: {cursor.sink}` in the sink that takes its place, "
                f"or run `collector sinks forget {cursor.sink}`"
            )
        elif drop:
            await store.forget_sink(cursor.sink)
    if problems:
        raise ConfigError(problems)
