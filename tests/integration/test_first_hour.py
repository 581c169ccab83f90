"""A new user types what docs/first-hour.md says, on a machine that has never seen the collector."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.servers import RECEIVERS, receiver_program

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(700)]

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "first-hour.md"
EVENTS = 500
SECONDS = 600.0
PORTS = ("8080", "5514", "9650")


def typed(text: str) -> Iterator[str]:
    """The commands of the document's `console` blocks, here-documents included, what they print left out."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        end: str | None = None
        for line in block.splitlines():
            if end is not None:
                yield line
                end = None if line == end else end
            elif line.startswith("$ "):
                yield line[2:]
                found = re.search(r"<<'?(\w+)'?$", line)
                end = found[1] if found else None


def free_ports() -> list[str]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = [str(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone of the repository gives, without its history."""
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
    names = [name for name in tracked.decode().split("\0") if name and (ROOT / name).exists()]
    with tarfile.open(tmp_path / "checkout.tar", "w") as archive:
        for name in names:
            archive.add(ROOT / name, name)
    with tarfile.open(tmp_path / "checkout.tar") as archive:
        archive.extractall(tmp_path / "checkout", filter="data")
    return tmp_path / "checkout"


def install_rsyslog(folder: Path) -> None:
    """What `apt install rsyslog` does for a user: from then on the command is there."""
    folder.mkdir()
    program, environment = receiver_program("usr/sbin/rsyslogd")
    modules = RECEIVERS / f"usr/lib/{platform.machine()}-linux-gnu/rsyslog"
    libraries = environment["LD_LIBRARY_PATH"]
    command = folder / "rsyslogd"
    command.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {program} -M {modules} "$@"\n')
    command.chmod(0o755)


def uids(log: Path) -> list[str]:
    return re.findall(r"\bexternalId=([0-9a-f]{32})\b", log.read_text(errors="replace")) if log.exists() else []


def test_following_the_first_hour_brings_every_event_into_a_real_rsyslog_within_ten_minutes(checkout: Path) -> None:
    commands = checkout.parent / "commands"
    install_rsyslog(commands)
    script = "\n".join(["set -eu", *typed(DOCUMENT.read_text()), "wait"])
    for documented, free in zip(PORTS, free_ports(), strict=True):
        assert documented in script
        script = script.replace(documented, free)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment["PATH"] = f"{commands}{os.pathsep}{environment['PATH']}"
    output = checkout.parent / "output"
    began = time.monotonic()
    with output.open("wb") as stream:
        user = subprocess.Popen(
            ["bash", "-c", script], cwd=checkout, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        while len(set(uids(checkout / "events.log"))) < EVENTS and user.poll() is None:
            assert time.monotonic() - began < SECONDS, output.read_text()[-4000:]
            time.sleep(0.5)
        seen = output.read_text()

        assert user.poll() is None, seen[-4000:]
        assert len(uids(checkout / "events.log")) == len(set(uids(checkout / "events.log")))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(user.pid, signal.SIGKILL)
        user.wait()
