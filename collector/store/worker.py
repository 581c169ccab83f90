"""The threads that own the connections: one writes, two read.

Writes queue up while a transaction runs; the next one takes all that is queued and commits once (group commit). A group
that fails is rolled back and replayed write by write, so that one bad write harms its own caller only.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
# Raised on the way through json, msgpack, zstd and datetime by what can't be written, or was not written by us.
_UNFIT = (ValueError, TypeError, ArithmeticError, LookupError, MemoryError, msgspec.MsgspecError, zstandard.ZstdError)
_REFUSALS = (CollectorError, sqlite3.Error, OSError, *_UNFIT)


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    name: str
    future: asyncio.Future[Any]
    then: Callable[[Any], None] | None


class _Worker:
    """One thread and the connection it owns."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path, name: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, f"store-{name}")
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def call(self, work: Work[T]) -> T:
        """Run `work` on the connection, in autocommit mode, and return what it returned.

        Raises:
            StoreFull: no room on the volume.
            StoreError: corruption, an I/O error, or the state is closed.
        """
        self._refuse_if_closed()
        return await self._loop.run_in_executor(self._executor, self._call, work)

    async def close(self) -> None:
        """Finish what is queued, then let go of the file; also when the caller is cancelled meanwhile."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.shield(self._loop.run_in_executor(self._executor, self._disconnect))
        finally:
            self._executor.shutdown(wait=True)  # the lock must not be released before the thread is done

    def _refuse_if_closed(self) -> None:
        if self._closed:
            msg = f"{self._path}: the state is closed"
            raise StoreError(msg)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _call(self, work: Work[T]) -> T:
        try:
            return work(self._connected())
        except (sqlite3.Error, OSError) as exc:
            raise translate(exc, self._path) from exc
        except _UNFIT as exc:
            msg = f"{self._path} is damaged ({exc}): stop, keep the file, restore a backup"
            raise StoreError(msg) from exc

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Reader(_Worker):
    """A thread with a connection of its own that only reads; short reads, so that the WAL can be checkpointed."""

    async def read(self, work: Work[T]) -> T:
        """Run `work` and return what it returned; errors as in `call`."""
        return await self.call(work)


class Writer(_Worker):
    """The one thread that writes. Every `write` is applied in call order."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], path: Path, tidy: Callable[[sqlite3.Connection], None]
    ) -> None:
        """`tidy` is called after every group, outside a transaction; it must not raise."""
        super().__init__(connect, path, "writer")
        self._tidy = tidy
        self._queue: deque[_Write] = deque()

    async def write(self, work: Work[T], name: str = "other", then: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction and return what it returned, once that is durable.

        `work` may run twice (a group that failed is replayed), so it must touch nothing but the connection.
        `then` gets the result in the loop, in commit order, even if the caller was cancelled meanwhile.

        Raises:
            PageRefused: this write can't be stored; the others of its group were.
            StoreFull: no room on the volume; nothing of it was stored.
            StoreError: corruption, an I/O error, or the state is closed.
        """
        self._refuse_if_closed()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Write(work, name, future, then))
        self._executor.submit(self._drain)
        return await future

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
            if self._connection is not None:
                self._tidy(self._connection)
        finally:
            if not handled:  # a bug of ours must end the process with a trace, never leave a caller waiting for ever
                for write in group:
                    self._tell(_fail, write, _unexpected(sys.exception()))

    def _run(self, group: list[_Write]) -> None:
        try:
            results = self._transact(group)
        except _REFUSALS as exc:
            self._replay(group, exc)
        else:
            self._answer(group, results)

    def _transact(self, group: list[_Write]) -> list[Any]:
        connection = self._connected()
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
            self._tell(_fail, group[0], self._refusal(cause))
            return
        for write in group:
            try:
                results = self._transact([write])
            except _REFUSALS as exc:
                self._tell(_fail, write, self._refusal(exc))
            else:
                self._answer([write], results)

    def _refusal(self, exc: Exception) -> Exception:
        if isinstance(exc, CollectorError):
            return exc
        refusal: CollectorError
        if isinstance(exc, sqlite3.Error | OSError):
            refusal = translate(exc, self._path)
        else:
            refusal = PageRefused(f"can't be stored: {exc}")
        refusal.__cause__ = exc
        return refusal

    def _answer(self, group: list[_Write], results: list[Any]) -> None:
        for write, result in zip(group, results, strict=True):
            self._tell(_succeed, write, result)

    def _tell(self, callback: Callable[[_Write, Any], None], write: _Write, outcome: Any) -> None:
        with suppress(RuntimeError):  # the loop is gone, so nobody waits any more
            self._loop.call_soon_threadsafe(callback, write, outcome)


def _succeed(write: _Write, result: Any) -> None:
    told = write.then is None
    try:
        if write.then is not None:
            write.then(result)
            told = True
    finally:
        if not told:  # somebody missed a page that is in the log: only a new start can mend that
            _fail(write, _unexpected(sys.exception()))
        elif not write.future.done():
            write.future.set_result(result)


def _fail(write: _Write, exc: Exception) -> None:
    if not write.future.done():
        write.future.set_exception(exc)


def _unexpected(cause: BaseException | None) -> StoreError:
    exc = StoreError("the writer failed unexpectedly; the cause is in the trace")
    exc.__cause__ = cause
    return exc
