"""Keeps one loop alive: what crashes is logged, counted and started again; what can't be trusted ends the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import StoreError
from collector.metrics import METRICS

log = structlog.get_logger()

_BASE, _CAP = 1.0, 60.0
_HEALTHY_SECONDS = 300.0


async def supervise(name: str, loop: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `loop` until it returns; after an unexpected error wait and run it again.

    `name` is one of the program's own loop names: it is a metric's label.

    Raises:
        StoreError: the state is damaged or out of reach; nothing can go on without it.
    """
    delays = Backoff(_BASE, _CAP)
    while True:
        began = clock.monotonic()
        try:
            with clock.watching(name):
                await loop()
        except StoreError:
            raise
        except Exception as exc:
            if clock.monotonic() - began > _HEALTHY_SECONDS:
                delays.reset()
            wait = delays.next()
            log.error("loop crashed, starting it again", loop=name, retry_in=round(wait, 1), exc_info=exc)
            METRICS.loop_restarts.labels(loop=name).inc()
            await clock.sleep(wait)
        else:
            return
