"""The SQL of what the janitor takes away; each step is small, so that commits and settles slip in between."""

from __future__ import annotations

import sqlite3
import time

from collector import faults
from collector.store.rows import Position

_STEP_IDS = 5000
_STEP_PAGES = 32
_STEP_ROWS = 5000
_VACUUM_PAGES = 16
_VACUUM_SECONDS = 0.02

Key = tuple[int, int, bytes]
FIRST_KEY: Key = (-1, -(2**62), b"")


def bodies(connection: sqlite3.Connection, before: Position, older_than: int | None) -> int:
    """Drop the oldest delivered bodies: of pages before `before`, fetched before `older_than` (None: whenever).

    Returns how many were dropped; call again while that is not 0.
    """
    faults.point("prune.before")
    doomed = connection.execute(
        "SELECT b.seq FROM bodies b JOIN pages p ON p.seq = b.seq "
        "WHERE b.seq < ?1 AND (?2 IS NULL OR p.fetched_at < ?2) ORDER BY b.seq LIMIT ?3",
        (before.seq, older_than, _STEP_PAGES),
    ).fetchall()
    connection.executemany("DELETE FROM bodies WHERE seq = ?", doomed)
    faults.point("prune.inside")
    return len(doomed)


def pages(connection: sqlite3.Connection, before: Position, older_than: int) -> int:
    """Forget pages without a body that were fetched before `older_than`, and what was settled before then."""
    gone = connection.execute(
        "DELETE FROM pages WHERE seq IN (SELECT p.seq FROM pages p WHERE p.seq < ?1 AND p.fetched_at < ?2 "
        "AND NOT EXISTS (SELECT 1 FROM bodies b WHERE b.seq = p.seq) ORDER BY p.seq LIMIT ?3)",
        (before.seq, older_than, _STEP_ROWS),
    ).rowcount
    settled = connection.execute(
        "DELETE FROM settles WHERE rowid IN (SELECT rowid FROM settles WHERE at < ? ORDER BY rowid LIMIT ?)",
        (older_than, _STEP_ROWS),
    ).rowcount
    return max(gone, settled)


def ids(connection: sqlite3.Connection, after: Key, first_seen_before_day: int) -> Key | None:
    """Forget ids first seen before that day, in one stretch of the table; returns where to go on, None at the end."""
    end = connection.execute(
        "SELECT stream, bucket, hash16 FROM seen WHERE (stream, bucket, hash16) > (?, ?, ?) "
        "ORDER BY stream, bucket, hash16 LIMIT 1 OFFSET ?",
        (*after, _STEP_IDS),
    ).fetchone()
    if end is None:
        connection.execute(
            "DELETE FROM seen WHERE (stream, bucket, hash16) > (?, ?, ?) AND first_seen_day < ?",
            (*after, first_seen_before_day),
        )
        return None
    connection.execute(
        "DELETE FROM seen WHERE (stream, bucket, hash16) > (?, ?, ?) AND (stream, bucket, hash16) <= (?, ?, ?) "
        "AND first_seen_day < ?",
        (*after, *end, first_seen_before_day),
    )
    return (int(end[0]), int(end[1]), bytes(end[2]))


def thin_settles(connection: sqlite3.Connection, older_than: int) -> int:
    """Keep one settle a minute (the last) of those older than `older_than`."""
    minute = 60_000_000
    return connection.execute(
        "DELETE FROM settles WHERE at < ?1 AND rowid NOT IN "
        "(SELECT max(rowid) FROM settles WHERE at < ?1 GROUP BY sink, destination, at / ?2)",
        (older_than, minute),
    ).rowcount


def vacuum(connection: sqlite3.Connection, keep_free_pages: int) -> bool:
    """Give free pages back to the file system for about 20 ms; returns whether there is more to do."""
    deadline = time.monotonic() + _VACUUM_SECONDS
    while time.monotonic() < deadline:
        if connection.execute("PRAGMA freelist_count").fetchone()[0] <= keep_free_pages:
            return False
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    return True
