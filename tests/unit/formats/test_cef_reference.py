"""The reference of the keys is what the tables say, to the row."""

from __future__ import annotations

from pathlib import Path

from collector.formats.cef.base import PAIRS, TIMES
from collector.formats.cef.table import Pair
from collector.sources.eset.cef import CEF_TABLE as ESET_TABLE
from collector.sources.eset.codes import CATEGORY
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


def test_every_pair_of_eset_has_its_row() -> None:
    prefix = CATEGORY.prefixes[0]
    by_pair: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for category, pairs in ESET_TABLE.variants.items():
        for pair in pairs:
            by_pair.setdefault((pair.key, pair.sources, pair.label), []).append(f"`{category.removeprefix(prefix)}`")
    named = [(Pair(key, *sources, label=label), where) for (key, sources, label), where in by_pair.items() if sources]
    expected = [row(pair, "all") for pair in ESET_TABLE.pairs if pair.make is None]
    expected += [row(pair, ", ".join(where)) for pair, where in named]
    made = {(key, ", ".join(where)) for (key, sources, _), where in by_pair.items() if not sources}

    assert [line for line in expected if line not in REFERENCE.splitlines()] == []
    assert [key for key, where in made if f"| {where} | `{key}` |" not in REFERENCE] == []


def test_every_class_id_of_eset_has_its_row() -> None:
    for category, class_id in ESET_TABLE.signatures.items():
        name = "incidents" if category == "incident" else f"`{category.removeprefix(CATEGORY.prefixes[0])}`"
        assert f"| {name} | {class_id} | ESET " in REFERENCE


def test_the_numbers_of_severity_are_told() -> None:
    assert ", ".join(f"{word} {number}" for word, number in SEVERITY_NUMBERS.items()) in REFERENCE
