from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.admin.client import ControlClient, DaemonAbsent
from collector.errors import CollectorError, ConfigError
from tests.unit.admin.fake_daemon import BAD_CONFIG, FakeOperations, daemon_on


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


@contextmanager
def raw_server(path: Path, answer: bytes) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_answers_come_back_as_json(path: Path) -> None:
    with daemon_on(path, FakeOperations()):
        client = ControlClient(path)

        assert client.get("/status")["pid"] == 4711
        assert len(client.get("/dead-letters", {"sink": None, "limit": 2})) == 2
        assert client.post("/dead-letters/drop", {"sink": "siem", "ids": None}) == {"dropped": 1}


def test_lines_come_without_keep_alives(path: Path) -> None:
    with daemon_on(path, FakeOperations()):
        assert list(ControlClient(path).lines("/tail", {"tenant": None})) == [b'{"v":1}', b'{"v":2}']


def test_refused_configuration_is_a_configuration_error_here_too(path: Path) -> None:
    operations = FakeOperations()
    operations.failure = BAD_CONFIG

    with daemon_on(path, operations), pytest.raises(ConfigError) as caught:
        ControlClient(path).post("/reload")

    assert caught.value.problems == BAD_CONFIG.problems


def test_message_of_the_daemon_is_the_message_here(path: Path) -> None:
    with daemon_on(path, FakeOperations()), pytest.raises(CollectorError, match=r"^no format xml$"):
        list(ControlClient(path).lines("/tail", {"format": "xml"}))


def test_failure_in_the_daemon_points_to_its_log(path: Path) -> None:
    operations = FakeOperations()
    operations.failure = RuntimeError("inner workings")

    with daemon_on(path, operations), pytest.raises(CollectorError, match="its log says why"):
        ControlClient(path).get("/status")


def test_missing_socket_is_no_daemon(path: Path) -> None:
    with pytest.raises(DaemonAbsent, match=f"no daemon answers on {path}: is it running"):
        ControlClient(path).get("/status")


def test_socket_of_a_killed_daemon_is_no_daemon(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    with pytest.raises(DaemonAbsent, match=f"no daemon answers on {path}: is it running"):
        ControlClient(path).get("/status")


def test_too_long_a_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(CollectorError, match="path too long"):
        ControlClient(tmp_path / ("x" * 120)).get("/status")


def test_daemon_that_hangs_is_given_up(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        with pytest.raises(CollectorError, match="does not answer"):
            ControlClient(path, timeout=0.05).get("/status")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff",
    ],
)
def test_other_answers_are_no_daemon(path: Path, answer: bytes) -> None:
    with raw_server(path, answer), pytest.raises(CollectorError, match="no daemon answers"):
        ControlClient(path).get("/status")
