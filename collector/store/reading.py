"""The SQL of what delivery and operators read."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from collector.model import StreamId
from collector.store import codec
from collector.store.rows import Backlog, Chunk, Cursor, DeadLetter, LogPage, Position, from_micros

_PAGES_AT_ONCE = 64
_PAGES = """
SELECT p.seq, s.tenant, s.source, s.feed, s.source_type, p.fetched_at, b.zstd, p.bytes
FROM pages p JOIN streams s ON s.id = p.stream JOIN bodies b ON b.seq = p.seq
WHERE p.seq >= ? AND p.stream IN (SELECT value FROM json_each(?)) ORDER BY p.seq LIMIT ?
"""


def pages(connection: sqlite3.Connection, after: Position, streams: list[int], max_bytes: int) -> Chunk:
    """Pages from `after` on, at least one if there is one, then while `max_bytes` as stored allow.

    Pages of other streams are passed over unopened; pages whose body was pruned are skipped.
    """
    found: list[LogPage] = []
    budget = max_bytes
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pages'").fetchone()
    end = max(after, Position(1 if last is None else int(last[0]) + 1))
    rows = connection.execute(_PAGES, (after.seq, orjson.dumps(streams).decode(), _PAGES_AT_ONCE))
    for count, row in enumerate(rows, 1):
        seq, tenant, source, feed, source_type, fetched_at, body, stored = row
        records = codec.decode(body)
        stream = StreamId(tenant, source, feed)
        found.append(LogPage(seq, stream, source_type, from_micros(fetched_at), records, stored))
        budget -= stored
        if budget <= 0 or count == _PAGES_AT_ONCE:
            end = Position(seq + 1)
            break
    # The two statements may see different moments: never read a page twice because the second saw more.
    return Chunk(found, max(end, Position(found[-1].seq + 1)) if found else end)


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the newest page ever written, 0 when there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pages'").fetchone()
    return 0 if row is None else int(row[0])


def cursors(connection: sqlite3.Connection) -> list[Cursor]:
    """Every cursor there is, also those of sinks that the configuration no longer names."""
    rows = connection.execute("SELECT sink, destination, seq, offset, state FROM cursors")
    return [Cursor(sink, destination, Position(seq, offset), state) for sink, destination, seq, offset, state in rows]


def backlog(connection: sqlite3.Connection, position: Position, streams: list[int] | None) -> Backlog:
    """What lies at and behind `position`, of the given streams or of all."""
    only = "" if streams is None else "AND stream IN (SELECT value FROM json_each(?2))"
    values: list[Any] = [position.seq] if streams is None else [position.seq, orjson.dumps(streams).decode()]
    rows = connection.execute(
        "SELECT s.tenant, s.source, s.feed, t.records, t.bytes, t.oldest FROM "  # noqa: S608 -- `only` is ours
        "(SELECT stream, sum(records) AS records, sum(bytes) AS bytes, min(fetched_at) AS oldest "
        f"FROM pages WHERE seq >= ?1 {only} GROUP BY stream) t JOIN streams s ON s.id = t.stream",
        values,
    ).fetchall()
    events = sum(row[3] for row in rows)
    if position.offset and rows:
        events -= position.offset
    oldest = min((row[5] for row in rows), default=None)
    return Backlog(
        events=max(0, events),
        stored_bytes=sum(row[4] for row in rows),
        oldest=None if oldest is None else from_micros(oldest),
        streams=frozenset(StreamId(*row[:3]) for row in rows),
    )


def checkpoints(connection: sqlite3.Connection) -> list[tuple[StreamId, str, int, str]]:
    """Every lane's position as (stream, lane, job, JSON)."""
    rows = connection.execute(
        "SELECT s.tenant, s.source, s.feed, c.lane, c.job, c.body FROM checkpoints c JOIN streams s ON s.id = c.stream "
        "ORDER BY 1, 2, 3, 4, 5"
    )
    return [(StreamId(*row[:3]), row[3], row[4], row[5]) for row in rows]


def gaps(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every recorded gap, newest first."""
    rows = connection.execute(
        "SELECT s.tenant, s.source, s.feed, g.lane, g.started, g.ended, g.reason, g.at "
        "FROM gaps g JOIN streams s ON s.id = g.stream ORDER BY g.id DESC"
    )
    return [
        {
            "tenant": tenant,
            "source": source,
            "feed": feed,
            "lane": lane,
            "start": from_micros(started),
            "end": from_micros(ended),
            "reason": reason,
            "at": from_micros(at),
        }
        for tenant, source, feed, lane, started, ended, reason, at in rows
    ]


def dead_letters(
    connection: sqlite3.Connection, sink: str | None, ids: list[int] | None, limit: int
) -> list[DeadLetter]:
    """Refused events, oldest first; `ids` None means all of the sink, `sink` None means all sinks."""
    rows = connection.execute(
        "SELECT d.id, d.sink, d.destination, s.tenant, s.source, s.feed, s.source_type, d.uid, d.event_id, "
        "d.fetched_at, d.reason, d.at, d.attempts, d.record FROM dead_letters d JOIN streams s ON s.id = d.stream "
        "WHERE (?1 IS NULL OR d.sink = ?1) AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2))) "
        "ORDER BY d.id LIMIT ?3",
        (sink, None if ids is None else orjson.dumps(ids).decode(), limit),
    )
    return [
        DeadLetter(
            id=row[0],
            sink=row[1],
            destination=row[2],
            stream=StreamId(*row[3:6]),
            source_type=row[6],
            uid=row[7],
            event_id=row[8],
            fetched_at=from_micros(row[9]),
            reason=row[10],
            at=from_micros(row[11]),
            attempts=row[12],
            record=codec.decode(row[13])[0],
        )
        for row in rows
    ]


def dead_letter_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many dead letters each sink has."""
    return dict(connection.execute("SELECT sink, count(*) FROM dead_letters GROUP BY sink").fetchall())
