"""The bytes of all answers that are being read and of all pages that are not stored yet: one limit for the process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# An answer this much smaller than the whole does not wait: who waits for a login may be in everybody's way.
_SMALL = 1024

_PAGE: ContextVar[object | None] = ContextVar("page", default=None)


class Room:
    """Who finds no room left waits until others are through; the time spent waiting counts as time of the request.

    What came first may always grow, else answers could wait for each other for ever: so there may be `total` bytes, one
    page, and small answers.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: dict[object, int] = {}
        self._released = asyncio.Event()
        self.held = 0

    @contextmanager
    def page(self) -> Iterator[None]:
        """Inside the block answers that this task reads, and the tasks it starts, keep their bytes held.

        To be left once what came is stored.
        """
        page = object()
        token = _PAGE.set(page)
        try:
            yield
        finally:
            _PAGE.reset(token)
            self._give_back(page)

    async def grow(self, answer: object, size: int) -> None:
        """Hold so many more bytes for an answer."""
        holder = _PAGE.get() or answer
        self._held.setdefault(holder, 0)
        while not self._has_room_for(holder, size):
            self._released.clear()
            await self._released.wait()
        self._held[holder] += size
        self.held += size

    def release(self, answer: object) -> None:
        """The answer was read, or given up."""
        if _PAGE.get() is None:
            self._give_back(answer)

    def _has_room_for(self, holder: object, size: int) -> bool:
        is_small = self._held[holder] + size <= self._total // _SMALL
        return is_small or self.held + size <= self._total or next(iter(self._held)) is holder

    def _give_back(self, holder: object) -> None:
        self.held -= self._held.pop(holder, 0)
        self._released.set()
