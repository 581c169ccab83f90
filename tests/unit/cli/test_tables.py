from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from collector.cli import tables

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_json_is_whole_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"reason": "ä\x1b[2J\x9b1m\u2028\n\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")}

    tables.print_json(value)

    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert "ä" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_table_in_a_pipe_is_one_line_a_row_parted_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("a", "b"), [("1", "two\nlines\tand \x1b[2J")], "none")

    assert capsys.readouterr().out == "a\tb\n1\ttwo lines and  [2J\n"


def test_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("a",), [], "no feeds")

    assert capsys.readouterr().out == "no feeds\n"


def test_table_on_a_terminal_takes_no_markup_and_no_control_characters() -> None:
    console = Console(width=80, record=True, file=__import__("io").StringIO())

    console.print(tables.table(("state", "error"), [("held", "[bold]no markup[/bold]\x1b[2J")]))

    shown = console.export_text()
    assert "[bold]no markup[/bold]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0s"), (59.9, "59s"), (600, "10m"), (12000, "3h 20m"), (187200, "2d 4h"), (None, "")]
)
def test_seconds_are_told_for_people(value: float | None, text: str) -> None:
    assert tables.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB"), (None, "")]
)
def test_sizes_are_told_for_people(value: int | None, text: str) -> None:
    assert tables.size(value) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-11-22T11:59:30Z", "30s ago"),
        ("2026-11-22T11:00:00.123Z", "59m ago"),
        ("2026-11-22T12:00:05Z", "0s ago"),
        (None, "never"),
        ("", "never"),
    ],
)
def test_ages_are_told_for_people(moment: str | None, text: str) -> None:
    assert tables.age(moment, NOW) == text
