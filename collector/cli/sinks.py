"""`collector sinks`: let go of a sink that the configuration no longer has."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from collector.cli.daemon import add_config_argument, config_path
from collector.errors import CollectorError, StateInUse

if TYPE_CHECKING:
    from collector.config import Config


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("sinks", help="forget a sink and what waits for it")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    forget = verbs.add_parser(
        "forget",
        help="forget a sink and what waits for it",
        description="For a sink that was removed from the configuration while events waited for it: they are given up. "
        "The daemon must be stopped.",
    )
    forget.add_argument("sink", metavar="NAME")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    add_config_argument(forget)
    forget.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Forget it, after asking; 1 when the answer is no."""
    return asyncio.run(_forget(config_path(arguments), arguments.sink, sure=arguments.yes))


async def _forget(path: Path, sink: str, *, sure: bool) -> int:
    from collector.config import load_config

    config = load_config(path)
    if sink in config.sinks:
        raise CollectorError(f"{sink} is a sink of {path}: remove it there first")
    try:
        return await _forget_in(config, sink, sure=sure)
    except StateInUse as exc:
        raise CollectorError(
            f"a daemon runs on {config.state.path}: stop it first, then forget, then start it"
        ) from exc


async def _forget_in(config: Config, sink: str, *, sure: bool) -> int:
    from collector.clock import Clock
    from collector.store import Store

    async with Store.open(config.state.path, max_size=config.state.max_size, clock=Clock()) as store:
        cursors = [cursor for cursor in await store.cursors() if cursor.sink == sink]
        if not cursors:
            raise CollectorError(f"the state knows no sink {sink}")
        waiting = sum([(await store.backlog(cursor.position)).events for cursor in cursors])
        if not sure and not _agreed(f"{waiting} events wait for {sink} and will not be delivered to it. Forget it?"):
            return 1
        await store.forget_sink(sink)
    print(f"forgot {sink}")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CollectorError("say --yes where nobody can be asked")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
