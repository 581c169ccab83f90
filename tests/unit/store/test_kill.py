"""Killed at any moment, a state is whole: what was acknowledged is there, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("crashing.py")


def test_twenty_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path / "collector.db"), "20", "4711"]
    result = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(result.stdout) > 15  # so many writes were acknowledged, one in each round that had begun
