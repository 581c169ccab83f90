from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from collector.admin.unix_socket import LONGEST_PATH, private_socket
from collector.errors import CollectorError, ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


def test_socket_is_closed_to_others_from_its_creation_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    bind = socket.socket.bind

    class Watching(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]  # a path is what we bind
            bind(self, address)
            modes.append(stat.S_IMODE(Path(address).stat().st_mode))

    monkeypatch.setattr(socket, "socket", Watching)
    umask = os.umask(0)
    try:
        with private_socket(path):
            modes.append(stat.S_IMODE(path.stat().st_mode))
    finally:
        os.umask(umask)

    assert modes == [0o600, 0o600]


def test_socket_of_a_killed_daemon_is_replaced(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    with private_socket(path):
        assert stat.S_ISSOCK(path.stat().st_mode)

    assert not path.exists()


def test_socket_of_a_living_daemon_is_left_alone(path: Path) -> None:
    with private_socket(path) as first:
        first.listen()

        with pytest.raises(CollectorError, match="another daemon answers"), private_socket(path):
            pass

        assert path.exists()


def test_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("important")

    with pytest.raises(CollectorError, match="is no socket"), private_socket(path):
        pass

    assert path.read_text() == "important"


def test_socket_that_replaced_ours_is_not_removed(path: Path) -> None:
    with private_socket(path):
        path.unlink()
        path.write_text("somebody else's")

    assert path.exists()


def test_too_long_a_path_is_a_configuration_error_with_the_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * LONGEST_PATH)

    with pytest.raises(ConfigError, match=rf"{len(str(path))} bytes are too long") as caught, private_socket(path):
        pass

    assert str(path) in caught.value.problems[0]


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match="No such file or directory"), private_socket(tmp_path / "no" / "c.sock"):
        pass


def test_umask_of_the_process_is_never_touched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda _mask: pytest.fail("other threads create files meanwhile"))

    with private_socket(path):
        assert threading.active_count() >= 1
