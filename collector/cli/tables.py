"""Prints what the daemon told: tables for people, plain ones into a pipe, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {
    "ok": "green",
    "running": "green",
    "starting": "cyan",
    "backing_off": "yellow",
    "paused": "yellow",
    "denied": "bold red",
    "held": "bold red",
}


def print_json(value: Any) -> None:
    """Indented, in the daemon's own words."""
    print(printable(json.dumps(value, indent=2, ensure_ascii=False)))


def printable(text: str) -> str:
    """JSON with what would steer a terminal escaped; json itself leaves the C1 control characters alone."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Rows under headings; `empty` instead when there is none.

    Into a pipe: columns parted by tabs, no line broken, no colours.
    """
    lines = [[clean(cell) for cell in row] for row in rows]
    if not lines:
        print(empty)
    elif sys.stdout.isatty():
        Console().print(table(columns, lines))
    else:
        for line in (columns, *lines):
            print("\t".join(line))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The same for a terminal, as a thing rich can print or refresh."""
    drawn = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        drawn.add_row(*(Text(clean(cell), style=_STYLES.get(cell.partition(":")[0], "")) for cell in row))
    return drawn


def clean(text: str) -> str:
    """One line without control characters: what a server said must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def count(value: Any) -> str:
    """`12,345`, or nothing."""
    return f"{value:,}" if isinstance(value, int) else ""


def size(value: Any) -> str:
    """`1.5 MiB`, or nothing."""
    if not isinstance(value, int | float):
        return ""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def seconds(value: Any) -> str:
    """`45s`, `12m`, `3h 20m`, `2d 4h`, or nothing."""
    if not isinstance(value, int | float):
        return ""
    whole = int(value)
    if abs(whole) < 60:
        return f"{whole}s"
    if abs(whole) < 3600:
        return f"{whole // 60}m"
    if abs(whole) < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def age(moment: Any, now: datetime | None = None) -> str:
    """How long ago a time of the daemon's was, `never` for none."""
    if not isinstance(moment, str) or not moment:
        return "never"
    passed = (now or datetime.now(UTC)) - datetime.fromisoformat(moment)
    return f"{seconds(max(0.0, passed.total_seconds()))} ago"


def text_of(row: Mapping[str, Any], *keys: str) -> list[str]:
    """Those values as cells, nothing for what is missing."""
    return ["" if row.get(key) is None else str(row[key]) for key in keys]
