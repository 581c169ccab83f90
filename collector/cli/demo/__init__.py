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
        description="Simulates a vendor on a bad day, runs the real daemon against it, kills it once in the middle, "
        "and compares what arrived with what the vendor showed. Exit status 1 if one event is missing or double.",
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where the files go")
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="events that wait at the vendor's")
    parser.add_argument("--keep-running", action="store_true", help="go on after the summary, with live events")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when every event arrived once."""
    from collector.cli.demo.play import play

    try:
        return asyncio.run(play(arguments.output.absolute(), arguments.events, keep_running=arguments.keep_running))
    except KeyboardInterrupt:
        return 130
