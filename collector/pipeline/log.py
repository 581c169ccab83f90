"""The log as delivery sees it: the newest pages from memory, older ones from disk; same order, same pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from collector.model import StreamId
from collector.store import Chunk, LogPage, Position, Store

TAIL_BYTES = 16 * 1024 * 1024


class Log:
    """Readers ask for what lies behind a position; nothing here knows or slows them."""

    def __init__(self, store: Store, last_seq: int, tail_bytes: int = TAIL_BYTES) -> None:
        self._store = store
        self._tail: deque[LogPage] = deque()
        self._tail_bytes = 0
        self._max_tail_bytes = tail_bytes
        self._tail_from = last_seq + 1
        self._changed = asyncio.Event()
        self.end = Position(last_seq + 1)
        self.appended_bytes = 0

    def append(self, page: LogPage) -> None:
        """Take a page that the store has just committed, in the order of its number."""
        self._tail.append(page)
        self._tail_bytes += page.stored_bytes
        self.appended_bytes += page.stored_bytes
        while self._tail_bytes > self._max_tail_bytes:
            oldest = self._tail.popleft()
            self._tail_bytes -= oldest.stored_bytes
            self._tail_from = oldest.seq + 1
        self.end = Position(page.seq + 1)
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, after: Position) -> None:
        """Return once there is a page at or behind `after`."""
        while self.end <= after:
            await self._changed.wait()

    async def read(self, after: Position, takes: Callable[[StreamId], bool], max_bytes: int) -> Chunk:
        """Pages of the streams that are taken, from `after` on; `Chunk.end` says where to read on.

        Raises:
            StoreError: the log can't be read.
        """
        if after.seq < self._tail_from:
            streams = [stream for stream in self._store.streams() if takes(stream)]
            return await self._store.read(after, streams, max_bytes)
        pages: list[LogPage] = []
        budget = max_bytes
        for page in self._tail:
            if page.seq < after.seq or not takes(page.stream):
                continue
            pages.append(page)
            budget -= page.stored_bytes
            if budget <= 0:
                return Chunk(pages, Position(page.seq + 1))
        return Chunk(pages, max(after, self.end))
