"""Several files as one configuration, and files that are none."""

from __future__ import annotations

import pytest

from .conftest import SINKS, TENANTS, Folder


def test_included_files_bring_tenants_and_sinks_in_the_order_of_their_names(folder: Folder) -> None:
    folder.write(TENANTS.replace("acme", "zeta"), "tenants.d/2.yaml")
    folder.write(
        TENANTS.replace("acme", "beta") + SINKS.replace("events.", "b.").replace("archive", "b"), "tenants.d/1.yaml"
    )
    folder.write("", "tenants.d/3.yaml")

    config = folder.load(TENANTS + SINKS + "include: [tenants.d/*.yaml]")

    assert list(config.tenants) == ["acme", "beta", "zeta"]
    assert list(config.sinks) == ["archive", "b"]


def test_a_tenant_in_two_files_is_a_mistake_that_names_both_places(folder: Folder) -> None:
    folder.write("\n" + TENANTS, "one.yaml")

    problems = folder.problems(TENANTS + SINKS + "include: [one.yaml]")

    assert problems == ["one.yaml:2: tenants.acme: stands already in collector.yaml:1"]


def test_mistakes_of_all_files_come_at_once_in_the_order_of_the_files(folder: Folder) -> None:
    folder.write(TENANTS.replace("acme", "b").replace("'}", "', overlap: 5}"), "b.yaml")
    folder.write(TENANTS.replace("acme", "a").replace("'}", "', overlap: 6}"), "a.yaml")

    problems = folder.problems(TENANTS + SINKS + "logging: {level: 5}\ninclude: ['[ab].yaml']")

    assert [problem.split(": ")[:2] for problem in problems] == [
        ["collector.yaml:3", "logging.level"],
        ["a.yaml:1", "tenants.a.sources[0].overlap"],
        ["b.yaml:1", "tenants.b.sources[0].overlap"],
    ]


def test_an_included_file_holds_nothing_but_tenants_and_sinks(folder: Folder) -> None:
    folder.write("include: [more.yaml]\nstate: {}\ntenant: {}\n", "a.yaml")
    folder.write("- x", "b.yaml")

    problems = folder.problems(TENANTS + SINKS + "include: [a.yaml, b.yaml]")

    assert problems == [
        "a.yaml:1: include: an included file holds only tenants and sinks",
        "a.yaml:2: state: an included file holds only tenants and sinks",
        "a.yaml:3: tenant: unknown key; did you mean tenants? allowed: tenants, sinks",
        "b.yaml:1: must be a mapping with the keys tenants: or sinks:",
    ]


def test_a_pattern_without_a_match_is_a_warning_and_a_named_file_that_is_missing_a_mistake(folder: Folder) -> None:
    config = folder.load(TENANTS + SINKS + "include: [tenants.d/*.yaml]")
    problems = folder.problems(TENANTS + SINKS + "include: [nowhere.yaml]")

    assert config.warnings == (f"{folder.path}/collector.yaml:3: include[0]: no file matches",)
    assert problems == ["nowhere.yaml: can't be read: No such file or directory"]


def test_a_pattern_may_catch_the_main_file_and_the_same_file_twice(folder: Folder) -> None:
    folder.write(TENANTS.replace("acme", "b"), "b.yaml")

    config = folder.load(TENANTS + SINKS + "include: ['*.yaml', b.yaml]")

    assert list(config.tenants) == ["acme", "b"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "collector.yaml:1: the file is empty; `collector init` writes an example"),
        (b"# nothing\n", "collector.yaml:1: the file is empty; `collector init` writes an example"),
        (b"- a\n", "collector.yaml:1: must be a mapping with keys such as tenants: and sinks:; `collector init` wri"),
        (b"a: b\n\xff\xfe: c\n", "collector.yaml:2: not UTF-8 text"),
        (b"a: b\n\nc: \x07\n", "collector.yaml:3: control character U+0007"),
        (b"tenants:\n\tacme: 1\n", "collector.yaml:2: not valid YAML: found character that cannot start any token; in"),
        (b"state: {path: x\nb: ]\n", "collector.yaml:2: not valid YAML: "),
        (b"a: 1\n---\nb: 1\n", "collector.yaml:2: not valid YAML: "),
        (b"a: x: y\n", "collector.yaml:1: not valid YAML: mapping values are not allowed in this context; a value th"),
    ],
)
def test_a_file_that_is_no_configuration_gets_one_clear_message(folder: Folder, content: bytes, expected: str) -> None:
    (folder.path / "collector.yaml").write_bytes(content)

    problems = folder.problems()

    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(folder: Folder) -> None:
    text = ("\ufeff" + TENANTS + SINKS).replace("\n", "\r\n")
    (folder.path / "collector.yaml").write_bytes(text.encode())

    assert list(folder.load().tenants) == ["acme"]


def test_missing_files_and_folders_are_said_so(folder: Folder) -> None:
    assert folder.problems() == ["collector.yaml: can't be read: No such file or directory"]
    (folder.path / "collector.yaml").mkdir()
    assert folder.problems() == ["collector.yaml: can't be read: Is a directory"]


def test_an_oversized_file_is_refused(folder: Folder) -> None:
    (folder.path / "collector.yaml").write_bytes(b"#" * (16 << 20) + b"\n")

    assert folder.problems() == ["collector.yaml: larger than 16MiB"]


def test_a_syntax_error_in_an_included_file_does_not_hide_mistakes_elsewhere(folder: Folder) -> None:
    folder.write("a: [\n", "a.yaml")

    problems = folder.problems(TENANTS + SINKS + "include: [a.yaml]\nlogging: {level: x}")

    assert [problem.split(": ")[0] for problem in problems] == ["collector.yaml:4", "a.yaml:2"]
