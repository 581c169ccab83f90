from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from collector import __version__, cli
from collector.errors import CollectorError, ConfigError


def command_that(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], int]) -> None:
    """Let `collector status` be something else."""

    def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        subparsers.add_parser("status").set_defaults(func=run)

    monkeypatch.setattr(cli, "import_module", lambda _name: SimpleNamespace(register=register))


def raising(exc: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(_arguments: argparse.Namespace) -> int:
        raise exc

    return run


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_registers_under_its_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0

    assert f"usage: collector {command}" in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0

    shown = capsys.readouterr().out
    for command, (_, summary) in cli.COMMANDS.items():
        assert command in shown
        assert summary.split()[0] in shown


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0

    assert capsys.readouterr().out == f"edr-collector {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status", "--nonsense"], ["--nonsense"], ["dead-letters"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2

    assert "usage: collector" in capsys.readouterr().err


def test_status_of_the_command_is_that_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    command_that(monkeypatch, lambda _arguments: 1)

    assert cli.main(["status"]) == 1


def test_bad_configuration_ends_with_78_and_every_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, raising(ConfigError(["a.yaml:1: first", "a.yaml:2: second"])))

    assert cli.main(["status"]) == 78

    assert capsys.readouterr() == ("", "a.yaml:1: first\na.yaml:2: second\n")


def test_failure_ends_with_1_and_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, raising(CollectorError("no daemon answers")))

    assert cli.main(["status"]) == 1

    assert capsys.readouterr() == ("", "no daemon answers\n")


def test_interruption_ends_with_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, raising(KeyboardInterrupt()))

    assert cli.main(["status"]) == 130

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_are_no_reason_to_crash(closed: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    command = f"{sys.executable} -m collector init {target} {closed}"

    done = subprocess.run(["/bin/sh", "-c", command], timeout=30, check=False)

    assert done.returncode == 0
    assert target.exists()


def test_reader_that_goes_away_is_no_error() -> None:
    program = """
import sys
from pathlib import Path
from types import SimpleNamespace
from collector import cli

def run(arguments):
    for number in range(100_000):
        print("line", number)
    return 1

register = lambda subparsers: subparsers.add_parser("status").set_defaults(func=run)
cli.import_module = lambda name: SimpleNamespace(register=register)
sys.exit(cli.main(["status"]))
"""

    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == b""
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--version"], ["healthcheck", "--help"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from collector import cli\n"
        f"cli.main({arguments!r})\n"
        "heavy = {'aiohttp', 'pydantic', 'rich', 'prometheus_client', 'orjson', 'structlog', 'asyncio'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_module_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "collector", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"edr-collector {__version__}\n"


def test_modules_are_imported_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def watched(name: str) -> object:
        imported.append(name)
        return importlib.import_module(name)

    monkeypatch.setattr(cli, "import_module", watched)

    cli.main(["status", "--help"])

    assert imported == ["collector.cli.status"]
