"""The reference of the keys is what the tables say, to the row."""

from __future__ import annotations

from pathlib import Path

from collector.formats.cef.base import PAIRS, TIMES
from collector.formats.cef.table import Pair
from collector.sources.withsecure.cef import CEF_TABLE
from collector.sources.withsecure.normalize import SEVERITY_NUMBERS

REFERENCE = (Path(__file__).parents[3] / "docs" / "cef.md").read_text()


def row(pair: Pair, *first: str) -> str:
    sources = ", ".join(f"`{name}`" for name in pair.sources)
    return f"| {' | '.join([*first, f'`{pair.key}`', pair.label or ''])} | {sources} |".replace("|  |", "| |")


def test_every_pair_of_all_events_has_its_row() -> None:
    times = f"| `rt` | | `{TIMES['occurred'].sources[0]}`, or with `time: fetched` `{TIMES['fetched'].sources[0]}` |"
    expected = [times, *(row(pair) for pair in PAIRS if pair.make is None)]

    assert "\n".join(expected) in REFERENCE
    for pair in PAIRS:
        assert f"| `{pair.key}` |" in REFERENCE


def test_every_pair_of_withsecure_has_its_row() -> None:
    named = CEF_TABLE.variants
    expected = [row(pair, "all") for pair in CEF_TABLE.pairs if pair.make is None]
    expected += [row(pair, f"`{name}`") for name, pairs in named.items() for pair in pairs if pair.make is None]

    assert "\n".join(expected) in REFERENCE
    for name, pairs in [("all", CEF_TABLE.pairs), *((f"`{name}`", pairs) for name, pairs in named.items())]:
        for pair in pairs:
            assert f"| {name} | `{pair.key}` |" in REFERENCE


def test_the_numbers_of_severity_are_told() -> None:
    assert ", ".join(f"{word} {number}" for word, number in SEVERITY_NUMBERS.items()) in REFERENCE
