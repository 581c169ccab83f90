"""YAML with lines: what aliases, merges, tags and depths may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.config import yaml_lines
from collector.config.report import Report
from collector.config.yaml_lines import read_document
from collector.errors import ConfigError


def read(folder: Path, text: str) -> Any:
    """The values of a file without a mistake."""
    file = folder / "x.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    report = Report()
    document = read_document(file, report)
    report.raise_problems()
    assert document is not None
    return document.value


def problem(folder: Path, text: str) -> str:
    """The one mistake of a file."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].replace(f"{folder}/", "")


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str) -> None:
    monkeypatch.setattr(yaml_lines, "_Loader", getattr(yaml, loader))
    text = (
        "a: [no, on, 'true', true, ~, null, 12, -3, 0, 0640, 1:30, 1_000, 1.5, 1.50, 1e3, 2026-01-02, 0x1f, .inf]\n"
        "no: {5: x, ~: y, 2026-01-02: z}\n"
        "t: !!str 12\n"
        "m: |\n  two\n  lines\n"
    )

    assert read(tmp_path, text) == {
        "a": [
            "no",
            "on",
            "true",
            True,
            None,
            None,
            12,
            -3,
            0,
            "0640",
            "1:30",
            "1_000",
            1.5,
            "1.50",
            "1e3",
            "2026-01-02",
            "0x1f",
            ".inf",
        ],
        "no": {"5": "x", "~": "y", "2026-01-02": "z"},
        "t": "12",
        "m": "two\nlines\n",
    }


def test_own_keys_go_before_merged_ones_and_the_first_merged_before_the_second(tmp_path: Path) -> None:
    text = """
one: &one {a: 1, b: 1}
two: &two {b: 2, c: 2, <<: *one}
both: {<<: [*two, *one], c: 3}
"""

    assert read(tmp_path, text)["both"] == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: stands here twice, first in line 1"),
        ("a:\n  - {b: 1, b: 2}\n", "x.yaml:2: a[0].b: stands here twice, first in line 2"),
        ("? [a]\n: b\n", "x.yaml:1: a key must be a word"),
        ("a: {<<: 5}\n", "x.yaml:1: a: << takes an alias of a mapping, or a list of them"),
        ("a: !!python/object:os.system x\n", "x.yaml:1: a: YAML tags are not supported; a value that begins with ! n"),
        ("a: !!set {b}\n", "x.yaml:1: a: YAML tags are not supported"),
        ("a: &x [*x]\n", "x.yaml: nested deeper than 50 levels"),
        ("a: &x {<<: *x}\n", "x.yaml: nested deeper than 50 levels"),
        ("[" * 60 + "]" * 60, "x.yaml: nested deeper than 50 levels"),
        ("[" * 50_000, "x.yaml: nested deeper than 50 levels"),
        ("a: *nothing\n", "x.yaml:1: not valid YAML: found undefined alias"),
        ("a: @b\n", "x.yaml:1: not valid YAML: found character that cannot start any token; a value that begins wit"),
        ("a: \ud800\n", "x.yaml:1: not UTF-8 text"),
    ],
)
def test_a_mistake_in_the_yaml_is_one_message_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(expected)


def test_aliases_that_unfold_without_end_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_lines, "_MAX_VALUES", 20_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert problem(tmp_path, "\n".join(lines)) == "x.yaml: more than 20000 values, aliases unfolded"


def test_merges_that_unfold_without_end_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_lines, "_MAX_VALUES", 20_000)
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]

    assert problem(tmp_path, "\n".join(lines)) == "x.yaml: more than 20000 values, aliases unfolded"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,? \n\t<0~", max_size=40))
def test_whatever_the_file_holds_it_is_read_or_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    report = Report()

    document = read_document(file, report)

    if document is None:
        with pytest.raises(ConfigError):
            report.raise_problems()
