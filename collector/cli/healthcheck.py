"""`collector healthcheck`: exit status 0 while the daemon is well, for containers without a HTTP client."""

from __future__ import annotations

import argparse
import sys

from collector.cli.daemon import add_config_argument, connect


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "healthcheck",
        help="exit status 0 while the daemon is well",
        description="Well: it answers, has its configuration, its state works. A vendor or a SIEM that is down is not"
        " its illness: a restart would not cure it.",
    )
    add_config_argument(parser)
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="wait no longer than this (5)")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """0 when it is live and ready, else 1 and why."""
    health = connect(arguments, arguments.timeout).get("/health")
    if health["live"] and health["ready"]:
        print("ok")
        return 0
    print("not well: " + ("; ".join(map(str, health["reasons"])) or "no reason given"), file=sys.stderr)
    return 1
