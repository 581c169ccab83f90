from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from collector.cli.daemon import config_path, control_path
from collector.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "collector.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("admin: {control: run/c.sock}", "{folder}/run/c.sock"),
        ("admin: {control: /run/collector/c.sock}", "/run/collector/c.sock"),
        ("state: {path: data/state.db}", "{folder}/data/collector.sock"),
        ("state: {path: /srv/state.db}\nadmin: {listen: null}", "/srv/collector.sock"),
        ("state: {path: /srv/state.db}\nadmin: {control: null}", "/srv/collector.sock"),
        ("", "/var/lib/collector/collector.sock"),
        ("state:\nadmin:", "/var/lib/collector/collector.sock"),
        ("\ufeffadmin: {control: /x.sock}", "/x.sock"),
    ],
)
def test_socket_is_where_the_daemon_makes_it(tmp_path: Path, text: str, expected: str) -> None:
    assert str(control_path(written(tmp_path, text))) == expected.format(folder=tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", "a host's name"])
def test_file_that_is_no_configuration_leads_to_no_daemon(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="a mapping is expected"):
        control_path(written(tmp_path, text))


def test_daemon_is_in_reach_without_its_secrets_and_in_the_middle_of_an_edit(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "admin: {control: /x.sock}\ntenantz: oops\n"
        "tenants: {acme: {sources: [{type: withsecure, client_secret: '${env:NOT_IN_THIS_SHELL}'}]}}\n",
    )

    assert control_path(path) == Path("/x.sock")


def test_socket_made_of_references_is_that_of_the_loaded_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUN_FOLDER", "/run/acme")
    path = written(
        tmp_path,
        "admin: {control: '${env:RUN_FOLDER}/c.sock'}\n"
        "tenants: {acme: {sources: [{type: withsecure, client_id: a, client_secret: b}]}}\n"
        "sinks: {archive: {type: file, path: events.ndjson}}\n",
    )

    assert control_path(path) == Path("/run/acme/c.sock")


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "admin:\n  control: [oops\n")

    with pytest.raises(ConfigError, match=rf"{path}:3: no valid YAML"):
        control_path(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_unreadable_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        control_path(tmp_path / name)


def test_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "collector.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="can't be read"):
        control_path(path)


def test_usual_places_are_tried_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    etc = tmp_path / "etc.yaml"
    monkeypatch.setattr("collector.cli.daemon.DEFAULT_CONFIGS", (Path("collector.yaml"), etc))
    none = Namespace(config=None)

    with pytest.raises(ConfigError, match=r"neither collector.yaml nor .*etc.yaml; name one with -c"):
        config_path(none)
    etc.touch()
    assert config_path(none) == etc
    (tmp_path / "collector.yaml").touch()
    assert config_path(none) == Path("collector.yaml")
    assert config_path(Namespace(config=Path("other.yaml"))) == Path("other.yaml")
