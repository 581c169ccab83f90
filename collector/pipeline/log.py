"""The log as its readers see it: the newest pages from memory, older ones from disk; same order, same pages.

Nobody is woken for a page that his route does not take: with hundreds of sinks of one tenant each, that would cost more
than delivering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from collector.model import StreamId
from collector.store import Chunk, LogPage, Position, Store

TAIL_BYTES = 16 * 1024 * 1024
# What a record takes in memory beside the vendor's bytes, roughly.
_RECORD_BYTES = 400

Takes = Callable[[StreamId], bool]


class Log:
    """Readers ask for what lies behind a position; nothing here slows a poller.

    `end` is the position behind the newest page. Pages from `memory_from` on are in memory: at most about `tail_bytes`.
    """

    def __init__(self, store: Store, last_seq: int, tail_bytes: int = TAIL_BYTES) -> None:
        self._store = store
        self._tail: dict[int, LogPage] = {}
        self._tail_bytes = 0
        self._max_tail_bytes = tail_bytes
        self._readers: set[LogReader] = set()
        self._interested: dict[StreamId, list[LogReader]] = {}
        self.memory_from = last_seq + 1
        self.end = Position(last_seq + 1)

    def append(self, page: LogPage) -> None:
        """Take a page that the store has just committed, in the order of its number."""
        self._tail[page.seq] = page
        self._tail_bytes += _weight(page)
        self.end = Position(page.seq + 1)
        while self._tail_bytes > self._max_tail_bytes:
            self._evict()
        for reader in self._readers_of(page.stream):
            reader.note(page.seq)

    def reader(self, takes: Takes) -> LogReader:
        """A reader of the streams that are taken; to be closed when it is not needed any more."""
        reader = LogReader(self, self._store, takes)
        self._readers.add(reader)
        self._interested.clear()
        return reader

    def forget(self, reader: LogReader) -> None:
        """Wake it no more; see `LogReader.close`."""
        self._readers.discard(reader)
        self._interested.clear()

    def forget_names(self) -> None:
        """Streams got other names: what is in memory bears the old ones and is read from disk instead."""
        self._tail.clear()
        self._tail_bytes = 0
        self.memory_from = self.end.seq
        self._interested.clear()
        for reader in self._readers:
            reader.forget_names()

    def in_memory(self, after: Position) -> Sequence[LogPage]:
        """The pages at and behind `after`, which must not lie before `memory_from`."""
        return [page for seq in range(after.seq, self.end.seq) if (page := self._tail.get(seq)) is not None]

    def _evict(self) -> None:
        oldest = self._tail.pop(self.memory_from, None)
        self.memory_from += 1
        if oldest is not None:
            self._tail_bytes -= _weight(oldest)

    def _readers_of(self, stream: StreamId) -> list[LogReader]:
        readers = self._interested.get(stream)
        if readers is None:
            readers = self._interested[stream] = [reader for reader in self._readers if reader.takes(stream)]
        return readers


class LogReader:
    """One reader's view of the log: the pages of the streams it takes.

    `woken` is set when such a page was appended, also by whoever wants the reader to look up; the reader clears it
    before it looks for work.
    """

    def __init__(self, log: Log, store: Store, takes: Takes) -> None:
        self._log = log
        self._store = store
        self._streams: tuple[int, list[StreamId]] = (-1, [])
        # What was there before is not known: any page of it may be taken.
        self._newest = log.end
        self._next: Position | None = Position(0)
        self.takes = takes
        self.woken = asyncio.Event()

    def note(self, seq: int) -> None:
        """A page that it takes was appended."""
        self._newest = Position(seq + 1)
        if self._next is None:
            self._next = Position(seq)
        self.woken.set()

    def has_all(self, position: Position) -> bool:
        """Whether a reader who stands at `position` has read everything that it takes."""
        return position >= self._newest

    def reach(self, position: Position) -> Position:
        """Tell that everything before `position` is read; returns how far that holds for what it takes."""
        if position >= self._newest:
            self._next = None
        return max(position, self._log.end if self._next is None else self._next)

    def forget_names(self) -> None:
        """Streams got other names."""
        self._streams = (-1, [])

    def streams(self) -> Sequence[StreamId]:
        """Those that it takes of all the state knows; none is ever taken away."""
        known = self._store.streams()
        if len(known) != self._streams[0]:
            self._streams = (len(known), [stream for stream in known if self.takes(stream)])
        return self._streams[1]

    async def read(self, after: Position, max_bytes: int) -> Chunk:
        """Pages from `after` on; `Chunk.end` says where to read on, `max_bytes` may be passed by one page.

        Raises:
            StoreError: the log can't be read.
        """
        if after.seq < self._log.memory_from:
            return await self._from_disk(after, max_bytes)
        pages: list[LogPage] = []
        for page in self._log.in_memory(after):
            if self.takes(page.stream):
                pages.append(page)
                max_bytes -= page.stored_bytes
                if max_bytes <= 0:
                    return Chunk(pages, Position(page.seq + 1))
        return Chunk(pages, max(after, self._log.end))

    async def _from_disk(self, after: Position, max_bytes: int) -> Chunk:
        # A stream that turns up while the disk is read has no page before this end; those behind it come next time.
        end = self._log.end
        chunk = await self._store.read(after, self.streams(), max_bytes)
        if chunk.end <= end:
            return chunk
        return Chunk([page for page in chunk.pages if page.seq < end.seq], end)

    def close(self) -> None:
        """Nothing wakes it any more."""
        self._log.forget(self)


def _weight(page: LogPage) -> int:
    return sum(len(record.raw) + len(record.extra or b"") + _RECORD_BYTES for record in page.records)
