"""The durable log's verbs, each one transaction.

    pollers ── commit_page ──►  seen · pages · bodies · checkpoints      (one writer thread, group commit)
    sinks   ◄── read ─────────  pages · bodies
    sinks   ── settle ───────►  cursors · settles · dead_letters

A page's records and the checkpoint that follows from them are stored together or not at all; a cursor moves only by
what a receipt says. The order of `pages.seq` is the order of delivery.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from collector.clock import Clock
from collector.errors import StoreError
from collector.model import Checkpoint, Lane, Page, StreamId
from collector.store import opening, pruning, reading, writing
from collector.store.rows import (
    Backlog,
    Chunk,
    Committed,
    Cursor,
    DeadLetter,
    LogPage,
    NewDeadLetter,
    Position,
    Usage,
    from_micros,
    to_day,
    to_micros,
)
from collector.store.worker import Reader, Writer


class Store:
    """One state file, held by this process alone. Every verb raises `StoreFull` or `StoreError` as errors.py says."""

    def __init__(self, path: Path, *, max_size: int, clock: Clock) -> None:
        self.path = path
        self.max_size = max_size
        self._clock = clock
        connect = partial(opening.connect, path, max_size=max_size)
        self._writer = Writer(connect, path)
        self._delivery = Reader(partial(connect, read_only=True), path, "delivery")
        self._operators = Reader(partial(connect, read_only=True), path, "operators")
        self._streams: dict[StreamId, tuple[int, str, str]] = {}
        self._newest_fetch: datetime | None = None
        self.on_page: Callable[[LogPage], None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, max_size: int, clock: Clock) -> AsyncIterator[Store]:
        """Lock, check, create or migrate, and open.

        Raises:
            StoreError: in use, damaged, newer, foreign.
        """
        with opening.lock(path):
            opening.make_ready(path)
            store = cls(path, max_size=max_size, clock=clock)
            await store._writer.open()
            try:
                await store._load()
                yield store
            finally:
                await store._writer.close()
                await store._delivery.close()
                await store._operators.close()

    async def _load(self) -> None:
        def work(connection: sqlite3.Connection) -> tuple[list[tuple[Any, ...]], int | None]:
            streams = connection.execute("SELECT id, tenant, source, feed, source_type, vendor FROM streams").fetchall()
            newest = connection.execute("SELECT max(fetched_at) FROM pages").fetchone()[0]
            return streams, newest

        streams, newest = await self._writer.outside_transaction(work)
        for number, tenant, source, feed, source_type, vendor in streams:
            self._streams[StreamId(tenant, source, feed)] = (number, source_type, vendor)
        self._newest_fetch = None if newest is None else from_micros(newest)

    # -- pollers --------------------------------------------------------------------------

    async def add_stream(self, stream: StreamId, source_type: str, vendor: str) -> None:
        """Make the stream known; to be called before its first page."""
        if self._streams.get(stream, (0, "", ""))[1:] == (source_type, vendor):
            return
        work = partial(
            writing.ensure_stream,
            tenant=stream.tenant,
            source=stream.source,
            feed=stream.feed,
            source_type=source_type,
            vendor=vendor,
        )
        self._streams[stream] = (await self._writer.write(work), source_type, vendor)

    def streams(self) -> Mapping[StreamId, str]:
        """Every stream the state knows, with its source type."""
        return {stream: source_type for stream, (_, source_type, _) in self._streams.items()}

    async def checkpoint(self, stream: StreamId, lane: Lane, job: int = 0) -> Checkpoint | None:
        """The lane's stored position."""

        def work(connection: sqlite3.Connection) -> Checkpoint | None:
            row = connection.execute(
                "SELECT body FROM checkpoints WHERE stream = ? AND lane = ? AND job = ?", (number, lane, job)
            ).fetchone()
            return None if row is None else writing.checkpoint_from_json(row[0])

        number = self._number(stream)
        return await self._operators.read(work)

    async def commit_page(self, stream: StreamId, lane: Lane, page: Page, job: int = 0) -> Committed:
        """Store what is new on the page together with its checkpoint, or nothing of both.

        Raises:
            PageRefused: this page can't be stored.
        """
        number, source_type, vendor = self._streams[stream]
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
        number = self._number(stream)
        await self._writer.write(lambda connection: writing.write_checkpoint(connection, number, lane, job, checkpoint))

    # -- sinks ----------------------------------------------------------------------------

    async def prepare_cursors(self, new_sinks: Mapping[str, str], renamed: Mapping[str, str]) -> list[Cursor]:
        """Give every sink its cursor before any poller runs; returns all cursors.

        `new_sinks`: sink name to `start_at` (latest, earliest); a sink that has a cursor keeps it, and in a state
        without a page both mean the beginning. `renamed`: new name to old.
        """

        def work(connection: sqlite3.Connection) -> list[Cursor]:
            for new, old in renamed.items():
                for table in ("cursors", "settles", "dead_letters", "daily"):
                    connection.execute(f"UPDATE OR IGNORE {table} SET sink = ? WHERE sink = ?", (new, old))  # noqa: S608
            last = reading.last_seq(connection)
            for sink, start_at in new_sinks.items():
                seq = last + 1 if start_at == "latest" else 1
                connection.execute(
                    "INSERT INTO cursors (sink, destination, seq, offset) SELECT ?, '', ?, 0 "
                    "WHERE NOT EXISTS (SELECT 1 FROM cursors WHERE sink = ?)",
                    (sink, seq, sink),
                )
            return reading.cursors(connection)

        return await self._writer.write(work)

    async def cursors(self) -> list[Cursor]:
        """Every cursor there is."""
        return await self._operators.read(reading.cursors)

    async def read(self, after: Position, streams: Sequence[StreamId], max_bytes: int) -> Chunk:
        """Pages of these streams from `after` on; see `reading.pages`."""
        numbers = [self._number(stream) for stream in streams if stream in self._streams]
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
    ) -> None:
        """Move the cursor to `position`, store the receipt's state, its dead letters, the day's counts."""
        letters = [(self._number(letter.stream), letter) for letter in dead_letters]
        counts = [(self._number(stream), *count) for stream, count in (delivered or {}).items()]
        at = self._clock.now()
        await self._writer.write(
            lambda connection: writing.settle(connection, sink, destination, position, state, letters, at, counts),
            "settle",
        )

    async def store_state(self, sink: str, destination: str, state: bytes) -> None:
        """Store a sink's intent before it touches anything."""
        await self._writer.write(lambda connection: writing.store_state(connection, sink, destination, state))

    async def forget_sink(self, sink: str) -> None:
        """Let go of a sink's cursors, with whatever they had not delivered."""
        await self._writer.write(lambda connection: connection.execute("DELETE FROM cursors WHERE sink = ?", (sink,)))

    async def backlog(self, position: Position, streams: Sequence[StreamId] | None = None) -> Backlog:
        """What lies at and behind `position`, of these streams or of all."""
        numbers = None if streams is None else [self._number(stream) for stream in streams if stream in self._streams]
        return await self._operators.read(lambda connection: reading.backlog(connection, position, numbers))

    # -- operators ------------------------------------------------------------------------

    async def checkpoints(self) -> list[tuple[StreamId, str, int, Checkpoint]]:
        """Every lane's position as (stream, lane, job, checkpoint)."""
        rows = await self._operators.read(reading.checkpoints)
        return [(stream, lane, job, writing.checkpoint_from_json(body)) for stream, lane, job, body in rows]

    async def gaps(self) -> list[dict[str, Any]]:
        """Every recorded gap, newest first."""
        return await self._operators.read(reading.gaps)

    async def dead_letters(
        self, sink: str | None = None, ids: Sequence[int] | None = None, limit: int = 1000
    ) -> list[DeadLetter]:
        """Refused events, oldest first."""
        wanted = None if ids is None else list(ids)
        return await self._operators.read(lambda connection: reading.dead_letters(connection, sink, wanted, limit))

    async def dead_letter_counts(self) -> dict[str, int]:
        """How many dead letters each sink has."""
        return await self._operators.read(reading.dead_letter_counts)

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Throw refused events away; returns how many there were."""

        def work(connection: sqlite3.Connection) -> int:
            return sum(
                connection.execute("DELETE FROM dead_letters WHERE id = ?", (number,)).rowcount for number in ids
            )

        return await self._writer.write(work)

    async def note_attempt(self, number: int, reason: str) -> None:
        """Count another refusal of a dead letter."""
        await self._writer.write(
            lambda connection: connection.execute(
                "UPDATE dead_letters SET attempts = attempts + 1, reason = ?, at = ? WHERE id = ?",
                (reason[:4000], to_micros(self._clock.now()), number),
            )
        )

    async def backup(self, target: Path) -> None:
        """Write a consistent copy of the running state to `target`, which must not exist.

        Raises:
            StoreError: it exists, or can't be written.
        """

        def work(connection: sqlite3.Connection) -> None:
            if target.exists():
                msg = f"{target} exists: a backup overwrites nothing"
                raise StoreError(msg)
            connection.execute("PRAGMA query_only=OFF")
            try:
                connection.execute("VACUUM INTO ?", (str(target),))
            finally:
                connection.execute("PRAGMA query_only=ON")
            opening.seal_backup(target)

        await self._operators.read(work)

    async def usage(self) -> Usage:
        """How much room the state takes and what is left."""

        def work(connection: sqlite3.Connection) -> tuple[int, int, int]:
            return (
                connection.execute("PRAGMA page_count").fetchone()[0],
                connection.execute("PRAGMA freelist_count").fetchone()[0],
                connection.execute("PRAGMA page_size").fetchone()[0],
            )

        pages, free, page_size = await self._operators.read(work)
        wal = self.path.with_name(self.path.name + "-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
        volume = os.statvfs(self.path.parent)
        return Usage(
            used=(pages - free) * page_size + wal_bytes,
            free_pages=free * page_size,
            wal=wal_bytes,
            volume_free=volume.f_bavail * volume.f_frsize,
            volume_size=volume.f_blocks * volume.f_frsize,
        )

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
        """Forget old pages and settles in one small step; returns how many went."""
        now = self.safe_now()
        if now is None:
            return 0
        cut = to_micros(now - older_than)
        return await self._writer.write(lambda connection: pruning.pages(connection, before, cut))

    async def prune_ids(self, after: pruning.Key, older_than: timedelta) -> pruning.Key | None:
        """Forget ids first seen too long ago, one stretch of the table; returns where to go on, None at the end."""
        now = self.safe_now()
        if now is None:
            return None
        day = to_day(now - older_than)
        return await self._writer.write(lambda connection: pruning.ids(connection, after, day))

    async def thin_settles(self, older_than: timedelta) -> int:
        """Keep one settle a minute of the old ones."""
        now = self.safe_now()
        if now is None:
            return 0
        cut = to_micros(now - older_than)
        return await self._writer.write(lambda connection: pruning.thin_settles(connection, cut))

    async def vacuum(self, keep_free_bytes: int) -> bool:
        """Give free pages back to the file system for about 20 ms; returns whether there is more to do."""
        keep = keep_free_bytes // opening.PAGE_BYTES
        return await self._writer.outside_transaction(lambda connection: pruning.vacuum(connection, keep))

    async def truncate_wal(self) -> None:
        """Copy the WAL back and cut it, if no reader is in the way."""
        await self._writer.outside_transaction(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        )

    def _number(self, stream: StreamId) -> int:
        return self._streams[stream][0]
