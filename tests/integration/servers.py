"""Real server processes on loopback: started until they answer, killed, started again, never left behind."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson

from tests.integration.required import missing

RECEIVERS = Path(__file__).parents[2] / ".tools" / "receivers"
_START_SECONDS = 15.0
_STOP_SECONDS = 5.0


def receiver_program(path: str) -> tuple[Path, Mapping[str, str]]:
    """A program that `make receivers` has fetched, and the environment it runs in."""
    if not (RECEIVERS / ".complete").exists():
        missing("the syslog receivers are not there; fetch them with: make receivers (Debian, Ubuntu)")
    triple = f"{platform.machine()}-linux-gnu"
    libraries = [f"usr/lib/{triple}", f"lib/{triple}", "usr/lib/syslog-ng"]
    return RECEIVERS / path, {**os.environ, "LD_LIBRARY_PATH": ":".join(str(RECEIVERS / name) for name in libraries)}


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Server:
    """One process, started as often as a test likes; its output goes to `log`. Its methods block."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> None:
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=output, stderr=output)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
            except OSError:
                assert self._process.poll() is None, f"it ended:\n{self.log.read_text(errors='replace')[-2000:]}"
                assert time.monotonic() < deadline, "it never took a connection"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def json_lines(path: Path) -> Iterator[dict[str, str]]:
    """The whole lines of a file that a killed process may have left torn."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
