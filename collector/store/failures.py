"""SQLite's errors, in the words of the exception tree."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from collector.errors import CollectorError, PageRefused, StoreError, StoreFull

# A full volume shows as an I/O error too where SQLite extends its shared memory or its WAL.
_ALMOST_NOTHING_BYTES = 512 * 1024
_REFUSED = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE})


def translate(exc: sqlite3.Error, path: Path) -> CollectorError:
    """`StoreFull` where room would help, `PageRefused` where only this write is wrong, else `StoreError`."""
    code = getattr(exc, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _no_room(path)):
        return StoreFull(f"no room for the state on the volume of {path}")
    if primary in _REFUSED or (primary is None and isinstance(exc, sqlite3.DataError | sqlite3.InterfaceError)):
        return PageRefused(f"can't be stored: {exc}")
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreError(f"{path} is damaged ({exc}): stop, keep the file, restore a backup")
    return StoreError(f"{path}: {exc}")


def _no_room(path: Path) -> bool:
    volume = os.statvfs(path.parent)
    return volume.f_bavail * volume.f_frsize < _ALMOST_NOTHING_BYTES
