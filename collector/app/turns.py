"""A budget for a few requests, outside the running collector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from collector.app.parts import Account
from collector.app.reading import rate_limits
from collector.budget import Budget
from collector.clock import Clock
from collector.pipeline.scheduler import Scheduler


@asynccontextmanager
async def budget_of(account: Account, scheduler: Scheduler) -> AsyncIterator[Budget]:
    """The account's budget, giving turns for the time of the context."""
    budget, _ = scheduler.budget(account.plugin.budget_key(account.config))
    try:
        async with asyncio.TaskGroup() as group:
            turns = group.create_task(budget.run(), name="budget")
            try:
                yield budget
            finally:
                turns.cancel()
    except BaseExceptionGroup as exc:  # what went wrong inside the context shall come out of it as it was
        raise exc.exceptions[0] from None


def scheduler_for(accounts: Iterable[Account], clock: Clock) -> Scheduler:
    """One that knows these accounts' rate limits."""
    scheduler = Scheduler(clock)
    scheduler.follow(rate_limits(accounts))
    return scheduler
