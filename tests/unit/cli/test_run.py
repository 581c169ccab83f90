from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from collector.app import DRAIN_SECONDS
from collector.cli import run
from collector.config import load_config

HANGS_AT_EXIT = """
import time
from concurrent.futures import ThreadPoolExecutor
from collector.cli.run import _end_by_force
_end_by_force(0.1)
ThreadPoolExecutor().submit(time.sleep, 30)
"""
HANGS_WITH_ITS_LOG = """
import sys, threading, time
from collector.cli import run
run._SAYING_SECONDS = 0.1
class Stuck:
    def write(self, text): time.sleep(30)
    def flush(self): time.sleep(30)
sys.stdout = Stuck()
run._end_by_force(0.1)
time.sleep(30)
"""


def ended(program: str) -> tuple[int, str, float]:
    """Exit status, output and duration of a Python program."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=40)
    return done.returncode, done.stdout, time.monotonic() - began


def test_thread_that_hangs_does_not_keep_the_process_alive() -> None:
    status, said, took = ended(HANGS_AT_EXIT)

    assert status == 1
    assert "did not stop in time" in said
    assert took < 15


def test_log_that_hangs_does_not_keep_the_process_alive() -> None:
    status, _, took = ended(HANGS_WITH_ITS_LOG)

    assert status == 1
    assert took < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_is_bounded_from_the_first_signal_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    bounds: list[float] = []
    path = tmp_path / "collector.yaml"
    path.write_text(
        "tenants: {acme: {sources: [{type: withsecure, client_id: a, client_secret: b}]}}\n"
        "sinks: {archive: {type: file, path: events.ndjson}}\n"
    )

    async def until_stopped(_config: object, stop: asyncio.Event, *_: object, **__: Any) -> None:
        assert not bounds
        os.kill(os.getpid(), number)
        await stop.wait()
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)

    monkeypatch.setattr("collector.app.run", until_stopped)
    monkeypatch.setattr(run, "_end_by_force", bounds.append)
    try:
        assert await run._forever(load_config(path)) == 0
    finally:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(each)

    assert bounds == [DRAIN_SECONDS + 2.0]
