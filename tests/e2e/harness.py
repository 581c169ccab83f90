"""The real daemon as a process of its own, against a simulated vendor in the test's loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from collector.admin.client import ControlClient
from collector.errors import CollectorError
from collector.simulator import Account, Mix, Organization, WithSecureSimulator
from collector.simulator.oracle import Verdict, judge, read_lines

SECRET = "canary-Secret/of+{}"  # unusual characters, and easy to search for
# Late events become visible soon after their stamp: nobody waits nine minutes for a test.
QUICK = Mix(late=0.1, late_seconds=(0.5, 3.0))
_SHIFTED = Path(__file__).with_name("shifted_daemon.py")
_LOOK_SECONDS = 0.1


def account(number: int) -> Account:
    """The n-th customer's credential, of a company of its own."""
    organization = Organization(f"00000000-0000-4000-8000-{number:012d}", f"Company {number} Oy")
    return Account(f"fusion_{number:04d}", SECRET.format(number), organization)


def simulator(tenants: int = 1, *, requests: int = 100_000, seed: int = 1) -> WithSecureSimulator:
    """A vendor with that many customers; generous unless the test is about limits."""
    return WithSecureSimulator([account(number) for number in range(tenants)], seed=seed, requests=requests)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """How the n-th tenant's source at one vendor is configured, and its secret, which stands in `SECRET_<n>`."""

    keys: Callable[[int, str], dict[str, Any]]
    secret: Callable[[int], str]


def _withsecure_keys(number: int, base_url: str) -> dict[str, Any]:
    return {
        "type": "withsecure",
        "feeds": ["security_events"],
        "base_url": base_url,
        "client_id": account(number).client_id,
        "client_secret": f"${{env:SECRET_{number}}}",
        "poll_interval": "500ms",
        "overlap": "30s",
        "sweep": {"every": "2s", "window": "15m"},
        "start_from": "24h",
        "rate_limit": {"requests": 100_000, "per": "60s"},
    }


WITHSECURE = SourceKind(_withsecure_keys, lambda number: account(number).client_secret)


class Cloud(Protocol):
    """What a vendor knows of its events."""

    @property
    def pending(self) -> int:
        """How many live ones are still to come."""
        ...

    def counts(self) -> dict[str, int]:
        """How many are `known` and `visible`, among others."""
        ...


class Vendor(Protocol):
    """A simulated vendor: its events, and what it showed of them."""

    @property
    def cloud(self) -> Cloud:
        """Its events."""
        ...

    def ledger(self, *, hashes: bool) -> dict[str, dict[str, Any]]:
        """As `judge` takes it."""
        ...


@dataclass(slots=True)
class Setup:
    """One daemon's folder and configuration; `source`, `sink`, `top` are merged over the usual keys."""

    folder: Path
    base_url: str
    tenants: int = 1
    source: Mapping[str, Any] = field(default_factory=dict)
    sink: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    state: Path | None = None
    kind: SourceKind = WITHSECURE

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "collector.yaml"

    @property
    def events(self) -> Path:
        """Where the file sink writes."""
        return self.folder / "events"

    @property
    def database(self) -> Path:
        """The state file."""
        return (self.state or self.folder / "state") / "collector.db"

    @property
    def control(self) -> Path:
        """The control socket, in a place short enough for one."""
        return self.folder / "c.sock"

    def write(self) -> None:
        """Write the configuration, anew after a change."""
        document: dict[str, Any] = {
            "state": {"path": str(self.database)},
            "admin": {"listen": "127.0.0.1:0", "control": str(self.control)},
            "logging": {"level": "debug", "format": "json"},
            "tenants": {
                f"t{number}": {"sources": [self.kind.keys(number, self.base_url) | dict(self.source)]}
                for number in range(self.tenants)
            },
            "sinks": {
                "events": {"type": "file", "path": str(self.events) + "/{tenant}.ndjson", "format": "json"}
                | dict(self.sink)
            },
        }
        for key, value in self.top.items():
            document[key] = {**document.get(key, {}), **value}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(document))


class Daemon:
    """`collector run`; everything it writes is appended to `output`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.output = setup.folder / "daemon.log"
        self.clock_offset = setup.folder / "clock-offset"
        self._process: asyncio.subprocess.Process | None = None
        self._client = ControlClient(setup.control, timeout=5.0)

    async def start(self, *arguments: str, fault: str | None = None, seconds_ahead: float | None = None) -> None:
        """Start it; `fault` arms a fault point, `seconds_ahead` shifts its host's clock (see `shift_clock`)."""
        environment = {key: value for key, value in os.environ.items() if key != "EDR_COLLECTOR_FAULT"}
        environment |= {f"SECRET_{number}": self.setup.kind.secret(number) for number in range(self.setup.tenants)}
        if fault is not None:
            environment["EDR_COLLECTOR_FAULT"] = fault
        command = [sys.executable, "-m", "collector"]
        if seconds_ahead is not None:
            self.shift_clock(seconds_ahead)
            command = [sys.executable, str(_SHIFTED), str(self.clock_offset)]
        with self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, "run", str(self.setup.config), *arguments, env=environment, stdout=output, stderr=output
            )

    def shift_clock(self, seconds_ahead: float) -> None:
        """Let the host's clock of a daemon started with `seconds_ahead` jump."""
        self.clock_offset.write_text(str(seconds_ahead))

    @property
    def pid(self) -> int:
        """The process's."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.returncode

    async def ended(self, seconds: float = 60.0) -> int:
        """Wait until it has ended; its exit status."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self.ended(20.0)

    async def status(self) -> dict[str, Any] | None:
        """What it says of itself, None while it does not answer."""
        try:
            found: dict[str, Any] = await asyncio.to_thread(self._client.get, "/status")
        except CollectorError:
            return None
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """Wait until its status, with feeds in it, is so; a daemon that ends meanwhile fails the test."""
        status: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    status = await self.status()
                    if status is not None and status["feeds"] and holds(status):
                        return status
                    assert self.exit_status is None, f"daemon ended with {self.exit_status}:\n{self.tail()}"
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"never came true; status {status}\n{self.tail()}") from None

    def tail(self, lines: int = 25) -> str:
        """The last it wrote."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


@asynccontextmanager
async def daemon(setup: Setup) -> AsyncIterator[Daemon]:
    """A daemon that is not started yet, and that does not outlive the test."""
    setup.write()
    running = Daemon(setup)
    try:
        yield running
    finally:
        await running.kill()


async def arrived(vendor: Vendor, running: Daemon, seconds: float = 60.0) -> Verdict:
    """Wait until every event the vendor has, or still will have, is delivered; what came of them.

    Time that runs out shows as events missing, one by name at least.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        verdict = await judged(vendor, running.setup)
        counts = vendor.cloud.counts()
        waiting = vendor.cloud.pending + counts["known"] - counts["visible"]
        if not waiting and not verdict.missing and verdict.events >= counts["known"]:
            return verdict
        if asyncio.get_running_loop().time() > deadline or running.exit_status is not None:
            verdict.missing.append(f"and time ran out, with {waiting} events not visible yet\n{running.tail()}")
            return verdict
        await asyncio.sleep(_LOOK_SECONDS * 3)


async def judged(vendor: Vendor, setup: Setup, folders: Sequence[Path] = ()) -> Verdict:
    """Compare what lies in the files with what the vendor showed."""
    report = vendor.ledger(hashes=False)

    def compare() -> Verdict:
        lines = [line for folder in folders or [setup.events] for line in read_lines(folder)]
        return judge(report, lines)

    return await asyncio.to_thread(compare)
