"""The durable log: one SQLite file that holds everything the collector must not forget."""

from collector.store.rows import (
    Backlog,
    Chunk,
    Committed,
    Cursor,
    DailyCount,
    DeadLetter,
    LogPage,
    NewDeadLetter,
    Position,
    Usage,
)
from collector.store.store import Store

__all__ = [
    "Backlog",
    "Chunk",
    "Committed",
    "Cursor",
    "DailyCount",
    "DeadLetter",
    "LogPage",
    "NewDeadLetter",
    "Position",
    "Store",
    "Usage",
]
