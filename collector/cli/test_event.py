"""`collector test-event`: prove the way to a sink before anything has happened."""

from __future__ import annotations

import argparse

from collector.cli.daemon import add_config_argument, connect
from collector.cli.tables import print_json, print_table, text_of
from collector.errors import ConfigError

COLUMNS = ("sink", "outcome", "seconds", "uid", "remark")
_TIMEOUT = "30s"
_LONGEST_SECONDS = 600.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "test-event",
        help="send a made-up event of a tenant to its sinks",
        description="A made-up detection of kind `test` goes through normalizing, routing, format and sink, in the "
        "sink's own order. The exit status is 0 when every sink whose route takes it has accepted it.",
    )
    parser.add_argument("tenant", metavar="TENANT")
    parser.add_argument("sink", nargs="?", metavar="SINK", help="this sink alone (default: all)")
    parser.add_argument(
        "--timeout", default=_TIMEOUT, metavar="DURATION", help=f"how long a sink may take (default {_TIMEOUT})"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    add_config_argument(parser)
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Send it; 1 when a sink did not take it, or none is meant to."""
    from collector.units import parse_duration

    try:
        seconds = parse_duration(arguments.timeout).total_seconds()
    except ValueError as exc:
        raise ConfigError([f"--timeout: {exc}"]) from exc
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ConfigError([f"--timeout: must be at most {_LONGEST_SECONDS:g}s"])
    body = {"tenant": arguments.tenant, "sink": arguments.sink, "seconds": seconds}
    answer = connect(arguments, seconds + 30.0).post("/test-event", body)
    if arguments.json:
        print_json(answer)
    else:
        rows = (text_of(sink, "sink", "outcome", "seconds", "uid", "reason") for sink in answer["sinks"])
        print_table(COLUMNS, rows, "no sinks")
    meant = [sink for sink in answer["sinks"] if sink["outcome"] != "not routed"]
    return 0 if meant and all(sink["outcome"] == "delivered" for sink in meant) else 1
