"""The SQL of what the janitor takes away; each step is small, so that commits and settles slip in between.

Whatever looks for old rows looks at the oldest few of a table only, in the order in which they were written: nothing
here reads a whole table on the thread that commits. A stretch of rows stamped far in the future therefore keeps what
lies behind it until it leaves itself, or until room gets short.
"""

from __future__ import annotations

import sqlite3
import time

import orjson

from collector import faults
from collector.store.rows import Position

_STEP_IDS = 5000
_STEP_BODIES = 32
_STEP_ROWS = 2000
_BODIES_SEEN = 256
_VACUUM_PAGES = 64
_VACUUM_SECONDS = 0.02
_MINUTE = 60_000_000

Key = tuple[int, int, bytes]
FIRST_KEY: Key = (-1, -(2**62), b"")


def bodies(connection: sqlite3.Connection, before: Position, older_than: int | None) -> int:
    """Drop the oldest delivered bodies: of pages before `before`, fetched before `older_than` (None: whenever).

    Returns how many were dropped; call again while that is not 0.
    """
    doomed = connection.execute(
        "SELECT seq FROM (SELECT seq, fetched_at FROM pages WHERE seq >= (SELECT min(seq) FROM bodies) AND seq < ?1 "
        "ORDER BY seq LIMIT ?3) p WHERE (?2 IS NULL OR fetched_at < ?2) "
        "AND EXISTS (SELECT 1 FROM bodies b WHERE b.seq = p.seq) LIMIT ?4",
        (before.seq, older_than, _BODIES_SEEN, _STEP_BODIES),
    ).fetchall()
    connection.executemany("DELETE FROM bodies WHERE seq = ?", doomed)
    faults.point("prune.inside")
    return len(doomed)


def pages(connection: sqlite3.Connection, before: Position, older_than: int) -> int:
    """Forget the oldest pages, those without a body that were fetched before `older_than`; returns how many."""
    return connection.execute(
        "DELETE FROM pages WHERE seq IN (SELECT seq FROM (SELECT seq, fetched_at FROM pages WHERE seq < ?1 "
        "ORDER BY seq LIMIT ?3) p WHERE fetched_at < ?2 AND NOT EXISTS (SELECT 1 FROM bodies b WHERE b.seq = p.seq))",
        (before.seq, older_than, _STEP_ROWS),
    ).rowcount


def settles(connection: sqlite3.Connection) -> int:
    """Forget the oldest settles, those that speak of forgotten pages only; returns how many."""
    return connection.execute(
        "DELETE FROM settles WHERE rowid IN (SELECT rowid FROM (SELECT rowid, seq FROM settles ORDER BY rowid LIMIT ?) "
        "WHERE seq < (SELECT coalesce((SELECT min(seq) FROM pages), "
        "(SELECT seq + 1 FROM sqlite_sequence WHERE name = 'pages'), 1)))",
        (_STEP_ROWS,),
    ).rowcount


def days(connection: sqlite3.Connection, before_day: int) -> int:
    """Forget daily counts of before that day; returns how many."""
    return connection.execute(
        "DELETE FROM daily WHERE (day, tenant, feed, sink) IN "
        "(SELECT day, tenant, feed, sink FROM daily WHERE day < ? ORDER BY day LIMIT ?)",
        (before_day, _STEP_ROWS),
    ).rowcount


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


def thin_settles(connection: sqlite3.Connection, older_than: int, after: int) -> tuple[int, int | None]:
    """Keep one settle a minute (the last) of a stretch of those older than `older_than`.

    `after` is the rowid behind which the stretch begins. Returns how many went and where the next one begins, None
    where nothing old is left.
    """
    older_than -= older_than % _MINUTE  # whole minutes: the rest of one would come with the next call
    rows = connection.execute(
        "SELECT rowid, sink, destination, at FROM settles WHERE rowid > ? ORDER BY rowid LIMIT ?", (after, _STEP_ROWS)
    ).fetchall()
    old = [row for row in rows if row[3] < older_than]
    if not old:
        return 0, None
    kept = {(sink, destination, at // _MINUTE): number for number, sink, destination, at in old}
    doomed = list({row[0] for row in old}.difference(kept.values()))
    connection.execute(
        "DELETE FROM settles WHERE rowid IN (SELECT value FROM json_each(?))", (orjson.dumps(doomed).decode(),)
    )
    return len(doomed), int(old[-1][0])


def vacuum(connection: sqlite3.Connection, keep_free_pages: int) -> bool:
    """Give free pages back to the file system for about 20 ms; returns whether there is more to do."""
    deadline = time.monotonic() + _VACUUM_SECONDS
    while time.monotonic() < deadline:
        if connection.execute("PRAGMA freelist_count").fetchone()[0] <= keep_free_pages:
            return False
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    return True
