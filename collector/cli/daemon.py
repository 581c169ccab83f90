"""Finds the daemon that an operator command speaks to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from collector.admin.client import ControlClient
from collector.errors import ConfigError

DEFAULT_CONFIGS = (Path("collector.yaml"), Path("/etc/collector/collector.yaml"))
_DEFAULT_STATE = "/var/lib/collector/collector.db"
_DEFAULT_SOCKET = "collector.sock"


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """`-c CONFIG`, as every command that speaks to a daemon has it."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="CONFIG",
        help="the daemon's configuration (default: collector.yaml, then /etc/collector/collector.yaml)",
    )


def connect(arguments: argparse.Namespace, timeout: float = 30.0) -> ControlClient:
    """A client for the daemon of that configuration; nothing is sent yet.

    Raises:
        ConfigError: no such file, or it can't be read.
    """
    return ControlClient(control_path(config_path(arguments)), timeout)


def config_path(arguments: argparse.Namespace) -> Path:
    """The configuration that was named, else the first of the usual places that is there."""
    named: Path | None = arguments.config
    if named is not None:
        return named
    found = next((path for path in DEFAULT_CONFIGS if path.exists()), None)
    if found is None:
        raise ConfigError([f"no configuration: neither {' nor '.join(map(str, DEFAULT_CONFIGS))}; name one with -c"])
    return found


def control_path(config: Path) -> Path:
    """Where the daemon of this configuration listens.

    Of the file only `admin.control` and `state.path` are looked at: a running daemon must stay within reach of an
    operator whose shell holds none of its secrets, or who is in the middle of an edit. Only where one of the two is
    made of references is the whole configuration loaded.
    """
    try:
        # The C parser where it is there: a configuration may hold hundreds of tenants.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(config.read_text("utf-8-sig"), Loader=loader)  # noqa: S506 -- both are safe loaders
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{config}: can't be read: {getattr(exc, 'strerror', None) or exc}"]) from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError([f"{config}{line}: no valid YAML: {getattr(exc, 'problem', None) or exc}"]) from exc
    if document is not None and not isinstance(document, dict):
        raise ConfigError([f"{config}: no configuration: a mapping is expected"])
    state = _text(document, "state", "path") or _DEFAULT_STATE
    control = _text(document, "admin", "control") or str(Path(state).parent / _DEFAULT_SOCKET)
    if "$" in control:
        from collector.config import load_config

        return load_config(config).admin.control
    return config.absolute().parent / control


def _text(document: Any, section: str, key: str) -> str | None:
    part = document.get(section) if isinstance(document, dict) else None
    value = part.get(key) if isinstance(part, dict) else None
    return value if isinstance(value, str) else None
