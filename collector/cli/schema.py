"""`collector schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import argparse
import json


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("schema", help="print the JSON Schema of the configuration, for editors")
    parser.set_defaults(func=run)


def run(_args: argparse.Namespace) -> int:
    """Print it, with the keys of all installed plugins.

    Raises:
        ConfigError: a plugin can't be loaded.
    """
    from collector.config import config_schema

    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))
    return 0
