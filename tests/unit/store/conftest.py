from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from collector.store import Store
from collector.testing import FakeClock
from tests.unit.store.samples import GIB, STREAMS

Open = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "collector.db"


@pytest.fixture
def opened(path: Path, clock: FakeClock) -> Open:
    """Opens the state, or one elsewhere, as often as a test likes."""

    def open_state(at: Path = path) -> AbstractAsyncContextManager[Store]:
        return Store.open(at, max_size=GIB, clock=clock)

    return open_state


@pytest.fixture
async def store(opened: Open) -> AsyncIterator[Store]:
    """An open state that knows three streams."""
    async with opened() as store:
        for stream in STREAMS:
            await store.add_stream(stream, "withsecure", "WithSecure")
        yield store
