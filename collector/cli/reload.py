"""`collector reload`: have the daemon read its configuration again."""

from __future__ import annotations

import argparse

from collector.cli.daemon import add_config_argument, connect
from collector.cli.tables import clean, print_json

# Opening the sinks anew and finishing what the old ones were at may take its time.
_TIMEOUT_SECONDS = 120.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "reload",
        help="have the daemon read its configuration again",
        description="The file is validated first, and only what changed is restarted; a bad file changes nothing.",
    )
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Reload; a refused file ends with 78 and what is wrong with it."""
    answer = connect(arguments, _TIMEOUT_SECONDS).post("/reload")
    if arguments.json:
        print_json(answer)
        return 0
    print(clean(f"reloaded: {answer['summary']}"))
    for line in answer["changed"]:
        print(clean(f"  {line}"))
    for warning in answer["warnings"]:
        print(clean(f"warning: {warning}"))
    return 0
