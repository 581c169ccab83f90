from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from collector.simulator.eset import HARBOUR, EsetAccount, EsetSimulator
from tests.unit.simulator.eset.reader import Reader
from tests.unit.simulator.reader import SetClock

Connect = Callable[..., Awaitable[Reader]]


@pytest.fixture
def vendor(clock: SetClock) -> EsetSimulator:
    return EsetSimulator(clock=clock, requests=1000)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Serves a simulator; gives a reader of one of its accounts."""
    async with AsyncExitStack() as stack:

        async def serve(vendor: EsetSimulator, account: EsetAccount = HARBOUR) -> Reader:
            base_url = await stack.enter_async_context(vendor.serve())
            return Reader(base_url, await stack.enter_async_context(aiohttp.ClientSession()), account)

        yield serve


@pytest.fixture
async def reader(vendor: EsetSimulator, connect: Connect) -> Reader:
    return await connect(vendor)
