"""Waiting for room: a full volume never ends the daemon, but an operator may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from collector.clock import Clock
from collector.errors import StoreFull
from collector.pipeline.pausing import pause

T = TypeVar("T")
log = structlog.get_logger()

_SECONDS = 10.0


class StopAsked(Exception):
    """The daemon was told to stop while it waited."""


class Patience:
    """Tries again and again until there is room. `stop` None: no patience at all, as a one-off run should have."""

    def __init__(self, clock: Clock, stop: asyncio.Event | None) -> None:
        self._clock = clock
        self._stop = stop

    async def until_done(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns once it finds room.

        Raises:
            StopAsked: it was told to stop first.
            StoreFull: there is no room, and no patience.
        """
        while True:
            try:
                return await work()
            except StoreFull as exc:
                if self._stop is None:
                    raise
                log.error("no room for the state, waiting", error=str(exc))
                await pause(self._clock, _SECONDS, self._stop)
                if self._stop.is_set():
                    raise StopAsked from exc
