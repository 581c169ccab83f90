"""Programs that some tests need and not every machine has."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest


def program(name: str, *, package: str | None = None) -> str:
    """Where the program is. A test that needs one that is missing is left out, and says so; under CI it fails."""
    beside_python = Path(sysconfig.get_path("scripts")) / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (package {package or name})")
    return found


def root() -> None:
    """For what only root may do."""
    if os.geteuid() != 0:
        missing("must be run as root")


def missing(reason: str) -> NoReturn:
    """Leave the test out; never under CI, whose machine must have everything."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
