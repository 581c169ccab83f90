"""The threads that own the connections: one writes, two read.

Writes queue up while a transaction runs; the next one takes all that is queued and commits once (group commit). A group
that fails is rolled back and replayed write by write, so that one bad write harms its own caller only.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zstandard

from collector import faults
from collector.errors import CollectorError, PageRefused, StoreError
from collector.store.failures import translate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MAX_GROUP = 64
_REFUSALS = (
    CollectorError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    MemoryError,
    msgspec.MsgspecError,
    zstandard.ZstdError,
)


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    name: str
    future: asyncio.Future[Any]
    then: Callable[[Any], None] | None


class Writer:
    """The one thread that writes. Every `write` is applied in call order."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Write] = deque()
        self._executor = ThreadPoolExecutor(1, "store-writer")
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Connect, in the thread that will use the connection."""
        self._connection = await self._loop.run_in_executor(self._executor, self._connect)

    async def close(self) -> None:
        """Finish what is queued, then let go of the file."""
        await self._loop.run_in_executor(self._executor, self._disconnect)
        self._executor.shutdown(wait=True)

    async def write(self, work: Work[T], name: str = "other", then: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction and return what it returned, once that is durable.

        `work` may run twice (a group that failed is replayed), so it must touch nothing but the connection.
        `then` gets the result in the loop, in commit order, even if the caller was cancelled meanwhile.

        Raises:
            PageRefused: this write can't be stored; the others of its group were.
            StoreFull: no room on the volume; nothing of it was stored.
            StoreError: corruption or an I/O error.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Write(work, name, future, then))
        self._executor.submit(self._drain)
        return await future

    async def outside_transaction(self, work: Work[T]) -> T:
        """Run what SQLite allows outside a transaction only (vacuum, checkpoint)."""
        return await self._loop.run_in_executor(self._executor, self._call, work)

    def _call(self, work: Work[T]) -> T:
        if self._connection is None:
            msg = "the state is closed"
            raise StoreError(msg)
        try:
            return work(self._connection)
        except sqlite3.Error as exc:
            raise translate(exc, self._path) from exc

    def _disconnect(self) -> None:
        self._drain()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drain(self) -> None:
        group: list[_Write] = []
        while self._queue and len(group) < MAX_GROUP:
            group.append(self._queue.popleft())
        if not group:
            return
        handled = False
        try:
            self._run(group)
            handled = True
        finally:
            if not handled:  # a bug of ours must end the process with a trace, never leave a caller waiting for ever
                lost = StoreError("the writer failed unexpectedly; see the trace")
                for write in group:
                    self._loop.call_soon_threadsafe(_fail, write.future, lost)

    def _run(self, group: list[_Write]) -> None:
        try:
            results = self._transact(group)
        except (sqlite3.Error, *_REFUSALS) as exc:
            self._replay(group, exc)
        else:
            self._answer(group, results)

    def _transact(self, group: list[_Write]) -> list[Any]:
        connection = self._connection
        if connection is None:
            msg = "the state is closed"
            raise StoreError(msg)
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [write.work(connection) for write in group]
            for write in group:
                faults.point(f"{write.name}.before")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.rollback()
        for write in group:
            faults.point(f"{write.name}.after")
        return results

    def _replay(self, group: list[_Write], cause: Exception) -> None:
        if len(group) == 1:
            self._loop.call_soon_threadsafe(_fail, group[0].future, self._refusal(cause))
            return
        for write in group:
            try:
                results = self._transact([write])
            except (sqlite3.Error, *_REFUSALS) as exc:
                self._loop.call_soon_threadsafe(_fail, write.future, self._refusal(exc))
            else:
                self._answer([write], results)

    def _refusal(self, exc: Exception) -> Exception:
        refusal: Exception
        if isinstance(exc, CollectorError):
            return exc
        refusal = (
            translate(exc, self._path) if isinstance(exc, sqlite3.Error) else PageRefused(f"can't be stored: {exc}")
        )
        refusal.__cause__ = exc
        return refusal

    def _answer(self, group: list[_Write], results: list[Any]) -> None:
        self._loop.call_soon_threadsafe(_succeed, group, results)


class Reader:
    """A thread with a connection of its own that only reads; short reads, so that the WAL can be checkpointed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path, name: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, f"store-{name}")
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    async def read(self, work: Work[T]) -> T:
        """Run `work` and return what it returned.

        Raises:
            StoreError: corruption or an I/O error.
        """
        return await self._loop.run_in_executor(self._executor, self._call, work)

    async def close(self) -> None:
        """Let go of the file."""
        await self._loop.run_in_executor(self._executor, self._disconnect)
        self._executor.shutdown(wait=True)

    def _call(self, work: Work[T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.Error as exc:
            raise translate(exc, self._path) from exc
        except (msgspec.MsgspecError, zstandard.ZstdError) as exc:
            msg = f"{self._path}: a page of the log is damaged: {exc}; restore a backup"
            raise StoreError(msg) from exc

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _succeed(group: list[_Write], results: list[Any]) -> None:
    for write, result in zip(group, results, strict=True):
        if write.then is not None:
            write.then(result)
        if not write.future.done():
            write.future.set_result(result)


def _fail(future: asyncio.Future[Any], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
