from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from collector.simulator import COMPANY, Account, WithSecureSimulator
from tests.unit.simulator.reader import Client, SetClock

Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def sim(clock: SetClock) -> WithSecureSimulator:
    return WithSecureSimulator(clock=clock)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Serves a simulator; gives a client of one of its accounts."""
    async with AsyncExitStack() as stack:

        async def serve(sim: WithSecureSimulator, account: Account = COMPANY) -> Client:
            base_url = await stack.enter_async_context(sim.serve())
            session = aiohttp.ClientSession(skip_auto_headers=["User-Agent"])
            return Client(base_url, await stack.enter_async_context(session), account)

        yield serve


@pytest.fixture
async def client(sim: WithSecureSimulator, connect: Connect) -> Client:
    return await connect(sim)
