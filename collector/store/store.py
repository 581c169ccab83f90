"""The durable log's verbs, each one transaction.

    pollers ── commit_page ──►  seen · pages · bodies · checkpoints      (one writer thread, group commit)
    sinks   ◄── read ─────────  pages · bodies
    sinks   ── settle ───────►  cursors · settles · dead_letters

A page's records and the checkpoint that follows from them are stored together or not at all; a cursor moves only by
what a receipt says. The order of `pages.seq` is the order of delivery.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from collector.clock import Clock
from collector.errors import ConfigError
from collector.model import Checkpoint, Lane, Page, StreamId
from collector.store import backup, cursors, opening, pruning, reading, tenant_rows, wal, writing
from collector.store.rows import (
    Backlog,
    Chunk,
    Committed,
    Cursor,
    DailyCount,
    DeadLetter,
    LogPage,
    NewDeadLetter,
    Position,
    Usage,
    to_day,
    to_micros,
)
from collector.store.tenants import Tenants
from collector.store.wal import WalLimit
from collector.store.worker import Reader, T, Work, Writer

_DAILY_COUNTS_KEPT = timedelta(days=400)  # a year, and the month to compare it with


class Store:
    """One state file, held by this process alone. Every verb raises `StoreFull` or `StoreError` as errors.py says."""

    def __init__(self, path: Path, *, max_size: int, clock: Clock) -> None:
        self.path = path
        self.max_size = max_size
        self._clock = clock
        connect = partial(opening.connect, path, max_size=max_size)
        self._connect_reader = partial(connect, read_only=True)
        self._writer = Writer(connect, path, WalLimit(path, opening.wal_limit(path, max_size)).keep)
        self._delivery = Reader(self._connect_reader, path, "delivery")
        self._operators = Reader(self._connect_reader, path, "operators")
        self._numbers: dict[StreamId, int] = {}
        self._vendors: dict[StreamId, str] = {}
        self._source_types: dict[StreamId, str] = {}
        self.tenants = Tenants(self._writer, self._operators, clock, self._numbers, self._forget)
        self._newest_fetch: datetime | None = None
        self._thinned_to = 0
        self.on_page: Callable[[LogPage], None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, max_size: int, clock: Clock) -> AsyncIterator[Store]:
        """Lock, check, create or migrate, and open.

        Raises:
            StoreError: in use, damaged, newer, foreign.
            StoreFull: no room on the volume.
        """
        path = opening.real(path)
        with opening.lock(path):
            opening.make_ready(path)
            store = cls(path, max_size=max_size, clock=clock)
            async with AsyncExitStack() as stack:
                for worker in (store._operators, store._delivery, store._writer):
                    stack.push_async_callback(worker.close)
                await store._load()
                yield store

    async def _load(self) -> None:
        for number, stream, source_type, vendor in await self._writer.call(reading.streams):
            self._know(stream, number, source_type, vendor)
        self._newest_fetch = await self._writer.call(reading.newest_fetch)

    def _know(self, stream: StreamId, number: int, source_type: str, vendor: str) -> None:
        self._numbers[stream] = number
        self._source_types[stream] = source_type
        self._vendors[stream] = vendor

    def _forget(self, stream: StreamId) -> None:
        del self._numbers[stream], self._source_types[stream], self._vendors[stream]

    # -- pollers --------------------------------------------------------------------------

    async def add_stream(self, stream: StreamId, source_type: str, vendor: str) -> None:
        """Make the stream known; to be called before its first page.

        Raises:
            ConfigError: the stream holds records of another source type, which this one could not read.
        """
        before = self._source_types.get(stream)
        if before not in {None, source_type}:
            msg = f"{stream} is of type {before} in the state, not {source_type}: give the new source a name of its own"
            raise ConfigError([msg])
        if before is None or self._vendors[stream] != vendor:
            number = await self._writer.write(lambda c: writing.ensure_stream(c, stream, source_type, vendor))
            self._know(stream, number, source_type, vendor)

    def streams(self) -> Mapping[StreamId, str]:
        """Every stream the state knows, with its source type: a live view."""
        return MappingProxyType(self._source_types)

    async def rename_stream(self, old: StreamId, new: StreamId) -> None:
        """Let a stream go on under another name, with its ids and positions; a name that is taken stays as it is."""
        if old not in self._numbers or new in self._numbers:
            return

        def work(connection: sqlite3.Connection) -> None:
            writing.rename_streams(connection, old, new)
            tenant_rows.rename(connection, old.tenant, new.tenant)

        await self._writer.write(work)
        self._know(new, self._numbers.pop(old), self._source_types.pop(old), self._vendors.pop(old))

    async def checkpoint(self, stream: StreamId, lane: Lane, job: int = 0) -> Checkpoint | None:
        """The lane's stored position."""
        number = self._numbers[stream]
        return await self._operators.read(lambda connection: reading.checkpoint(connection, number, lane, job))

    async def commit_page(self, stream: StreamId, lane: Lane, page: Page, job: int = 0) -> Committed:
        """Store what is new on the page together with its checkpoint, or nothing of both.

        Raises:
            PageRefused: this page can't be stored.
        """
        number, source_type, vendor = self._numbers[stream], self._source_types[stream], self._vendors[stream]
        # The later of two clocks: remembering an id longer than asked costs bytes, forgetting it early costs a double.
        day = to_day(max(page.fetched_at, self._clock.now()))

        def work(connection: sqlite3.Connection) -> Committed:
            return writing.commit_page(connection, number, vendor, stream.feed, lane, job, page, day)

        def then(committed: Committed) -> None:
            self._newest_fetch = max(page.fetched_at, self._newest_fetch or page.fetched_at)
            if committed.seq is not None and self.on_page is not None:
                size = sum(len(record.raw) for record in committed.records)
                self.on_page(LogPage(committed.seq, stream, source_type, page.fetched_at, committed.records, size))

        return await self._writer.write(work, "commit", then)

    async def set_checkpoint(self, stream: StreamId, lane: Lane, checkpoint: Checkpoint, job: int = 0) -> None:
        """Store a position without a page: a dropped run, an operator's wish."""
        number = self._numbers[stream]
        await self._writer.write(
            lambda connection: writing.write_checkpoint(connection, number, lane, job, checkpoint), "position"
        )

    # -- sinks ----------------------------------------------------------------------------

    async def prepare_cursors(self, new_sinks: Mapping[str, str], renamed: Mapping[str, str]) -> list[Cursor]:
        """Give every sink its cursor before any poller runs; returns all cursors.

        `new_sinks`: sink name to `start_at` (latest, earliest); a sink that has a cursor keeps it, and in a state
        without a page both mean the beginning. `renamed`: new name to old.
        """
        return await self._writer.write(lambda connection: cursors.prepare(connection, new_sinks, renamed))

    async def cursors(self) -> list[Cursor]:
        """Every cursor there is."""
        return await self._operators.read(reading.cursors)

    async def read(self, after: Position, streams: Sequence[StreamId], max_bytes: int) -> Chunk:
        """Pages of these streams from `after` on; see `reading.pages`."""
        numbers = self._numbers_of(streams)
        return await self._delivery.read(lambda connection: reading.pages(connection, after, numbers, max_bytes))

    async def last_seq(self) -> int:
        """The number of the newest page ever written."""
        return await self._delivery.read(reading.last_seq)

    async def settle(
        self,
        sink: str,
        destination: str,
        position: Position,
        *,
        state: bytes | None = None,
        dead_letters: Sequence[NewDeadLetter] = (),
        delivered: Mapping[StreamId, tuple[int, int]] | None = None,
        resolved: Sequence[int] = (),
    ) -> None:
        """Move the cursor to `position`, store the receipt's state, its dead letters, the day's counts.

        `delivered`: events and bytes by stream, whose tenant is the one that the events carry, known here or not.
        `resolved` are dead letters that the sink took after all: they are no more.
        """
        letters = [(self._numbers[letter.stream], letter) for letter in dead_letters]
        counts = [(stream.tenant, stream.feed, *count) for stream, count in (delivered or {}).items()]
        at = self._clock.now()
        await self._writer.write(
            lambda connection: writing.settle(
                connection, sink, destination, position, state, letters, at, counts, resolved
            ),
            "settle",
        )

    async def open_destinations(self, sink: str, new: Mapping[str, Position], position: Position, state: bytes) -> None:
        """Store the cursors of destinations that showed up, and move the sink's own cursor past what they were in."""
        await self._writer.write(
            lambda connection: cursors.open_destinations(connection, sink, new, position, state), "settle"
        )

    async def merge_destinations(self, sink: str) -> Position:
        """Let go of a sink's destinations; its own cursor goes back to the last of them, without a state."""
        return await self._writer.write(lambda connection: cursors.merge_destinations(connection, sink))

    async def pass_over(self, moved: Sequence[Cursor]) -> None:
        """Move cursors past pages of others, in one statement; one that stands further on stays."""
        await self._writer.write(lambda connection: cursors.pass_over(connection, moved), "settle")

    async def store_state(self, sink: str, destination: str, state: bytes) -> None:
        """Store a sink's intent before it touches anything.

        Raises:
            PageRefused: the sink has no cursor for that destination.
        """
        await self._writer.write(lambda connection: cursors.store_state(connection, sink, destination, state))

    async def forget_sink(self, sink: str) -> None:
        """Let go of a sink's cursors, with whatever they had not delivered."""
        await self._writer.write(lambda connection: cursors.forget(connection, sink))

    async def backlog(self, position: Position, streams: Sequence[StreamId] | None = None) -> Backlog:
        """What lies at and behind `position`, of these streams or of all."""
        numbers = None if streams is None else self._numbers_of(streams)
        return await self._operators.read(lambda connection: reading.backlog(connection, position, numbers))

    # -- operators ------------------------------------------------------------------------

    async def checkpoints(self) -> list[tuple[StreamId, str, int, Checkpoint]]:
        """Every lane's position as (stream, lane, job, checkpoint)."""
        return await self._operators.read(reading.checkpoints)

    async def gaps(self) -> list[dict[str, Any]]:
        """Every recorded gap, newest first."""
        return await self._operators.read(reading.gaps)

    async def dead_letters(
        self, sink: str | None = None, ids: Sequence[int] | None = None, limit: int = 1000
    ) -> list[DeadLetter]:
        """Refused events, oldest first."""
        wanted = None if ids is None else list(ids)
        return await self._operators.read(lambda connection: reading.dead_letters(connection, sink, wanted, limit))

    async def dead_letter_counts(self) -> dict[tuple[str, str], int]:
        """How many dead letters each (sink, destination) has."""
        return await self._operators.read(reading.dead_letter_counts)

    async def daily(self, days: int, most: int) -> list[DailyCount]:
        """Events and bytes of the last so many days, newest day first; see `reading.daily`."""
        since = to_day(self._clock.now()) - days + 1
        return await self._operators.read(lambda connection: reading.daily(connection, since, most))

    async def replay_horizon(self) -> datetime | None:
        """When the oldest page that can still be delivered again was fetched."""
        return await self._operators.read(reading.replay_horizon)

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Throw refused events away; returns how many there were."""
        return await self._writer.write(lambda connection: writing.drop_dead_letters(connection, ids))

    async def note_attempt(self, number: int, reason: str) -> None:
        """Count another refusal of a dead letter."""
        at = self._clock.now()
        await self._writer.write(lambda connection: writing.note_attempt(connection, number, reason, at))

    async def backup(self, target: Path) -> None:
        """Write a consistent copy of the running state to `target`, which must not exist.

        Raises:
            StoreError: it exists, or can't be written.
            StoreFull: no room for it.
        """
        await self._read_apart(lambda connection: backup.write(connection, target))

    async def full_check(self) -> list[str]:
        """Read through the whole file; returns what is damaged. Takes long on a large state: only on request."""
        return await self._read_apart(reading.damage)

    async def usage(self) -> Usage:
        """How much room the state takes and what is left."""
        return await self._operators.read(lambda connection: reading.usage(connection, self.path))

    async def _read_apart(self, work: Work[T]) -> T:
        """Read what may take minutes on a thread of its own, so that neither delivery nor the janitor waits for it."""
        reader = Reader(self._connect_reader, self.path, "apart")
        try:
            return await reader.read(work)
        finally:
            await reader.close()

    # -- janitor --------------------------------------------------------------------------

    def safe_now(self) -> datetime | None:
        """Where ages are counted from, None before the first page: no single clock that runs ahead makes us forget."""
        return None if self._newest_fetch is None else min(self._clock.now(), self._newest_fetch)

    async def prune_bodies(self, before: Position, older_than: timedelta | None) -> int:
        """Drop the oldest delivered bodies in one small step; returns how many went (0: nothing left to drop)."""
        now = self.safe_now()
        if now is None:
            return 0
        cut = None if older_than is None else to_micros(now - older_than)
        return await self._writer.write(lambda connection: pruning.bodies(connection, before, cut), "prune")

    async def prune_pages(self, before: Position, older_than: timedelta) -> int:
        """Forget old pages, the settles that speak of them, and very old daily counts, in one small step.

        Returns how many rows went of the table that had most (0: nothing left to forget).
        """
        now = self.safe_now()
        if now is None:
            return 0
        cut, day = to_micros(now - older_than), to_day(now - _DAILY_COUNTS_KEPT)

        def work(connection: sqlite3.Connection) -> int:
            gone = pruning.pages(connection, before, cut)
            return max(gone, pruning.settles(connection), pruning.days(connection, day))

        return await self._writer.write(work)

    async def prune_ids(self, after: pruning.Key, older_than: timedelta) -> pruning.Key | None:
        """Forget ids first seen too long ago, one stretch of the table; returns where to go on, None at the end."""
        now = self.safe_now()
        if now is None:
            return None
        day = to_day(now - older_than)
        return await self._writer.write(lambda connection: pruning.ids(connection, after, day))

    async def thin_settles(self, older_than: timedelta) -> int:
        """Keep one settle a minute of the old ones, in as many small steps as it takes; returns how many went."""
        now = self.safe_now()
        if now is None:
            return 0
        cut = to_micros(now - older_than)
        gone = 0
        after: int | None = self._thinned_to
        while after is not None:
            self._thinned_to = after
            step, after = await self._writer.write(partial(pruning.thin_settles, older_than=cut, after=after))
            gone += step
        return gone

    async def vacuum(self, keep_free_bytes: int) -> bool:
        """Give free pages back to the file system for about 20 ms; returns whether there is more to do."""
        keep = keep_free_bytes // opening.PAGE_BYTES
        return await self._writer.call(lambda connection: pruning.vacuum(connection, keep))

    async def truncate_wal(self) -> bool:
        """Copy the WAL back and cut it; False where a reader was in the way."""
        return await self._writer.call(wal.truncate)

    def _numbers_of(self, streams: Sequence[StreamId]) -> list[int]:
        return [self._numbers[stream] for stream in streams if stream in self._numbers]
