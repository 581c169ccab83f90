"""`collector backup`: a consistent copy of the state, of a running or a stopped daemon."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from collector.cli.daemon import add_config_argument, config_path, connect
from collector.errors import CollectorError, StateInUse

_TIMEOUT_SECONDS = 3600.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "backup",
        help="copy the state while the daemon runs",
        description="Writes a consistent copy of the state. A daemon started on it goes on from that moment: what was "
        "delivered after it is delivered once more.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where to; must not exist")
    add_config_argument(parser)
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Open the state ourselves, or ask the daemon that holds it."""
    target = arguments.file.absolute()
    try:
        asyncio.run(_offline(config_path(arguments), target))
    except StateInUse:
        connect(arguments, _TIMEOUT_SECONDS).post("/backup", {"path": str(target)})
    print(f"state copied to {target}")
    return 0


async def _offline(config: Path, target: Path) -> None:
    from collector.clock import Clock
    from collector.config import load_config
    from collector.store import Store

    state = load_config(config).state
    if not await asyncio.to_thread(state.path.exists):
        raise CollectorError(f"no daemon runs, and there is no state at {state.path}")
    async with Store.open(state.path, max_size=state.max_size, clock=Clock()) as store:
        await store.backup(target)
