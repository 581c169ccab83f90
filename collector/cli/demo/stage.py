"""The demo's stage: a folder, a configuration, the daemon as a process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from collector.admin.client import ControlClient
from collector.cli.demo.vendors import BaseUrls, api_user, client_id
from collector.errors import CollectorError

_MARK = "# Made by `collector demo`."
_STOP_SECONDS = 20.0


def prepare(folder: Path) -> None:
    """An empty folder for the demo; what an earlier demo left there goes.

    Raises:
        CollectorError: the folder holds something else.
    """
    config = folder / "collector.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not config.is_file() or not config.read_text().startswith(_MARK):
            raise CollectorError(f"{folder} is not empty and not of a demo: name another folder with --output")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def write_config(folder: Path, urls: BaseUrls, tenants: Iterable[str]) -> Path:
    """A configuration as a user would write it."""
    lines = [
        _MARK,
        "state: {path: state/collector.db}",
        "admin: {listen: '127.0.0.1:0', control: state/control.sock}",
        "logging: {format: json}",
        "defaults:",
        "  withsecure:",
        f"    base_url: {urls.withsecure}",
        "    poll_interval: 3s",
        "    sweep: {every: 15s, window: 10m}",
        "  eset:",
        f"    auth_url: {urls.eset}",
        f"    incident_url: {urls.eset}",
        f"    device_url: {urls.eset}",
        "    poll_interval: 1s",
        "    sweep: {every: 5s, window: 1h}",
        "    reread_open: 3s",
        "tenants:",
    ]
    for name in tenants:
        lines += [
            f"  {name}:",
            f"    labels: {{customer: {name.title()} Oy}}",
            "    sources:",
            "      - type: withsecure",
            f"        client_id: {client_id(name)}",
            f"        client_secret: ${{env:{name.upper()}_WITHSECURE}}",
            "      - type: eset",
            f"        username: {api_user(name).username}",
            f"        password: ${{env:{name.upper()}_ESET}}",
        ]
    lines += [
        "sinks:",
        "  events: {type: file, path: 'events/{tenant}/{date}.ndjson', format: json}",
        "  siem: {type: file, path: 'cef/{tenant}.cef', format: cef, rotate: {max_size: 4MiB, compress: gzip}}",
    ]
    path = folder / "collector.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Daemon:
    """`collector run` on the demo's configuration; its log goes to `daemon.log` in the same folder."""

    def __init__(self, config: Path, secrets: Mapping[str, str]) -> None:
        self._config = config
        self._environment = os.environ | dict(secrets)
        self._process: asyncio.subprocess.Process | None = None
        self._client = ControlClient(config.parent / "state" / "control.sock", timeout=5.0)

    @property
    def log_path(self) -> Path:
        """Where the daemon writes what it has to say."""
        return self._config.parent / "daemon.log"

    async def start(self) -> None:
        """Start it; again after `kill`."""
        with await asyncio.to_thread(self.log_path.open, "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "collector",
                "run",
                str(self._config),
                env=self._environment,
                stderr=log,
                stdout=log,
            )

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.returncode

    async def status(self) -> dict[str, Any] | None:
        """What `collector status` shows, None while it does not answer."""
        try:
            found: dict[str, Any] = await asyncio.to_thread(self._client.get, "/status")
        except CollectorError:
            return None
        return found

    async def kill(self) -> None:
        """Pull the plug: SIGKILL, nothing is tidied up."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop and wait; its exit status."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    return await self._process.wait()
            except TimeoutError:
                await self.kill()
        return -9 if self._process.returncode is None else self._process.returncode
