"""The SQL of the sinks' positions as sinks come, go and change their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from collector.errors import PageRefused
from collector.store import reading
from collector.store.rows import Cursor, Position

_NAMED_AFTER_SINK = ("cursors", "settles", "dead_letters", "daily")
_MOVE_ON = """
UPDATE cursors SET seq = moved.seq, offset = moved.offset FROM (
  SELECT json_extract(value, '$[0]') AS sink, json_extract(value, '$[1]') AS destination,
    json_extract(value, '$[2]') AS seq, json_extract(value, '$[3]') AS offset FROM json_each(?)
) AS moved
WHERE cursors.sink = moved.sink AND cursors.destination = moved.destination
AND (cursors.seq, cursors.offset) < (moved.seq, moved.offset)
"""


def prepare(connection: sqlite3.Connection, new_sinks: Mapping[str, str], renamed: Mapping[str, str]) -> list[Cursor]:
    """Rename first, then give every sink of `new_sinks` (name to `start_at`) that has no cursor one."""
    _rename(connection, dict(renamed))
    last = reading.last_seq(connection)
    for sink, start_at in new_sinks.items():
        if not _has_cursor(connection, sink):
            seq = last + 1 if start_at == "latest" else 1
            connection.execute("INSERT INTO cursors (sink, destination, seq, offset) VALUES (?, '', ?, 0)", (sink, seq))
    return reading.cursors(connection)


def forget(connection: sqlite3.Connection, sink: str) -> None:
    """Let go of the sink's positions."""
    connection.execute("DELETE FROM cursors WHERE sink = ?", (sink,))


def open_destinations(
    connection: sqlite3.Connection, sink: str, new: Mapping[str, Position], position: Position, state: bytes
) -> None:
    """Give new destinations their cursors and move the sink's own to behind what they were found in."""
    connection.executemany(
        "INSERT INTO cursors (sink, destination, seq, offset) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(sink, destination, where.seq, where.offset) for destination, where in new.items()],
    )
    connection.execute(
        "UPDATE cursors SET seq = ?, offset = ?, state = ? WHERE sink = ? AND destination = ''",
        (position.seq, position.offset, state, sink),
    )


def merge_destinations(connection: sqlite3.Connection, sink: str) -> Position:
    """Take the cursors of all destinations together into the sink's own; returns where that stands: at the last."""
    row = connection.execute(
        "SELECT seq, offset FROM cursors WHERE sink = ? ORDER BY seq, offset LIMIT 1", (sink,)
    ).fetchone()
    position = Position(*row)
    connection.execute("DELETE FROM cursors WHERE sink = ? AND destination <> ''", (sink,))
    connection.execute(
        "UPDATE cursors SET seq = ?, offset = ?, state = NULL WHERE sink = ?", (position.seq, position.offset, sink)
    )
    return position


def pass_over(connection: sqlite3.Connection, moved: Sequence[Cursor]) -> None:
    """Move cursors forward, never back, in one statement; their states stay."""
    rows = [(cursor.sink, cursor.destination, cursor.position.seq, cursor.position.offset) for cursor in moved]
    connection.execute(_MOVE_ON, (orjson.dumps(rows).decode(),))


def store_state(connection: sqlite3.Connection, sink: str, destination: str, state: bytes) -> None:
    """Store a sink's intent; the cursor stays where it is."""
    stored = connection.execute(
        "UPDATE cursors SET state = ? WHERE sink = ? AND destination = ?", (state, sink, destination)
    ).rowcount
    if not stored:  # an intent that is not there after the crash would let what it announces be written twice
        msg = f"sink {sink} has no cursor for {destination!r}"
        raise PageRefused(msg)


def _rename(connection: sqlite3.Connection, renamed: dict[str, str]) -> None:
    """Names move only onto free ones, so that `renamed_from` may stay in the configuration for good.

    Chains (a to b, b to c) are followed from their end; an exchange of two names is none and moves nothing.
    """
    while ready := [n for n, old in renamed.items() if not _has_cursor(connection, n) and _has_cursor(connection, old)]:
        new = ready[0]
        old = renamed.pop(new)
        for table in _NAMED_AFTER_SINK:
            connection.execute(f"UPDATE OR IGNORE {table} SET sink = ? WHERE sink = ?", (new, old))  # noqa: S608


def _has_cursor(connection: sqlite3.Connection, sink: str) -> bool:
    return connection.execute("SELECT 1 FROM cursors WHERE sink = ? LIMIT 1", (sink,)).fetchone() is not None
