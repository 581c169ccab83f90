from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(1.0)
        yield listener


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def notifier(manager: socket.socket) -> Notifier:
    return Notifier.from_environment({"NOTIFY_SOCKET": str(manager.getsockname())})


def test_ready_comes_with_a_status(manager: socket.socket) -> None:
    notifier(manager).ready("2 feeds")

    assert heard(manager) == ["READY=1", "STATUS=2 feeds"]


def test_reloading_says_since_when_on_the_monotonic_clock(manager: socket.socket) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)

    notifier(manager).reloading()

    said = dict(line.split("=", 1) for line in heard(manager))
    assert said["RELOADING"] == "1"
    assert before * 1e6 - 1 <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    assert said["STATUS"]


def test_stopping_and_a_bare_status_are_said(manager: socket.socket) -> None:
    sender = notifier(manager)

    sender.stopping()
    sender.status("all is well")

    assert heard(manager)[0] == "STOPPING=1"
    assert heard(manager) == ["STATUS=all is well"]


def test_a_status_of_several_lines_forges_no_other_assignment(manager: socket.socket) -> None:
    notifier(manager).alive("fine\nREADY=1\x0bMAINPID=1")

    assert heard(manager) == ["WATCHDOG=1", "STATUS=fine READY=1 MAINPID=1"]


def test_an_abstract_socket_is_reached() -> None:
    name = f"collector-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(1.0)

        Notifier.from_environment({"NOTIFY_SOCKET": "@" + name}).ready("")

        assert heard(manager) == ["READY=1", "STATUS="]


def test_without_a_manager_nothing_is_sent_and_nothing_fails(tmp_path: Path) -> None:
    Notifier.from_environment({}).ready("")
    Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive("")


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1234"])
def test_addresses_of_other_kinds_are_left_alone(address: str) -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}).address is None


def test_a_manager_that_does_not_read_holds_us_up_for_a_moment_only(manager: socket.socket) -> None:
    sender = notifier(manager)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        filler.connect(manager.getsockname())
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.send(b"x")
        began = time.monotonic()

        sender.alive("")

        assert time.monotonic() - began < 1.0


def test_the_watchdog_is_ours_unless_it_names_another_process() -> None:
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "20000000"}

    assert Notifier.from_environment(environ).watchdog_seconds == 20.0
    assert Notifier.from_environment({**environ, "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 20.0
    assert Notifier.from_environment({**environ, "WATCHDOG_PID": str(os.getpid() + 1)}).watchdog_seconds is None


@pytest.mark.parametrize("microseconds", ["", "0", "-5", "soon", "٣"])
def test_a_watchdog_without_a_sound_interval_is_none(microseconds: str) -> None:
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": microseconds}

    assert Notifier.from_environment(environ).watchdog_seconds is None
