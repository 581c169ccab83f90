"""The SQL of what operators decided about tenants, and of the accounts that positions belong to."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from collector.model import StreamId
from collector.store.rows import to_micros


def paused(connection: sqlite3.Connection) -> set[str]:
    """The tenants that are not to be polled."""
    return {row[0] for row in connection.execute("SELECT tenant FROM pauses")}


def pause(connection: sqlite3.Connection, tenant: str, at: datetime) -> None:
    """Have the tenant not polled, until `resume`."""
    connection.execute("INSERT OR IGNORE INTO pauses (tenant, at) VALUES (?, ?)", (tenant, to_micros(at)))


def resume(connection: sqlite3.Connection, tenant: str) -> None:
    """Have the tenant polled again."""
    connection.execute("DELETE FROM pauses WHERE tenant = ?", (tenant,))


def rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Let a pause go on under the tenant's new name."""
    if old != new:
        connection.execute("UPDATE OR IGNORE pauses SET tenant = ? WHERE tenant = ?", (new, old))


def accounts(connection: sqlite3.Connection) -> dict[StreamId, str]:
    """The identity of the account that each stream was read from, where it is known."""
    rows = connection.execute(
        "SELECT s.tenant, s.source, s.feed, a.identity FROM accounts a JOIN streams s ON s.id = a.stream"
    )
    return {StreamId(*name): identity for *name, identity in rows}


def set_account(connection: sqlite3.Connection, stream: int, identity: str) -> None:
    """From now on the stream's positions belong to that account."""
    connection.execute(
        "INSERT INTO accounts (stream, identity) VALUES (?, ?) ON CONFLICT DO UPDATE SET identity = excluded.identity",
        (stream, identity),
    )
