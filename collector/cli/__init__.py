"""The `collector` command: finds the module of a command, turns errors into messages and exit statuses.

Exit status: 0 good, 1 failed at run time, 2 wrong usage, 78 bad configuration (EX_CONFIG of sysexits), 130 interrupted.

A command's module has `register(subparsers)`, which adds its parser and sets `func`: a callable that takes the parsed
arguments and returns the exit status. It may raise any `CollectorError`. Only the module of the command that was
asked for is imported, so that `--version` and `healthcheck` are quick; the table below holds what `--help` says.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from collector import __version__
from collector.errors import CollectorError, ConfigError

OK, FAILED, USAGE, BAD_CONFIG, INTERRUPTED = 0, 1, 2, 78, 130

# Command to module and summary, in the order in which a new user meets them.
COMMANDS = {
    "demo": ("demo", "the real daemon against built-in vendor simulators"),
    "init": ("init", "write a commented starter configuration"),
    "schema": ("schema", "print the configuration's JSON Schema"),
    "check": ("check", "validate the configuration, log in everywhere"),
    "run": ("run", "the daemon"),
    "status": ("status", "how feeds and sinks are doing"),
    "test-event": ("test_event", "send a made-up event of a tenant to its sinks"),
    "tail": ("tail", "follow events as they come in"),
    "reload": ("reload", "have the daemon read its configuration again"),
    "dead-letters": ("dead_letters", "events that a sink refused"),
    "checkpoint": ("checkpoint", "positions at the vendors"),
    "backup": ("backup", "copy the state while the daemon runs"),
    "sinks": ("sinks", "forget a sink and what waits for it"),
    "tenant": ("tenant", "pause, resume, purge a tenant; accept another account"),
    "healthcheck": ("healthcheck", "exit status 0 while the daemon is well"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the whole of the program's exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_missing_streams()
    try:
        parsed = _parse(arguments)
        status: int = parsed.func(parsed)
        sys.stdout.flush()
    except SystemExit as exc:
        # argparse ends in this way after --help and after an error.
        return exc.code if isinstance(exc.code, int) else OK if exc.code is None else FAILED
    except ConfigError as exc:
        return _fail(exc.problems, BAD_CONFIG)
    except CollectorError as exc:
        return _fail([str(exc)], FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    return status


def _open_missing_streams() -> None:
    """Give a process that was started without one of its standard files an empty one.

    Otherwise the next file opened takes its number: a log line would go into the state, and libuv aborts the process.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- lives as long as we do
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- likewise


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="collector",
        description="Reads security events out of EDR vendors' cloud APIs, delivers each of them once to the SIEM.",
        epilog="`collector COMMAND --help` says more about one of them.",
    )
    parser.add_argument("--version", action="version", version=f"edr-collector {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = arguments[0] if arguments else None
    if asked in COMMANDS:
        import_module(f"collector.cli.{COMMANDS[asked][0]}").register(subparsers)
    else:
        for name, (_, summary) in COMMANDS.items():
            subparsers.add_parser(name, help=summary)
    return parser.parse_args(arguments)


def _fail(messages: Sequence[str], status: int) -> int:
    for message in messages:
        print(message, file=sys.stderr)
    return status


def _reader_gone() -> int:
    """`collector status | head`: no error. What Python still wants to flush at exit must not become one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK
