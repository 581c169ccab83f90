"""What a configuration does to a state that another one left: names that changed, sinks and types that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from collector.app.delivering import Delivering
from collector.app.parts import accounts, renamed_streams
from collector.config import Config
from collector.errors import ConfigError
from collector.model import StreamId
from collector.pipeline.delivery import Delivery
from collector.pipeline.naming import Naming
from collector.pipeline.router import Router, is_router_state, must_begin_anew
from collector.plugins import Plugins
from collector.store import Backlog, Cursor, Store

log = structlog.get_logger()


def pending_renames(store: Store, config: Config, plugins: Plugins) -> list[tuple[StreamId, StreamId]]:
    """(old, new) of the streams that get another name, in an order in which every new name is free.

    A chain (a to b, b to c) is followed from its end; an exchange of two names is none and moves nothing.
    """
    known = set(store.streams())
    left = dict(renamed_streams(config, plugins))
    found = []
    while ready := [(old, new) for old, new in left.items() if old in known and new not in known]:
        old, new = ready[0]
        known = (known - {old}) | {new}
        found.append((old, new))
        del left[old]
    return found


async def rename_streams(store: Store, config: Config, plugins: Plugins) -> None:
    """Let streams go on under their new names, with their ids and positions."""
    for old, new in pending_renames(store, config, plugins):
        await store.rename_stream(old, new)


def refuse_changed_types(store: Store, config: Config, plugins: Plugins) -> None:
    """Look before anything is done whether each source can read what the state holds under its name.

    Raises:
        ConfigError: a name belongs to a source of another type.
    """
    known = store.streams()
    old_names = {new: old for old, new in renamed_streams(config, plugins)}
    problems = [
        f"{config.path}: {stream} is of type {before} in the state, not {account.config.type}: "
        "give the new source a `name` of its own"
        for account in accounts(config, plugins).values()
        for stream in account.streams
        if (before := known.get(stream, known.get(old_names.get(stream, stream), account.config.type)))
        != account.config.type
    ]
    if problems:
        raise ConfigError(problems)


async def refuse_lost_backlogs(store: Store, config: Config, running: Delivering | None = None) -> None:
    """Look whether every sink that is gone had delivered everything; of sinks that do not run all streams count.

    Raises:
        ConfigError: one had not, and is not known to be one that may lose events.
    """
    problems = []
    for cursor in await _gone(store, config):
        backlog = await _backlog(store, cursor, running)
        if backlog.events:
            problems.append(
                f"{config.path}: sinks.{cursor.sink} is gone, but {backlog.events} events wait for it: put it back, "
                f"say `renamed_from: {cursor.sink}` in the sink that takes its place, "
                f"or run `collector sinks forget {cursor.sink}`"
            )
    if problems:
        raise ConfigError(problems)


async def forget_gone_sinks(store: Store, config: Config) -> None:
    """Let go of the cursors of sinks that are gone, after `refuse_lost_backlogs` let them."""
    for sink in {cursor.sink for cursor in await _gone(store, config)}:
        await store.forget_sink(sink)


async def _gone(store: Store, config: Config) -> list[Cursor]:
    kept = {*config.sinks, *_renamed_sinks(config)}
    return [cursor for cursor in await store.cursors() if cursor.sink not in kept]


def _renamed_sinks(config: Config) -> Iterator[str]:
    return (old for sink in config.sinks.values() if (old := sink.renamed_from) is not None)


async def _backlog(store: Store, cursor: Cursor, delivering: Delivering | None) -> Backlog:
    if delivering is None or cursor.sink not in delivering.sinks:
        return await store.backlog(cursor.position)
    own: Delivery | Router | None = delivering.sinks[cursor.sink]
    at_work = own.deliveries.get(cursor.destination) if isinstance(own, Router) and cursor.destination else own
    if at_work is None or at_work.idle or not at_work.receiver.required:  # a closed destination has had everything
        return Backlog(0, 0, None)
    return await store.backlog(at_work.position, at_work.streams())


async def fitting_cursors(store: Store, naming: Naming, cursors: Sequence[Cursor]) -> list[Cursor]:
    """A sink's cursors, taken together into one where the configuration that made its destinations is gone.

    Otherwise what waits for a destination that no event goes to any more would be lost. All of the sink's events from
    the first one that waits then come again, wherever they go by now.
    """
    own = next(cursor for cursor in cursors if not cursor.destination)
    if naming.is_constant:
        fits = len(cursors) == 1 and not is_router_state(own.state)
    else:
        fits = not must_begin_anew(own.state, naming, list(store.streams()))
    if fits:
        return list(cursors)
    position = await store.merge_destinations(own.sink)
    if position < own.position:
        log.warning(
            "destinations changed while events waited: all of the sink's come again from there",
            sink=own.sink,
            since=position.seq,
            until=own.position.seq,
        )
    return [Cursor(own.sink, "", position, None)]
