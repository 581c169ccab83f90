"""A new configuration for a running collector: checked first, then only what changed is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from collector.app.attending import summary
from collector.app.parts import accounts, tenants
from collector.app.successors import forget_gone_sinks, pending_renames, refuse_changed_types, refuse_lost_backlogs
from collector.config import Config, load_config
from collector.errors import CollectorError, ConfigError
from collector.log import configure, hide
from collector.metrics import METRICS
from collector.model import StreamId

if TYPE_CHECKING:
    from collector.app.engine import Engine

K = TypeVar("K")
log = structlog.get_logger()

_RESTART = ("state", "admin")
# For the batch a sink is at, so that it need not be sent again.
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Changes(Generic[K]):
    """What of one kind goes, is restarted, comes."""

    gone: Sequence[K]
    changed: Sequence[K]
    new: Sequence[K]

    @property
    def stopped(self) -> list[K]:
        return [*self.gone, *self.changed]

    @property
    def started(self) -> list[K]:
        return [*self.changed, *self.new]


async def reload_config(engine: Engine) -> list[str]:
    """Read the configuration again and follow it; returns what changed, in words. One at a time.

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


async def _follow(engine: Engine) -> list[str]:
    try:
        config = await _loaded(engine)
        renames = pending_renames(engine.store, config, engine.plugins)
        sinks = _sinks(engine, config, everything=bool(renames))
        await _stop_sinks(engine, sinks.stopped)
    except ConfigError as exc:
        METRICS.config_reloads.labels(outcome="refused").inc()
        log.error("reload refused, nothing changed", problems=exc.problems)
        raise
    hide(*config.secret_values())
    configure(config.logging.level, config.logging.format)
    changes = await _apply(engine, config, renames, sinks)
    METRICS.config_reloads.labels(outcome="ok").inc()
    METRICS.config_last_reload.set(engine.clock.now().timestamp())
    log.info("configuration reloaded", changes=changes)
    return changes


async def _loaded(engine: Engine) -> Config:
    """The new configuration, with every reason to refuse it looked for that it bears itself."""
    config = await asyncio.to_thread(load_config, engine.config.path)
    changed = [section for section in _RESTART if getattr(config, section) != getattr(engine.config, section)]
    if changed:
        raise ConfigError([f"{config.path}: {section} changed: that takes a restart" for section in changed])
    refuse_changed_types(engine.store, config, engine.plugins)
    await refuse_lost_backlogs(engine.store, config, engine.delivering.deliveries)
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
    engine: Engine, config: Config, renames: Sequence[tuple[StreamId, StreamId]], sinks: _Changes[str]
) -> list[str]:
    sources = _sources(engine, config)
    for key in sources.stopped:
        await engine.reading.stop(key)
    await engine.patience.until_done(partial(_rename, engine, renames))
    engine.events.set_tenants(tenants(config))
    # Sinks start before sources: a new one's cursor stands before the first page of a new source.
    await engine.start_sinks(config, sinks.started)
    for name in sinks.gone:
        engine.delivering.forget(name)
    await engine.patience.until_done(lambda: forget_gone_sinks(engine.store, config))
    wanted = accounts(config, engine.plugins)
    engine.reading.limits(wanted)
    for key in sources.started:
        await engine.patience.until_done(partial(engine.reading.start, wanted[key]))
    described = _described(engine.config, config)
    engine.config = config
    for delivery in engine.delivering.deliveries.values():
        delivery.release()
    return [*described, *_told("source", sources, "/".join), *_told("sink", sinks, str)]


def _described(before: Config, after: Config) -> list[str]:
    """What changed without a restart of anything."""
    tenants_changed = [
        f"~ tenant {name}"
        for name, tenant in after.tenants.items()
        if (known := before.tenants.get(name)) is not None
        and (known.labels, known.organizations) != (tenant.labels, tenant.organizations)
    ]
    return [*tenants_changed, *(["~ logging"] if before.logging != after.logging else [])]


async def _rename(engine: Engine, renames: Sequence[tuple[StreamId, StreamId]]) -> None:
    for old, new in renames:
        await engine.store.rename_stream(old, new)
    if renames:
        engine.log.forget_names()


def _sources(engine: Engine, config: Config) -> _Changes[tuple[str, str]]:
    before, after = accounts(engine.config, engine.plugins), accounts(config, engine.plugins)
    squeezed = engine.reading.out_of_budget(after)
    return _Changes(
        gone=[key for key in before if key not in after],
        changed=[
            key for key in after if key in before and (after[key].config != before[key].config or key in squeezed)
        ],
        new=[key for key in after if key not in before],
    )


def _sinks(engine: Engine, config: Config, *, everything: bool) -> _Changes[str]:
    before, after = engine.config.sinks, config.sinks
    remapped = _mapped(config) != _mapped(engine.config)

    def must_restart(name: str) -> bool:
        # Routes by tenant see through the names that organizations are mapped to.
        return everything or after[name] != before[name] or (remapped and bool(after[name].route.tenants))

    return _Changes(
        gone=[name for name in before if name not in after],
        changed=[name for name in after if name in before and must_restart(name)],
        new=[name for name in after if name not in before],
    )


def _mapped(config: Config) -> dict[str, frozenset[str]]:
    return {name: tenant.names for name, tenant in config.tenants.items() if tenant.names}


def _told(kind: str, changes: _Changes[K], name: Callable[[K], str]) -> list[str]:
    signs = (("-", changes.gone), ("~", changes.changed), ("+", changes.new))
    return [f"{sign} {kind} {name(key)}" for sign, keys in signs for key in keys]
