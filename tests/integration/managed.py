"""The real daemon under a service manager of ours: a socket it notifies, an environment as systemd gives one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STUBBORN = Path(__file__).with_name("stubborn.py")

CONFIG = """\
state: {{path: {folder}/state/collector.db}}
admin: {{listen: null, control: {folder}/c.sock}}
logging: {{format: json}}
tenants:
  acme:
    sources: [{{type: stubborn, poll_interval: 100ms}}]
sinks:
  siem: {{type: stubborn}}
"""


class Manager:
    """Starts the daemon and hears what it says. `folder` is where files make the plugins misbehave."""

    def __init__(self, folder: Path, *, command: Sequence[str] = (), abstract: bool = False) -> None:
        self.folder = folder
        self.config = folder / "collector.yaml"
        self._command = command
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = str(folder / "notify")
        self.address = f"@collector-test-{os.getpid()}-{time.monotonic_ns()}" if abstract else path
        self._listener.bind("\0" + self.address[1:] if abstract else path)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder / "output"

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start it; `environment` besides what every service gets."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("NOTIFY_", "WATCHDOG_"))}
        site = install_plugins(self.folder)
        inherited["PYTHONPATH"] = os.pathsep.join([str(site), str(Path.cwd())])
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._command, sys.executable, "-m", "collector", "run", str(self.config)],
                env=inherited
                | {"NOTIFY_SOCKET": self.address, "STUBBORN_FOLDER": str(self.folder)}
                | dict(environment),
                stdout=output,
                stderr=output,
            )
        return self.process

    def hear(self, seconds: float = 20.0) -> dict[str, str]:
        """The next thing it says.

        Raises:
            TimeoutError: nothing for so long.
        """
        self._listener.settimeout(seconds)
        said = self._listener.recv(65536).decode()
        return dict(line.split("=", 1) for line in said.split("\n"))

    def hear_until(self, holds: Callable[[dict[str, str]], bool], seconds: float = 20.0) -> dict[str, str]:
        """What it says first that is so."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                said = self.hear(left)
            except TimeoutError:
                break
            if holds(said):
                return said
        raise AssertionError(f"never said; its output:\n{self.output.read_text()[-4000:]}")

    def beats(self, seconds: float) -> int:
        """How often it says within that time that it is alive."""
        deadline = time.monotonic() + seconds
        count = 0
        while (left := deadline - time.monotonic()) > 0:
            try:
                count += "WATCHDOG" in self.hear(left)
            except TimeoutError:
                break
        return count

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        """End what still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._listener.close()


@contextmanager
def managed(folder: Path, *, command: Sequence[str] = (), abstract: bool = False) -> Iterator[Manager]:
    """A manager whose daemon does not outlive the test; the configuration is written."""
    manager = Manager(folder, command=command, abstract=abstract)
    manager.config.write_text(CONFIG.format(folder=folder))
    try:
        yield manager
    finally:
        manager.close()


def install_plugins(folder: Path) -> Path:
    """Make the misbehaving plugins known to a daemon that has the returned folder on its path."""
    site = folder / "site"
    entry_points = site / "stubborn-1.dist-info" / "entry_points.txt"
    entry_points.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(STUBBORN, site / "stubborn.py")
    entry_points.write_text(
        "[collector.sources]\nstubborn = stubborn:SOURCE\n[collector.sinks]\nstubborn = stubborn:SINK\n"
    )
    (entry_points.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1\n")
    return site
