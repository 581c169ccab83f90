"""Compares what was delivered with what the vendor showed: the judge of the demo and of the tests.

It reads delivered lines with its own few lines of code and not with the product's, so that a mistake of the product
is not made twice.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec


class _Envelope(msgspec.Struct):
    id: str
    raw: msgspec.Raw
    flags: list[str] = []
    feed: str = ""
    kind: str = ""
    vendor: str = ""


_decoder = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivered line: the vendor's id, the record's bytes, whether they had to be repaired, and what it is."""

    id: str
    raw: bytes
    repaired: bool
    feed: str
    kind: str
    vendor: str


@dataclass(slots=True)
class Verdict:
    """Ids by what is wrong with them; `torn` are lines that are no event. All empty: everything once, byte for byte."""

    events: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.missing or self.doubled or self.strange or self.altered or self.torn)

    def add(self, place: str, other: Verdict) -> None:
        """Add what is wrong at another place, under its name."""
        for wrong in ("missing", "doubled", "strange", "altered", "torn"):
            getattr(self, wrong).extend(f"{place}: {name}" for name in getattr(other, wrong))


def read_lines(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every line of every file below `folder`, compressed ones too; the last may lack its end."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in content.splitlines(keepends=True):
            yield path, line


def judge(report: Mapping[str, Mapping[str, Any]], lines: Iterable[tuple[Path, bytes]]) -> Verdict:
    """Compare lines of the `json` format with a ledger's report; every id must be there once."""
    verdict = Verdict()
    seen: Counter[str] = Counter()
    for path, line in lines:
        event = parse_line(line)
        if event is None:
            verdict.torn.append(f"{path}: {line[:80]!r}")
            continue
        seen[event.id] += 1
        entry = report.get(event.id)
        if entry is None:
            verdict.strange.append(event.id)
        elif not event.repaired and event.raw not in entry["versions"]:
            verdict.altered.append(event.id)
    verdict.events = sum(seen.values())
    verdict.missing = [key for key in report if key not in seen]
    verdict.doubled = [key for key, count in seen.items() if count > 1]
    return verdict


def of_feed(
    lines: Iterable[tuple[Path, bytes]], *feeds: str, vendor: str = "", kind: str = ""
) -> Iterator[tuple[Path, bytes]]:
    """The lines of these feeds, of one vendor and kind where that is said, and those that are no event."""
    for path, line in lines:
        event = parse_line(line)
        if event is None or (event.feed in feeds and vendor in {"", event.vendor} and kind in {"", event.kind}):
            yield path, line


def parse_line(line: bytes) -> Delivered | None:
    """A whole line of the `json` format, None for anything else."""
    if not line.endswith(b"\n"):
        return None
    try:
        envelope = _decoder.decode(line)
    except msgspec.MsgspecError:
        return None
    repaired = "repaired" in envelope.flags
    return Delivered(envelope.id, bytes(envelope.raw), repaired, envelope.feed, envelope.kind, envelope.vendor)
