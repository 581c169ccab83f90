"""SQLite's errors, in the words of the exception tree."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from collector.errors import CollectorError, PageRefused, StoreError, StoreFull

# A full volume shows as an I/O error too where SQLite extends its shared memory, its WAL, or makes a file.
_ALMOST_NOTHING_BYTES = 512 * 1024
_PERHAPS_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REFUSED = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE})


def translate(exc: sqlite3.Error | OSError, path: Path) -> CollectorError:
    """`StoreFull` where room would help, `PageRefused` where only this write is wrong, else `StoreError`."""
    if isinstance(exc, OSError):
        full = exc.errno in _NO_ROOM
        return _full(path) if full else StoreError(f"{exc.filename or path}: {exc.strerror}")
    code = getattr(exc, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL or (primary in _PERHAPS_NO_ROOM and _no_room(path)):
        return _full(path)
    if primary in _REFUSED or (primary is None and isinstance(exc, sqlite3.DataError | sqlite3.InterfaceError)):
        return PageRefused(f"can't be stored: {exc}")
    if primary in _DAMAGED:
        return StoreError(f"{path} is damaged ({exc}): stop, keep the file, restore a backup")
    return StoreError(f"{path}: {exc}")


def _full(path: Path) -> StoreFull:
    return StoreFull(f"no room for the state on the volume of {path}")


def _no_room(path: Path) -> bool:
    """Whether the volume is full for us: hardly a byte left, or a quota that statvfs does not show."""
    probe = path.with_name(path.name + ".probe")
    try:
        volume = os.statvfs(path.parent)
        if volume.f_bavail * volume.f_frsize < _ALMOST_NOTHING_BYTES:
            return True
        try:
            probe.write_bytes(b"\x00" * _ALMOST_NOTHING_BYTES)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as exc:
        return exc.errno in _NO_ROOM
    return False
