"""`collector demo`: the real daemon against built-in vendor simulators, without credentials."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="the real daemon against built-in vendor simulators",
        description="Simulates both vendors on a bad day, runs the real daemon against them for three tenants, one of "
        "them with wrong credentials, kills it once in the middle, and compares what arrived with what the vendors "
        "showed. Exit status 1 if one event is missing or double.",
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where the files go")
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="events that wait at the vendors'")
    parser.add_argument("--keep-running", action="store_true", help="go on after the summary, with live events")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when every event arrived once."""
    from collector.cli.demo.play import play

    try:
        return asyncio.run(play(arguments.output.absolute(), arguments.events, keep_running=arguments.keep_running))
    except KeyboardInterrupt:
        return 130
