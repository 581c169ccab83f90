"""`collector init`: a commented configuration to begin with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from collector.errors import CollectorError

# Secrets belong elsewhere, yet some will be written into the file.
_MODE = 0o640


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("init", help="write a commented starter configuration")
    parser.add_argument("path", nargs="?", type=Path, default=Path("collector.yaml"), help="default: collector.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the file and say what to do next.

    Raises:
        CollectorError: it exists, or can't be written.
    """
    from collector.config.starter import STARTER

    path: Path = args.path
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if args.force else os.O_EXCL)
    try:
        with open(os.open(path, flags, _MODE), "w", encoding="utf-8") as stream:  # noqa: PTH123 -- a descriptor
            stream.write(STARTER)
    except FileExistsError:
        raise CollectorError(f"{path} exists already; --force overwrites it") from None
    except OSError as exc:
        raise CollectorError(f"{path} can't be written: {exc.strerror}") from exc
    print(f"Wrote {path}. Set WITHSECURE_CLIENT_ID and WITHSECURE_CLIENT_SECRET, then: collector check {path}")
    return 0
