"""Keeps one loop alive: what crashes is logged, counted and started again; what can't be trusted ends the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import StoreError
from collector.metrics import METRICS

log = structlog.get_logger()

_BASE, _CAP = 1.0, 60.0
_HEALTHY_SECONDS = 300.0


async def supervise(name: str, loop: Callable[[], Awaitable[None]], clock: Clock, *, ends: bool = False) -> None:
    """Run `loop` until it returns; after an unexpected error wait and run it again.

    `name` is one of the program's own loop names: it is a metric's label. `ends`: it is no sign of illness if it
    returns.

    Raises:
        StoreError: the state is damaged or out of reach; nothing can go on without it. Also when it comes in a group.
    """
    delays = Backoff(_BASE, _CAP)
    while True:
        began = clock.monotonic()
        try:
            with clock.watching(name, ends=ends):
                await loop()
        except asyncio.CancelledError as exc:
            if _is_cancelled():
                raise
            cause: BaseException = exc  # a library gave up a wait of its own: that ends no loop of ours
        except Exception as exc:
            if isinstance(exc, StoreError):
                raise
            if (fatal := _fatal(exc)) is not None:
                raise fatal from exc
            cause = exc
        else:
            return
        if clock.monotonic() - began > _HEALTHY_SECONDS:
            delays.reset()
        wait = delays.next()
        log.error("loop crashed, starting it again", loop=name, retry_in=round(wait, 1), exc_info=cause)
        METRICS.loop_restarts.labels(loop=name).inc()
        await clock.sleep(wait)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _fatal(exc: BaseException) -> StoreError | None:
    """The `StoreError` that this is, or that a task group's error holds."""
    if isinstance(exc, BaseExceptionGroup):
        return next((found for part in exc.exceptions if (found := _fatal(part)) is not None), None)
    return exc if isinstance(exc, StoreError) else None
