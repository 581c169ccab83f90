"""`collector checkpoint`: the positions at the vendors, of a running or a stopped daemon."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from collector.admin.client import DaemonAbsent
from collector.cli.daemon import add_config_argument, config_path, connect
from collector.cli.tables import print_json, print_table, text_of

COLUMNS = ("feed", "lane", "watermark", "run")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser("checkpoint", help="positions at the vendors")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listed = verbs.add_parser("list", help="where every lane of every feed is")
    add_config_argument(listed)
    listed.add_argument("--json", action="store_true", help="print them as JSON")
    listed.set_defaults(func=run_list)


def run_list(arguments: argparse.Namespace) -> int:
    """Print them."""
    try:
        checkpoints = connect(arguments).get("/checkpoints")
    except DaemonAbsent as absent:
        checkpoints = asyncio.run(_of_stopped(config_path(arguments), absent))
    if arguments.json:
        print_json(checkpoints)
    else:
        print_table(COLUMNS, (_row(checkpoint) for checkpoint in checkpoints), "no checkpoints yet")
    return 0


async def _of_stopped(path: Path, absent: DaemonAbsent) -> list[dict[str, Any]]:
    """What the state holds; opening it keeps a daemon from starting meanwhile.

    Raises:
        DaemonAbsent: there is no state either.
    """
    from collector.app.operations import checkpoint_rows
    from collector.clock import Clock
    from collector.config import load_config
    from collector.store import Store

    state = load_config(path).state
    if not await asyncio.to_thread(state.path.exists):
        raise absent
    async with Store.open(state.path, max_size=state.max_size, clock=Clock()) as store:
        return checkpoint_rows(await store.checkpoints())


def _row(checkpoint: dict[str, Any]) -> list[str]:
    feed = "/".join(text_of(checkpoint, "tenant", "source", "feed"))
    lane = " ".join(cell for cell in text_of(checkpoint, "lane", "job") if cell)
    return [feed, lane, *text_of(checkpoint, "watermark"), "unfinished" if checkpoint.get("run") else ""]
