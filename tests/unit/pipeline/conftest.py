from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.store import Store
from collector.testing import FakeClock
from tests.unit.pipeline.workbench import GIB, Workbench


@pytest.fixture
def clock() -> FakeClock:
    """Nobody waits: each sleep moves the time itself."""
    return FakeClock(hurry=True)


@pytest.fixture
def slow_clock() -> FakeClock:
    """Time stands still until the test lets it pass."""
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "collector.db", max_size=GIB, clock=clock) as store:
        yield store


@pytest.fixture
async def bench(store: Store, clock: FakeClock) -> AsyncIterator[Workbench]:
    async with Workbench(store, clock) as bench:
        yield bench
