"""`collector tail`: follow events as they enter the log."""

from __future__ import annotations

import argparse
import sys

from collector.cli.daemon import add_config_argument, connect
from collector.cli.tables import printable


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("tail", help="follow events as they come in, one a line, until interrupted")
    add_config_argument(parser)
    parser.add_argument("--tenant", metavar="T", help="those of one tenant (default: all)")
    parser.add_argument("--format", default="json", metavar="F", help="json (default), raw, ...")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Print until interrupted, which is the ordinary end, or until the daemon stops."""
    query = {"tenant": arguments.tenant, "format": arguments.format}
    terminal = sys.stdout.isatty()
    try:
        for line in connect(arguments).lines("/tail", query):
            shown = printable(line.decode(errors="replace")).encode() if terminal else line
            sys.stdout.buffer.write(shown + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0
    print("the daemon has stopped", file=sys.stderr)
    return 1
