"""Keeping the write-ahead log short: SQLite's own checkpoints never end while readers take turns."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE_MILLISECONDS = 50
_AGAIN_SECONDS = 0.5


class WalLimit:
    """To be asked after every commit, in the writer's thread."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._wal = path.with_name(path.name + "-wal")
        self._max_bytes = max_bytes
        self._not_before = float("-inf")

    def keep(self, connection: sqlite3.Connection) -> None:
        """Cut the WAL if it is about to pass its limit; a reader that holds on is left alone for half a second.

        Raises nothing: what was committed is committed, and whatever is wrong with the file the next commit meets too.
        """
        with suppress(sqlite3.Error, OSError):
            if self._wal.stat().st_size < self._max_bytes * 3 // 4 or time.monotonic() < self._not_before:
                return
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            if truncate(connection):
                self._not_before = float("-inf")


def truncate(connection: sqlite3.Connection) -> bool:
    """Copy the WAL back and cut it; False where a reader was in the way for too long."""
    patience = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MILLISECONDS}")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience}")
    return not busy
