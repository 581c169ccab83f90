"""What can't be avoided: decode the page, store it in one FULL transaction, write it and sync."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import orjson


def events_per_second(pages: Sequence[bytes], folder: Path) -> float:
    """Take every page once; nothing of it is deduplicated, normalized, or sliced."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE pages (seq INTEGER PRIMARY KEY, body BLOB)")
    connection.execute("CREATE TABLE checkpoint (one INTEGER PRIMARY KEY, position INTEGER)")
    events = 0
    began = time.perf_counter()
    with (folder / "floor.out").open("wb", buffering=0) as out:
        for number, page in enumerate(pages):
            items = orjson.loads(page)["items"]
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO pages VALUES (?, ?)", (number, page))
            connection.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (number,))
            connection.execute("DELETE FROM pages WHERE seq = ?", (number - 1,))
            connection.execute("COMMIT")
            out.write(page)
            os.fdatasync(out.fileno())
            events += len(items)
    seconds = time.perf_counter() - began
    connection.close()
    return events / seconds
