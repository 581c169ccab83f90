"""`collector run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.config import Config

_DELIVER_TIMEOUT = "60s"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# After the time that sinks get for what was fetched: for closing what is open.
_CLOSING_SECONDS = 2.0
_SAYING_SECONDS = 1.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("run", help="collect and deliver until told to stop")
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the configuration file")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--once", action="store_true", help="every feed until it is caught up, deliver, exit (for cron)")
    mode.add_argument("--dry-run", action="store_true", help="fetch and print, write nothing")
    parser.add_argument(
        "--deliver-timeout",
        default=_DELIVER_TIMEOUT,
        metavar="DURATION",
        help=f"with --once: how long the sinks may take after the last fetch (default {_DELIVER_TIMEOUT})",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run the daemon; 0 after an orderly stop, 1 when `--once` could not finish.

    Raises:
        ConfigError: the configuration can't be used.
        CollectorError: the state can't be used, an admin address is taken.
    """
    early = set[int]()
    if not args.dry_run:
        for number in _SIGNALS:  # a service manager may send one before there is a loop to take it
            signal.signal(number, lambda came, _frame: early.add(came))

    from collector.config import load_config
    from collector.errors import ConfigError
    from collector.log import configure, hide
    from collector.units import parse_duration

    config = load_config(args.config)
    hide(*config.secret_values())
    configure(config.logging.level, config.logging.format)
    _say(config)
    try:
        timeout = parse_duration(args.deliver_timeout).total_seconds()
    except ValueError as exc:
        raise ConfigError([f"--deliver-timeout: {exc}"]) from exc
    if args.dry_run:
        return _in_loop(_dry_run(config))
    if args.once:
        return _in_loop(_once(config, timeout, early))
    return _in_loop(_forever(config, early))


def _say(config: Config) -> None:
    import structlog

    log = structlog.get_logger()
    for warning in config.warnings:
        log.warning("configuration", remark=warning)


def _in_loop(work: object) -> int:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(work))  # type: ignore[arg-type]  # coroutines of ours only


async def _forever(config: Config, early: AbstractSet[int] = frozenset()) -> int:
    from collector.app import DRAIN_SECONDS
    from collector.app import run as run_app
    from collector.notify import Notifier

    stop, reload = asyncio.Event(), asyncio.Event()

    def end() -> None:
        if not stop.is_set():
            stop.set()
            _end_by_force(DRAIN_SECONDS + _CLOSING_SECONDS)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    if early & {signal.SIGTERM, signal.SIGINT}:
        return 0
    if signal.SIGHUP in early:
        reload.set()
    await run_app(config, stop, reload, notifier=Notifier.from_environment(os.environ))
    return 0


def _end_by_force(seconds: float) -> None:
    """End the process, with status 1, unless it has ended by itself within so many seconds.

    A thread that waits for a disk that hangs can't be cancelled, and the interpreter waits for it even at its exit.
    Nothing is lost: every stop is good for no more than a crash.
    """

    def say() -> None:
        import structlog

        log = structlog.get_logger()
        log.error("did not stop in time, ending by force, the rest follows after the next start", seconds=seconds)
        sys.stdout.flush()

    def wait() -> None:
        time.sleep(seconds)
        saying = threading.Thread(target=say, daemon=True)  # who reads the log may hang, too
        saying.start()
        saying.join(_SAYING_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="end by force", daemon=True).start()


async def _once(config: Config, deliver_timeout: float, early: AbstractSet[int] = frozenset()) -> int:
    from collector.app import run_once

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)  # type: ignore[union-attr]  # we are inside a task
    if early & {signal.SIGTERM, signal.SIGINT}:
        return 1
    try:
        return 0 if await run_once(config, deliver_timeout) else 1
    except asyncio.CancelledError:
        return 1


async def _dry_run(config: Config) -> int:
    from collector.app import dry_run

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")

    good = await dry_run(config, write)
    sys.stdout.flush()
    return 0 if good else 1
