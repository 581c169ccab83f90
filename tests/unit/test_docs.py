"""What the documents show works: every configuration loads, every command is one the program knows.

A fence names what it holds: `yaml` is our configuration, whole or in part; `console` has lines of a shell after `$ ` or
`# `. Where a file ends in `.yaml` under config/ or deploy/, it is a configuration, unless another program reads it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector import cli
from collector.config import load_config
from collector.config.starter import STARTER
from collector.metrics import METRICS
from collector.simulator.__main__ import parse
from collector.simulator.accounts import COMPANY

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = [*sorted((ROOT / "config").rglob("*.yaml")), ROOT / "deploy" / "compose" / "collector.yaml"]
UNITS = [ROOT / "deploy" / "systemd" / "collector.service", ROOT / "deploy" / "systemd" / "install.sh"]
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"

FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"\$\{(env|file|credential):([^}]+)\}")
LANGUAGES = {"yaml", "console", "ini", "json", "text"}
# A part of a configuration gets what it leaves out from here.
REST: dict[str, Any] = {
    "tenants": {"acme": {"sources": [{"type": "withsecure", "client_id": "id", "client_secret": "${env:SECRET}"}]}},
    "sinks": {"archive": {"type": "file", "path": "events.ndjson"}},
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a file, with where it begins."""

    place: str
    text: str

    def __str__(self) -> str:
        return self.place


def fences(*languages: str) -> Iterator[Piece]:
    for document in DOCUMENTS:
        text = document.read_text()
        for found in FENCE.finditer(text):
            if found["language"] in languages:
                line = text.count("\n", 0, found.start()) + 1
                yield Piece(f"{document.relative_to(ROOT)}:{line}", found["text"])


def shell_lines() -> Iterator[Piece]:
    for fence in fences("console"):
        for number, line in enumerate(fence.text.splitlines(), 1):
            if line.startswith(("$ ", "# ")):
                yield Piece(f"{fence.place}+{number}", line[2:].partition("  #")[0])


def mentions() -> Iterator[Piece]:
    """Commands in running text and in comments: `collector ...` between backticks."""
    for file in [*DOCUMENTS, *CONFIGS, *UNITS, COMPOSE]:
        text = FENCE.sub("", file.read_text()) if file.suffix == ".md" else file.read_text()
        for found in re.finditer(r"`collector ([^`\n]+)`", text):
            yield Piece(f"{file.relative_to(ROOT)}: {found[0]}", found[1])


def called(line: str) -> Iterator[list[str]]:
    """The arguments of every `collector` that a shell line runs, also inside a container or another service."""
    for part in re.split(r"[&|;]+|\d?>", line):
        words = shlex.split(part)
        for number, word in enumerate(words):
            arguments = words[number + 1 :]
            if word.rpartition("/")[2] == "collector" and arguments and arguments[0] in cli.COMMANDS:
                yield arguments
                break


def is_command_line(arguments: list[str]) -> bool:
    """Whether the program takes these arguments."""
    try:
        cli._parse(arguments)
    except SystemExit:
        return False
    return True


def load(folder: Path, text: str, includes: Path | None = None) -> tuple[str, ...]:
    """Load it as it stands, with made-up secrets for those it refers to; the warnings."""
    environment = {"CREDENTIALS_DIRECTORY": str(folder / "credentials")}
    (folder / "credentials").mkdir(exist_ok=True)
    (folder / "files").mkdir(exist_ok=True)
    sources = [text, *([file.read_text() for file in sorted(includes.glob("*.yaml"))] if includes else [])]
    for kind, name in {found for source in sources for found in REFERENCE.findall(source)}:
        secret = f"secret of {name}"
        if kind == "env":
            environment[name] = secret
        elif kind == "credential":
            (folder / "credentials" / name).write_text(secret)
        else:
            (folder / "files" / name.replace("/", "-")).write_text(secret)
    text = re.sub(r"\$\{file:([^}]+)\}", lambda found: f"${{file:files/{found[1].replace('/', '-')}}}", text)
    text = re.sub(r"\b((?:ca|cert|key)_file): ?[^\s,}]+", rf"\1: {folder / 'some.pem'}", text)
    (folder / "some.pem").touch()
    if includes is not None:
        (folder / includes.name).symlink_to(includes)
    file = folder / "collector.yaml"
    file.write_text(text)
    return load_config(file, environ=environment).warnings


# -- configurations ----------------------------------------------------------------------------


def test_every_fence_says_what_it_holds() -> None:
    unknown = [
        f"{document.relative_to(ROOT)}: ```{found['language']}"
        for document in DOCUMENTS
        for found in FENCE.finditer(document.read_text())
        if found["language"] not in LANGUAGES
    ]

    assert unknown == []


@pytest.mark.parametrize("piece", [*fences("yaml")], ids=str)
def test_every_configuration_in_a_document_is_valid(piece: Piece, tmp_path: Path) -> None:
    shown = yaml.safe_load(piece.text)
    rest = {key: value for key, value in REST.items() if key not in shown}

    assert load(tmp_path, piece.text + yaml.safe_dump(rest) if rest else piece.text) == ()


@pytest.mark.parametrize(
    "file", [file for file in CONFIGS if file.parent.name != "tenants.d"], ids=lambda file: file.name
)
def test_every_example_is_valid(file: Path, tmp_path: Path) -> None:
    included = file.parent / "tenants.d" if "include:" in file.read_text() else None

    warnings = load(tmp_path, file.read_text(), included)

    # A simulated vendor beside the collector needs no TLS.
    assert [warning for warning in warnings if "http sends the credentials in clear text" not in warning] == []


def test_every_example_of_a_customer_is_included() -> None:
    assert [file.name for file in CONFIGS if file.parent.name == "tenants.d"]


@pytest.mark.parametrize("file", [ROOT / "config" / "collector.yaml"], ids=lambda file: file.name)
def test_every_setting_that_a_comment_shows_is_valid(file: Path, tmp_path: Path) -> None:
    assert load(tmp_path, re.sub(r"^( *)#(?=\S)", r"\1", file.read_text(), flags=re.MULTILINE)) == ()


def test_the_starter_is_shown_as_it_is() -> None:
    assert STARTER in (ROOT / "docs" / "configuration.md").read_text()


# -- commands ----------------------------------------------------------------------------------


def test_the_documents_run_commands() -> None:
    assert sum(1 for line in shell_lines() for _ in called(line.text)) >= 10


@pytest.mark.parametrize("piece", [*shell_lines()], ids=str)
def test_every_command_line_is_one_the_program_takes(piece: Piece) -> None:
    for arguments in called(piece.text):
        assert is_command_line(arguments), arguments


@pytest.mark.parametrize("piece", [*mentions()], ids=str)
def test_every_command_that_is_mentioned_exists(piece: Piece) -> None:
    arguments = shlex.split(piece.text.replace("[", "").replace("]", ""))
    assert arguments[0] in cli.COMMANDS
    # Running text may leave out which configuration.
    assert len(arguments) == 1 or is_command_line(arguments) or is_command_line([*arguments, "collector.yaml"])


@pytest.mark.parametrize("piece", [*shell_lines()], ids=str)
def test_every_target_of_make_exists(piece: Piece) -> None:
    words = shlex.split(piece.text, comments=True)
    if words[:1] != ["make"]:
        return
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {word for word in words[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_metric_that_is_named_exists(document: Path) -> None:
    known = set(METRICS.registry._names_to_collectors)

    assert set(re.findall(r"`(edr_collector_[a-z_]+)`", document.read_text())) <= known


# -- other programs' files -----------------------------------------------------------------------


def test_compose_mounts_files_that_are_there() -> None:
    services = yaml.safe_load(COMPOSE.read_text())
    mounts = [volume for service in services["services"].values() for volume in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts] + [secret["file"] for secret in services["secrets"].values()]

    for source in sources:
        assert source in services["volumes"] or (COMPOSE.parent / source).is_file(), source


def test_compose_runs_the_simulator_with_options_it_takes() -> None:
    vendor = yaml.safe_load(COMPOSE.read_text())["services"]["vendor"]

    assert vendor["entrypoint"] == ["python", "-m", "collector.simulator"]
    assert parse(vendor["command"]).host == "0.0.0.0"


def test_compose_has_the_credentials_of_its_vendor() -> None:
    config = yaml.safe_load((COMPOSE.parent / "collector.yaml").read_text())
    (source,) = config["tenants"]["contoso"]["sources"]

    assert source["client_id"] == COMPANY.client_id
    assert (COMPOSE.parent / "vendor-client-secret").read_text() == COMPANY.client_secret
