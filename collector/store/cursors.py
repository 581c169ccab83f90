"""The SQL of the sinks' positions as sinks come, go and change their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from collector.errors import PageRefused
from collector.store import reading
from collector.store.rows import Cursor

_NAMED_AFTER_SINK = ("cursors", "settles", "dead_letters", "daily")


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
