"""The SQL of the verbs that move the log forward: commit a page, settle a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import orjson

from collector.model import Checkpoint, Gap, Lane, Page, Record, StreamId, event_hash
from collector.store import codec
from collector.store.rows import Committed, NewDeadLetter, Position, to_day, to_micros

# One statement for the whole page: executemany gives up the GIL for every row. RETURNING names the ids that were new.
_REMEMBER = """
INSERT INTO seen (stream, bucket, hash16, first_seen_day, seq)
SELECT ?, value, substr(?, key * 16 + 1, 16), ?, ? FROM json_each(?) WHERE true
ON CONFLICT DO NOTHING RETURNING hash16
"""

# A batch of a partner's events may have as many tenants as events.
_DELIVERED = """
INSERT INTO daily (day, tenant, feed, sink, events, bytes)
SELECT ?1, value ->> 0, value ->> 1, ?2, value ->> 2, value ->> 3 FROM json_each(?3) WHERE true
ON CONFLICT DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes
"""


def ensure_stream(connection: sqlite3.Connection, stream: StreamId, source_type: str, vendor: str) -> int:
    """The stream's number, made on first use; the vendor's name must stay, uids are made of it."""
    row = connection.execute(
        "INSERT INTO streams (tenant, source, feed, source_type, vendor) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET source_type = excluded.source_type, vendor = excluded.vendor RETURNING id",
        (stream.tenant, stream.source, stream.feed, source_type, vendor),
    ).fetchone()
    return int(row[0])


def commit_page(  # noqa: PLR0917 -- one transaction, these are its parts
    connection: sqlite3.Connection, stream: int, vendor: str, feed: str, lane: Lane, job: int, page: Page, day: int
) -> Committed:
    """Drop the known ids, append the rest, write the checkpoint."""
    fresh, seq = _remember(connection, stream, vendor, feed, page.records, day)
    if fresh:
        body = codec.encode(fresh)
        connection.execute(
            "INSERT INTO pages (seq, stream, lane, fetched_at, records, bytes, request_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, stream, lane, to_micros(page.fetched_at), len(fresh), len(body), page.request_id[:200]),
        )
        connection.execute("INSERT INTO bodies (seq, zstd) VALUES (?, ?)", (seq, body))
        _count(connection, to_day(page.fetched_at), stream, "", len(fresh), sum(len(r.raw) for r in fresh))
    write_checkpoint(connection, stream, lane, job, page.checkpoint)
    for gap in page.gaps:
        record_gap(connection, stream, lane, gap, page.fetched_at)
    duplicates = len(page.records) - len(fresh)
    return Committed(len(fresh), duplicates, seq if fresh else None, fresh)


def _remember(
    connection: sqlite3.Connection, stream: int, vendor: str, feed: str, records: Sequence[Record], day: int
) -> tuple[list[Record], int]:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pages'").fetchone()
    seq = 1 if row is None else int(row[0]) + 1
    if not records:
        return [], seq
    hashes = [event_hash(vendor, feed, record.id) for record in records]
    buckets = orjson.dumps([record.bucket for record in records]).decode()
    new = {row[0] for row in connection.execute(_REMEMBER, (stream, b"".join(hashes), day, seq, buckets))}
    fresh = []
    for digest, record in zip(hashes, records, strict=True):
        if digest in new:
            fresh.append(record)
            new.discard(digest)
    return fresh, seq


def write_checkpoint(connection: sqlite3.Connection, stream: int, lane: Lane, job: int, checkpoint: Checkpoint) -> None:
    """Store a lane's position."""
    connection.execute(
        "INSERT INTO checkpoints (stream, lane, job, body) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET body = excluded.body",
        (stream, lane, job, _checkpoint_to_json(checkpoint)),
    )


def _checkpoint_to_json(checkpoint: Checkpoint) -> str:
    """`{v, watermark, run, state}`; read by `reading.checkpoint`."""
    watermark = None if checkpoint.watermark is None else checkpoint.watermark.isoformat()
    body = {"v": 1, "watermark": watermark, "run": checkpoint.run, "state": dict(checkpoint.state)}
    return orjson.dumps(body).decode()


def record_gap(connection: sqlite3.Connection, stream: int, lane: Lane, gap: Gap, at: datetime) -> None:
    """Remember what could not be read; the same range of the same stream counts once, whichever lane met it."""
    values = (stream, lane, to_micros(gap.start), to_micros(gap.end), gap.token, gap.reason, to_micros(at))
    connection.execute(
        "INSERT INTO gaps (stream, lane, started, ended, token, reason, at) SELECT ?, ?, ?, ?, ?, ?, ? "
        "WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE stream = ? AND started = ? AND ended = ?)",
        (*values, stream, to_micros(gap.start), to_micros(gap.end)),
    )


def settle(  # noqa: PLR0913, PLR0917 -- one transaction, these are its parts
    connection: sqlite3.Connection,
    sink: str,
    destination: str,
    position: Position,
    state: bytes | None,
    dead_letters: Sequence[tuple[int, NewDeadLetter]],
    at: datetime,
    delivered: Sequence[tuple[str, str, int, int]],
    resolved: Sequence[int] = (),
) -> None:
    """Move the cursor to the end of what was accepted, with all that follows from the receipt.

    `dead_letters` come with their stream's number; `delivered` is (tenant, feed, events, bytes), the tenant that the
    events carry; `resolved` are the numbers of dead letters that the sink took after all.
    """
    drop_dead_letters(connection, resolved)
    connection.execute(
        "INSERT INTO cursors (sink, destination, seq, offset, state) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET seq = excluded.seq, offset = excluded.offset, "
        "state = coalesce(excluded.state, cursors.state)",
        (sink, destination, position.seq, position.offset, state),
    )
    if delivered or dead_letters:
        connection.execute(
            "INSERT INTO settles (sink, destination, seq, offset, at) VALUES (?, ?, ?, ?, ?)",
            (sink, destination, position.seq, position.offset, to_micros(at)),
        )
    for stream, letter in dead_letters:
        connection.execute(
            "INSERT INTO dead_letters (sink, destination, stream, uid, event_id, fetched_at, reason, at, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sink,
                destination,
                stream,
                letter.uid,
                letter.event_id,
                to_micros(letter.fetched_at),
                letter.reason[:4000],
                to_micros(at),
                codec.encode([letter.record]),
            ),
        )
    if delivered:
        connection.execute(_DELIVERED, (to_day(at), sink, orjson.dumps(delivered).decode()))


def drop_dead_letters(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Throw refused events away; returns how many there were."""
    return connection.executemany("DELETE FROM dead_letters WHERE id = ?", [(number,) for number in ids]).rowcount


def note_attempt(connection: sqlite3.Connection, number: int, reason: str, at: datetime) -> None:
    """Count another refusal."""
    connection.execute(
        "UPDATE dead_letters SET attempts = attempts + 1, reason = ?, at = ? WHERE id = ?",
        (reason[:4000], to_micros(at), number),
    )


def rename_streams(connection: sqlite3.Connection, old: StreamId, new: StreamId) -> None:
    """Let a stream go on under another name, unless that name is taken; its feed stays the same."""
    connection.execute(
        "UPDATE OR IGNORE streams SET tenant = ?, source = ? WHERE tenant = ? AND source = ? AND feed = ?",
        (new.tenant, new.source, old.tenant, old.source, old.feed),
    )


def _count(connection: sqlite3.Connection, day: int, stream: int, sink: str, events: int, size: int) -> None:
    connection.execute(
        "INSERT INTO daily (day, tenant, feed, sink, events, bytes) "
        "SELECT ?, tenant, feed, ?, ?, ? FROM streams WHERE id = ? "
        "ON CONFLICT DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes",
        (day, sink, events, size, stream),
    )
