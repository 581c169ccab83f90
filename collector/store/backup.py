"""A copy of a running state that is itself a state."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from collector.errors import StoreError
from collector.store.opening import sync


def write(connection: sqlite3.Connection, target: Path) -> None:
    """Copy one moment of the state to `target`, durably, for its owner's eyes only; half a copy never bears that name.

    Raises:
        StoreError: `target` exists.
        OSError, sqlite3.Error: it can't be written; nothing is left behind.
    """
    part = target.with_name(target.name + ".part")
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as exc:
        msg = f"{target} exists: a backup overwrites nothing"
        raise StoreError(msg) from exc
    done = False
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite accepts an empty file
        connection.execute("PRAGMA query_only=OFF")
        connection.execute("VACUUM INTO ?", (str(part),))
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=WAL")
        sync(part)
        part.rename(target)
        sync(target.parent)
        done = True
    finally:
        if not done:
            part.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
