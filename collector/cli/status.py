"""`collector status`: how feeds and sinks are doing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from collector.admin.client import ControlClient
from collector.cli.daemon import add_config_argument, connect
from collector.cli.tables import age, clean, count, print_json, print_table, seconds, size, table, text_of
from collector.errors import CollectorError

FEED_COLUMNS = (
    "feed",
    "state",
    "last success",
    "last event",
    "lag",
    "interval",
    "events",
    "gaps",
    "errors",
    "last error",
)
SINK_COLUMNS = ("sink", "state", "delivered", "backlog", "bytes", "oldest unsent", "dead letters", "last error")
_WATCH_SECONDS = 2.0
_MAX_UNKNOWN_FEEDS = 5
_MAX_UNKNOWN_NAMES = 8

Status = Mapping[str, Any]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("status", help="how feeds and sinks are doing")
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print everything the daemon tells, as JSON")
    parser.add_argument("--watch", action="store_true", help="refresh every two seconds until interrupted")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the status once or, on a terminal, again and again."""
    client = connect(arguments)
    if arguments.watch:
        with suppress(KeyboardInterrupt):
            _watch(client, as_json=arguments.json)
        return 0
    _print(client.get("/status"), as_json=arguments.json)
    return 0


def _print(status: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(status)
    elif sys.stdout.isatty():
        Console().print(_drawn(status))
    else:
        print("\n".join(_headlines(status)))
        print_table(FEED_COLUMNS, feed_rows(status), "no feeds")
        print_table(SINK_COLUMNS, sink_rows(status), "no sinks")


def _watch(client: ControlClient, *, as_json: bool) -> NoReturn:
    if as_json or not sys.stdout.isatty():
        while True:
            _print(client.get("/status"), as_json=as_json)
            sys.stdout.flush()
            time.sleep(_WATCH_SECONDS)
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            live.update(_current(client), refresh=True)
            time.sleep(_WATCH_SECONDS)


def _current(client: ControlClient) -> RenderableType:
    """A daemon that is away for a moment, as in a restart, does not end the watching."""
    try:
        return _drawn(client.get("/status"))
    except CollectorError as exc:
        return Text(str(exc), style="bold red")


def _drawn(status: Status) -> RenderableType:
    first, *warnings = _headlines(status)
    return Group(
        Text(first, style="bold"),
        *(Text(warning, style="yellow") for warning in warnings),
        "",
        table(FEED_COLUMNS, feed_rows(status)),
        "",
        table(SINK_COLUMNS, sink_rows(status)),
    )


def _headlines(status: Status) -> list[str]:
    state = status["state"]
    used = f"{size(state['bytes'])} of {size(state['max_bytes'])}, {size(state['free_bytes'])} free on the volume"
    first = f"edr-collector {status['version']}, pid {status['pid']}, started {age(status['started_at'])}; "
    lines = [f"{first}polling {state['polling']}; state {state['path']}: {used}"]
    lines += [f"warning: {warning}" for warning in status.get("warnings") or ()]
    lines += _unknown(status)
    return [clean(line) for line in lines]


def _unknown(status: Status) -> list[str]:
    """What no table knows, feed by feed: a few names of a few feeds, since `--json` has them all."""
    feeds = [(feed, names) for feed in status["feeds"] if (names := feed.get("unknown_fields"))]
    lines = []
    for feed, names in feeds[:_MAX_UNKNOWN_FEEDS]:
        often = sorted(names.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{name} ({seen:,})" for name, seen in often[:_MAX_UNKNOWN_NAMES])
        more = f" and {len(often) - _MAX_UNKNOWN_NAMES} more" if len(often) > _MAX_UNKNOWN_NAMES else ""
        where = "/".join(text_of(feed, "tenant", "source", "feed"))
        lines.append(f"warning: {where}: vendor fields or values that no table knows: {told}{more}")
    if len(feeds) > _MAX_UNKNOWN_FEEDS:
        lines.append(f"warning: {len(feeds) - _MAX_UNKNOWN_FEEDS} more feeds have fields or values that no table knows")
    return lines


def feed_rows(status: Status) -> list[Sequence[str]]:
    """One row per feed under `FEED_COLUMNS`."""
    return [
        (
            "/".join(text_of(feed, "tenant", "source", "feed")),
            str(feed["state"]),
            age(feed["last_success"]),
            age(feed["last_event"]),
            seconds(feed["lag_seconds"]),
            seconds(feed.get("interval_seconds")),
            count(feed["events"]),
            count(feed["gaps"]),
            count(feed["errors"]),
            *text_of(feed, "last_error"),
        )
        for feed in status["feeds"]
    ]


def sink_rows(status: Status) -> list[Sequence[str]]:
    """One row per sink and destination under `SINK_COLUMNS`."""
    return [
        (
            " ".join(cell for cell in text_of(sink, "sink", "destination") if cell),
            str(sink["state"]),
            count(sink["delivered"]),
            count(sink["backlog_events"]),
            size(sink["backlog_bytes"]),
            age(sink["oldest_unsent"]) if sink["oldest_unsent"] else "",
            count(sink["dead_letters"]),
            *text_of(sink, "last_error"),
        )
        for sink in status["sinks"]
    ]
