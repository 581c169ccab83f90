"""The SQL that takes a tenant's events out of the file, so that none of their bytes stays behind.

Each step is small, so that commits and settles slip in between. What it deletes is overwritten with zeros: SQLite alone
would leave it in free pages until they are used again. Whatever lies in free pages already goes with `vacuum`, whatever
lies in the WAL with its truncation: both are for the caller to do afterwards.

A record of a page that holds others, too, gives way to an empty one: positions in the log stay what they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import orjson

from collector.model import Record
from collector.store import codec
from collector.store.reading import last_seq

_STRETCH = 10_000
_STEP_PAGES = 32
_STEP_ROWS = 2000
_STEP_LETTERS = 200
_PAGES = """
SELECT seq FROM pages WHERE seq >= ?2 AND seq < ?3 AND stream IN (SELECT value FROM json_each(?1))
ORDER BY seq LIMIT ?4
"""
_IDS = """
DELETE FROM seen WHERE (stream, bucket, hash16) IN (SELECT stream, bucket, hash16 FROM seen
WHERE stream IN (SELECT value FROM json_each(?1)) LIMIT ?2)
"""
_LETTERS = """
DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters
WHERE stream IN (SELECT value FROM json_each(?1)) LIMIT ?2)
"""
_GAPS = """
DELETE FROM gaps WHERE id IN (SELECT id FROM gaps WHERE stream IN (SELECT value FROM json_each(?1)) LIMIT ?2)
"""
EMPTY = Record("", 0, None, b"")


@contextmanager
def overwriting(connection: sqlite3.Connection) -> Iterator[None]:
    """What is deleted meanwhile is overwritten, in pages that become free, too."""
    connection.execute("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA secure_delete=FAST")


def pages(connection: sqlite3.Connection, streams: list[int], since: int) -> int | None:
    """Take away the first pages of these streams from that number on; returns where to go on, None at the end."""
    end = since + _STRETCH
    found = connection.execute(_PAGES, (orjson.dumps(streams).decode(), since, end, _STEP_PAGES)).fetchall()
    with overwriting(connection):
        connection.executemany("DELETE FROM bodies WHERE seq = ?", found)
        connection.executemany("DELETE FROM pages WHERE seq = ?", found)
    if len(found) == _STEP_PAGES:
        return int(found[-1][0]) + 1
    return end if end <= last_seq(connection) else None


def rest(connection: sqlite3.Connection, streams: list[int]) -> int:
    """Take away some ids, dead letters and gaps of these streams; returns how many, 0 when nothing is left."""
    chosen = orjson.dumps(streams).decode()
    with overwriting(connection):
        for statement, most in ((_IDS, _STEP_ROWS), (_LETTERS, _STEP_LETTERS), (_GAPS, _STEP_ROWS)):
            if gone := connection.execute(statement, (chosen, most)).rowcount:
                return gone
    return 0


def letters(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Take away these dead letters."""
    with overwriting(connection):
        connection.executemany("DELETE FROM dead_letters WHERE id = ?", [(number,) for number in numbers])


def forget_streams(connection: sqlite3.Connection, streams: list[int]) -> None:
    """Forget positions and accounts, and the streams themselves, after `pages` and `rest` have left nothing of them."""
    chosen = (orjson.dumps(streams).decode(),)
    with overwriting(connection):
        for table in ("checkpoints", "accounts"):
            connection.execute(
                f"DELETE FROM {table} WHERE stream IN (SELECT value FROM json_each(?))",  # noqa: S608 -- our names
                chosen,
            )
        connection.execute("DELETE FROM streams WHERE id IN (SELECT value FROM json_each(?))", chosen)


def forget_positions(connection: sqlite3.Connection, stream: int) -> None:
    """Forget where every lane of the stream is, with all that stands in a checkpoint."""
    with overwriting(connection):
        connection.execute("DELETE FROM checkpoints WHERE stream = ?", (stream,))


def forget_jobs(connection: sqlite3.Connection, tenant: str) -> None:
    """Forget the jobs whose target is the tenant's."""
    with overwriting(connection):
        connection.execute(
            "DELETE FROM jobs WHERE target = ?1 OR substr(target, 1, length(?1) + 1) = ?1 || '/'", (tenant,)
        )


def rewrite(connection: sqlite3.Connection, seq: int, purged: Collection[int]) -> None:
    """Empty these records of a page; nothing, where its body is gone already."""
    row = connection.execute("SELECT zstd FROM bodies WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        return
    records = [EMPTY if offset in purged else record for offset, record in enumerate(codec.decode(row[0]))]
    body = codec.encode(records)
    with overwriting(connection):
        connection.execute("UPDATE bodies SET zstd = ? WHERE seq = ?", (body, seq))
        connection.execute("UPDATE pages SET bytes = ? WHERE seq = ?", (len(body), seq))


def rebuild(connection: sqlite3.Connection) -> None:
    """Write the whole file anew, without anything that is not in it any more: for a state that nobody else uses."""
    connection.execute("VACUUM")
