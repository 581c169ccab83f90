"""The SQL of what delivery and operators read."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from collector.model import Checkpoint, StreamId
from collector.store import codec
from collector.store.rows import (
    Backlog,
    Chunk,
    Cursor,
    DailyCount,
    DeadLetter,
    LogPage,
    Position,
    Usage,
    from_day,
    from_micros,
)

_PAGES_AT_ONCE = 64
# A sink of a few streams may pass over millions of pages: in stretches, since a long read keeps the WAL from being cut.
_STRETCH = 10_000
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'pages'"
_PAGES = """
SELECT p.seq, s.tenant, s.source, s.feed, s.source_type, p.fetched_at, b.zstd, p.bytes
FROM pages p CROSS JOIN streams s ON s.id = p.stream CROSS JOIN bodies b ON b.seq = p.seq
WHERE p.seq >= ?1 AND p.seq < ?2 AND p.stream IN (SELECT value FROM json_each(?3))
ORDER BY p.seq LIMIT ?4
"""


def pages(connection: sqlite3.Connection, after: Position, streams: list[int], max_bytes: int) -> Chunk:
    """Pages from `after` on of these streams while `max_bytes` as stored allow, but at least one.

    Pages of other streams are passed over unopened; pages whose body was pruned are skipped. A chunk without pages
    whose `end` is behind `after` only says that there was nothing to open so far.
    """
    found: list[tuple[Any, ...]] = []
    limit = Position(after.seq + _STRETCH)
    # Asked first: what is committed between the two statements may be found all the same, but is never passed over.
    end = max(after, min(Position(last_seq(connection) + 1), limit))
    with closing(connection.execute(_PAGES, (after.seq, limit.seq, _json(streams), _PAGES_AT_ONCE))) as rows:
        for row in rows:
            found.append(row)
            max_bytes -= row[-1]
            end = max(end, Position(row[0] + 1))
            if max_bytes <= 0 or len(found) == _PAGES_AT_ONCE:
                end = Position(row[0] + 1)
                break
    return Chunk([_page(*row) for row in found], end)  # decoded when the read is over: it keeps the WAL from being cut


def _page(  # noqa: PLR0917 -- the columns of `_PAGES`
    seq: int, tenant: str, source: str, feed: str, source_type: str, fetched_at: int, body: bytes, stored: int
) -> LogPage:
    return LogPage(
        seq, StreamId(tenant, source, feed), source_type, from_micros(fetched_at), codec.decode(body), stored
    )


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the newest page ever written, 0 when there was none."""
    row = connection.execute(_LAST).fetchone()
    return 0 if row is None else int(row[0])


def cursors(connection: sqlite3.Connection) -> list[Cursor]:
    """Every cursor there is, also those of sinks that the configuration no longer names."""
    rows = connection.execute("SELECT sink, destination, seq, offset, state FROM cursors")
    return [Cursor(sink, destination, Position(seq, offset), state) for sink, destination, seq, offset, state in rows]


def backlog(connection: sqlite3.Connection, position: Position, streams: list[int] | None) -> Backlog:
    """What lies at and behind `position` and can still be read, of the given streams or of all."""
    # Not grouped by stream: sorting millions of rows for that would take hundreds of megabytes.
    behind = "FROM pages WHERE seq >= ?1 AND (?2 IS NULL OR stream IN (SELECT value FROM json_each(?2)))"
    first = connection.execute("SELECT min(seq) FROM bodies").fetchone()[0]
    if first is None:
        return Backlog(0, 0, None)
    position = max(position, Position(first))
    values = (position.seq, _json(streams))
    events, size, oldest = connection.execute(
        f"SELECT coalesce(sum(records), 0), coalesce(sum(bytes), 0), min(fetched_at) {behind}", values
    ).fetchone()
    if position.offset:
        done = connection.execute(f"SELECT records {behind} AND seq = ?1", values).fetchone()
        events -= 0 if done is None else min(position.offset, done[0])
    names = connection.execute(
        "SELECT s.tenant, s.source, s.feed FROM streams s "  # noqa: S608 -- `behind` is ours
        f"WHERE s.id IN (SELECT DISTINCT stream {behind})",
        values,
    )
    return Backlog(
        events=events,
        stored_bytes=size,
        oldest=None if oldest is None else from_micros(oldest),
        streams=frozenset(StreamId(*row) for row in names),
    )


def checkpoints(connection: sqlite3.Connection) -> list[tuple[StreamId, str, int, Checkpoint]]:
    """Every lane's position as (stream, lane, job, checkpoint)."""
    rows = connection.execute(
        "SELECT s.tenant, s.source, s.feed, c.lane, c.job, c.body FROM checkpoints c JOIN streams s ON s.id = c.stream "
        "ORDER BY 1, 2, 3, 4, 5"
    )
    return [(StreamId(*name), lane, job, _checkpoint(body)) for *name, lane, job, body in rows]


def daily(connection: sqlite3.Connection, since_day: int, most: int) -> list[DailyCount]:
    """The counts since that day, newest day first; of all the newest and largest `most` one by one.

    The rest comes behind those of its day, one sum a day and sink.
    """
    ranked = (
        "SELECT *, row_number() OVER (ORDER BY day DESC, events DESC, tenant, feed, sink) AS place "
        "FROM daily WHERE day >= ?1"
    )
    rows = connection.execute(
        f"SELECT day, tenant, feed, sink, events, bytes, 1, 0 FROM ({ranked}) WHERE place <= ?2 "  # noqa: S608 -- ours
        "UNION ALL SELECT day, NULL, NULL, sink, sum(events), sum(bytes), count(*), 1 "
        f"FROM ({ranked}) WHERE place > ?2 GROUP BY day, sink ORDER BY 1 DESC, 8, 5 DESC, 2, 3, 4",
        (since_day, most),
    )
    return [DailyCount(from_day(day), *rest) for day, *rest, _ in rows]


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
        (sink, _json(ids), limit),
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


def dead_letter_counts(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """How many dead letters each (sink, destination) has."""
    rows = connection.execute("SELECT sink, destination, count(*) FROM dead_letters GROUP BY sink, destination")
    return {(sink, destination): count for sink, destination, count in rows}


def replay_horizon(connection: sqlite3.Connection) -> datetime | None:
    """When the oldest page that still has its body was fetched."""
    row = connection.execute(
        "SELECT p.fetched_at FROM bodies b JOIN pages p ON p.seq = b.seq ORDER BY b.seq LIMIT 1"
    ).fetchone()
    return None if row is None else from_micros(row[0])


def usage(connection: sqlite3.Connection, path: Path) -> Usage:
    """How much room the state takes and what is left."""
    pages_, free, page_size = connection.execute(
        "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchone()
    wal = path.with_name(path.name + "-wal").stat().st_size  # there for as long as a connection is open
    volume = os.statvfs(path.parent)
    return Usage(
        used=(pages_ - free) * page_size + wal,
        free_pages=free * page_size,
        wal=wal,
        volume_free=volume.f_bavail * volume.f_frsize,
        volume_size=volume.f_blocks * volume.f_frsize,
    )


def damage(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds broken, at most twenty findings; reads the whole file."""
    try:
        rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
    except sqlite3.DatabaseError as exc:  # so broken that the check itself fails
        return [str(exc)]
    return [row[0] for row in rows if row[0] != "ok"]


def streams(connection: sqlite3.Connection) -> list[tuple[int, StreamId, str, str]]:
    """Every stream as (number, name, source type, vendor)."""
    rows = connection.execute("SELECT id, tenant, source, feed, source_type, vendor FROM streams")
    return [(number, StreamId(*name), source_type, vendor) for number, *name, source_type, vendor in rows]


def newest_fetch(connection: sqlite3.Connection) -> datetime | None:
    """The largest `fetched_at` of the newest pages; not of all, since start-up must not read millions of rows."""
    row = connection.execute(
        "SELECT max(fetched_at) FROM (SELECT fetched_at FROM pages ORDER BY seq DESC LIMIT 1000)"
    ).fetchone()
    return None if row[0] is None else from_micros(row[0])


def checkpoint(connection: sqlite3.Connection, stream: int, lane: str, job: int) -> Checkpoint | None:
    """The lane's stored position."""
    row = connection.execute(
        "SELECT body FROM checkpoints WHERE stream = ? AND lane = ? AND job = ?", (stream, lane, job)
    ).fetchone()
    return None if row is None else _checkpoint(row[0])


def _checkpoint(body: str) -> Checkpoint:
    found = orjson.loads(body)
    watermark = None if found["watermark"] is None else datetime.fromisoformat(found["watermark"])
    return Checkpoint(watermark, found["run"], found["state"])


def _json(numbers: list[int] | None) -> str | None:
    return None if numbers is None else orjson.dumps(numbers).decode()
