"""The configuration that a new user begins with."""

from __future__ import annotations

import argparse
import re
import stat
from pathlib import Path

import pytest

from collector.cli import init as command
from collector.config import load_config
from collector.config.starter import STARTER
from collector.errors import CollectorError

ENVIRON = {"WITHSECURE_CLIENT_ID": "fusion_1", "WITHSECURE_CLIENT_SECRET": "secret"}
COMMENTED_OUT = {"ESET_USERNAME": "collector@contoso.example", "ESET_PASSWORD": "another secret"}


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    args = parser.parse_args(["init", *arguments])
    return int(args.func(args))


def test_the_starter_loads_without_a_warning_once_its_secrets_are_there(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"

    status = run(str(file))

    assert status == 0
    config = load_config(file, environ=ENVIRON)
    assert config.warnings == ()
    assert config.state.path == tmp_path / "state/collector.db"


def test_every_setting_that_the_starter_has_commented_out_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    (tmp_path / "tenants.d").mkdir()
    (tmp_path / "tenants.d/empty.yaml").touch()
    file.write_text(re.sub(r"^( *)#(?=\S)", r"\1", STARTER, flags=re.MULTILINE))

    config = load_config(file, environ=ENVIRON | COMMENTED_OUT)

    assert config.warnings == ()
    assert [source.type for source in config.tenants["example"].sources] == ["withsecure", "eset"]
    assert len(re.findall(r"^ *#\S", STARTER, re.MULTILINE)) > 8


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text("mine")

    with pytest.raises(CollectorError, match="exists already; --force"):
        run(str(file))
    kept = file.read_text()
    run(str(file), "--force")

    assert kept == "mine"
    assert file.read_text() == STARTER


def test_a_file_that_others_can_not_read_is_made_in_the_current_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    run()

    assert stat.S_IMODE(Path("collector.yaml").stat().st_mode) & 0o007 == 0
    assert "collector check collector.yaml" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match="can't be written: No such file"):
        run(str(tmp_path / "nowhere" / "collector.yaml"))
