"""`collector checkpoint`: the positions at the vendors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from collector.cli.daemon import add_config_argument, connect
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
    checkpoints = connect(arguments).get("/checkpoints")
    if arguments.json:
        print_json(checkpoints)
    else:
        print_table(COLUMNS, (_row(checkpoint) for checkpoint in checkpoints), "no checkpoints yet")
    return 0


def _row(checkpoint: dict[str, Any]) -> list[str]:
    feed = "/".join(text_of(checkpoint, "tenant", "source", "feed"))
    run = json.dumps(checkpoint["run"]) if checkpoint.get("run") else ""
    return [feed, *text_of(checkpoint, "lane", "watermark"), run]
