"""Opening the state: lock, checks, creation, migrations, connections."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

from collector.errors import StateInUse, StoreError
from collector.store.damage import APPLICATION_ID, inspect
from collector.store.failures import translate

# Small, since a commit of few events changes seven pages and each is written twice: 0.5 bytes per payload byte, with
# 16 KiB 1.15; an id without a bucket among ten million 9 KB and 33 KB. At rest and in reading there is no difference.
PAGE_BYTES = 4096
BUSY_SECONDS = 30.0
_MAX_WAL_BYTES = 16 * 1024 * 1024


def migrations() -> list[tuple[int, str]]:
    """Every migration as (version, SQL), oldest first."""
    folder = resources.files("collector.store") / "migrations"
    found = [(int(entry.name[:4]), entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(found)


def real(path: Path) -> Path:
    """The file itself: two names for one state must find one lock."""
    return path.resolve()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the state for this process alone, for as long as the context lasts; `path` as `real` gives it.

    Raises:
        StoreError: another process holds it, or the folder can't be written.
        StoreFull: no room.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise translate(exc, path) from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            msg = f"{path} is in use by another collector: two on one state would deliver everything twice"
            raise StateInUse(msg) from exc
        except OSError as exc:
            msg = f"{lock_path} can't be locked: {exc.strerror}"
            raise StoreError(msg) from exc
        yield
    finally:
        os.close(descriptor)


def make_ready(path: Path) -> None:
    """Create the state where there is none, check and migrate it where there is one. The lock must be held.

    Raises:
        StoreError: damaged, newer, foreign, or only parts of a state are there.
        StoreFull: no room.
    """
    known = migrations()
    try:
        if path.exists():
            inspect(path, known[-1][0])
            _migrate(path, known)
        else:
            _create(path, known)
    except (sqlite3.Error, OSError) as exc:
        raise translate(exc, path) from exc


def connect(path: Path, *, max_size: int, read_only: bool = False) -> sqlite3.Connection:
    """A connection for one thread, in autocommit mode: transactions are opened in so many words."""
    wal_bytes = wal_limit(path, max_size)
    # Threads change between opening and use; each connection still is used by one thread at a time.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-32000" if not read_only else "PRAGMA cache_size=-8000")
        connection.execute("PRAGMA temp_store=MEMORY")
        # Some builds zero what is deleted, for as many bytes of WAL again: pruning would write the log twice.
        connection.execute("PRAGMA secure_delete=FAST")
        connection.execute(f"PRAGMA wal_autocheckpoint={max(16, wal_bytes // 4 // PAGE_BYTES)}")
        connection.execute(f"PRAGMA journal_size_limit={wal_bytes // 2}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def wal_limit(path: Path, max_size: int) -> int:
    """The WAL's share: a tenth of `max_size`, a tenth of the volume, at most 16 MiB."""
    volume = os.statvfs(path.parent)
    return min(_MAX_WAL_BYTES, max_size // 10, volume.f_blocks * volume.f_frsize // 10)


def _create(path: Path, known: list[tuple[int, str]]) -> None:
    """Build beside and rename: a crash in between leaves nothing that would look like a damaged state."""
    leftover = [extra for suffix in ("-wal", "-journal") if (extra := path.with_name(path.name + suffix)).exists()]
    if leftover:
        msg = f"{path} is gone, but {leftover[0].name} is there: restore the state or move the rest away as well"
        raise StoreError(msg)
    fresh = path.with_name(path.name + ".new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")
        _apply(connection, known)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sync(fresh)
    fresh.rename(path)
    sync(path.parent)


def _migrate(path: Path, known: list[tuple[int, str]]) -> None:
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("PRAGMA journal_mode=WAL")  # a copy made with other tools may have lost it
        _apply(connection, [step for step in known if step[0] > version])


def _apply(connection: sqlite3.Connection, steps: list[tuple[int, str]]) -> None:
    """All steps or none: a state half way between two programs would be of use to neither."""
    if steps:
        script = "\n".join(sql for _, sql in steps)
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={steps[-1][0]};\nCOMMIT;")


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
