"""What holds for every test: no setting of the process outlives a test, a test does not hold up its loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

# A callback that computes for longer than this keeps everybody else from running. Computing time, since on a busy
# machine a callback may take any time on the wall; blocking in the kernel is caught at the second, higher, limit.
_MAX_CPU_SECONDS = 0.25
_MAX_WALL_SECONDS = 2.0


@pytest.fixture(autouse=True)
def process_settings_restored() -> Iterator[None]:
    """Undo what setting up logging changes in the process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    configuration = structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()


class _CollectorTime:
    """Seconds that the garbage collector took: it sweeps what thousands of tests left, not what the callback did."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def note(self, phase: str, _details: object) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began


@pytest.fixture(autouse=True)
def loop_not_held_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a unit test one of whose callbacks holds up the loop; run it in asyncio's debug mode."""
    if not _is_unit_test(request):
        yield
        return
    slow: list[str] = []
    run = asyncio.Handle._run
    collecting = _CollectorTime()
    gc.callbacks.append(collecting.note)

    def timed(handle: asyncio.Handle) -> None:
        loop = asyncio.get_running_loop()
        if not loop.get_debug():
            loop.set_debug(True)
        wall, cpu = time.perf_counter(), time.thread_time() - collecting.seconds
        run(handle)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - collecting.seconds - cpu
        if cpu > _MAX_CPU_SECONDS or wall > _MAX_WALL_SECONDS:
            slow.append(f"{handle!r} took {wall:.2f} s, computing for {cpu:.2f} s")

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    yield
    gc.callbacks.remove(collecting.note)
    if slow:
        pytest.fail("callbacks held up the loop:\n" + "\n".join(slow))


def _is_unit_test(request: pytest.FixtureRequest) -> bool:
    return "unit" in request.node.path.relative_to(request.config.rootpath).parts
