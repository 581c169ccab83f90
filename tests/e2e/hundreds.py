"""Many tenants of both vendors in one daemon, some of them sick: what of the healthy ones arrived, and how late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from collector.simulator import Drip, Mix, WithSecureSimulator
from collector.simulator.eset import DetectionDrip, EsetSimulator
from collector.simulator.faults import Fault
from collector.simulator.incident_oracle import judge_incidents
from collector.simulator.oracle import Verdict, judge, of_feed
from collector.simulator.state_oracle import judge_states
from tests.e2e.eset import PUNCTUAL, api_user
from tests.e2e.harness import Daemon, Setup, account, daemon

_SEED = 7
_HANGS_SECONDS = 3600.0


class _Line(msgspec.Struct):
    id: str
    feed: str
    fetched_at: datetime


_decoder = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class Town:
    """So many tenants with a source at each vendor, of two feeds each; each kind of sickness has so many of them.

    `withsecure` is the limit of requests by all of them together, `eset` by each: requests in so many seconds. Events
    come for `seconds` at `rate` a second and vendor.
    """

    tenants: int
    sick: int
    withsecure: tuple[int, float]
    eset: tuple[int, float]
    seconds: float
    rate: float
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hung(self) -> range:
        """Nothing ever answers them."""
        return range(self.sick)

    @property
    def failing(self) -> range:
        """Whatever they ask for is answered with 500."""
        return range(self.sick, 2 * self.sick)

    @property
    def wrong(self) -> range:
        """Their passwords are."""
        return range(2 * self.sick, 3 * self.sick)

    @property
    def healthy(self) -> range:
        """All others."""
        return range(3 * self.sick, self.tenants)


@dataclass(slots=True)
class Outcome:
    """What came of a run: what is wrong with the events of the healthy ones, and how late those were that came live."""

    verdict: Verdict
    withsecure: list[float]
    eset: list[float]
    rules_broken: list[str]
    most_in_window: tuple[int, int]
    took: float
    resident: float

    def __str__(self) -> str:
        told = ", ".join(
            f"{name} {len(delays)} median {median(delays):.2f} s p99 {p99(delays):.2f} s"
            for name, delays in (("withsecure", self.withsecure), ("eset", self.eset))
        )
        return f"{told}; {self.verdict.events} events after {self.took:.0f} s, {self.resident:.0f} MiB"


def p99(delays: list[float]) -> float:
    """Of a hundred one was as late, or later."""
    return sorted(delays)[ceil(len(delays) * 0.99) - 1]


async def lived(town: Town, folder: Path, patience: float) -> Outcome:
    """Run the daemon on that town until everything of the healthy ones arrived, or patience ends."""
    withsecure = WithSecureSimulator(
        [account(number) for number in range(town.tenants)],
        seed=_SEED,
        requests=town.withsecure[0],
        per_seconds=town.withsecure[1],
    )
    eset = EsetSimulator(
        [api_user(number) for number in range(town.tenants)],
        seed=_SEED,
        requests=2 * town.eset[0],
        per_seconds=town.eset[1],
    )
    _fill(town, withsecure, eset)
    _fall_sick(town, withsecure, eset)
    async with _daemon(town, folder, withsecure, eset) as running:
        began, since = time.monotonic(), datetime.now(UTC)
        await running.start()
        withsecure.cloud.drip(Drip(town.rate, limit=int(town.rate * town.seconds), mix=Mix(late=0.0)))
        eset.cloud.drip(DetectionDrip(town.rate, limit=int(town.rate * town.seconds), mix=PUNCTUAL))
        while True:
            await asyncio.sleep(2.0)
            over = time.monotonic() - began
            pending = withsecure.cloud.pending + eset.cloud.pending
            withsecure.cloud.catch_up()
            eset.cloud.catch_up()
            if over < town.seconds or pending:
                continue
            verdict = await asyncio.to_thread(_judged, town, running.setup, withsecure, eset)
            if not verdict.missing or over > patience or running.exit_status is not None:
                break
        assert running.exit_status is None, running.tail()
        resident = _resident(running)
        if verdict.missing:
            verdict.missing.append(f"and time ran out\n{running.tail()}")
        await running.stop()
    late = _delays(town, running.setup, withsecure, eset, since)
    return Outcome(
        verdict,
        *late,
        rules_broken=[*withsecure.violations, *eset.violations],
        most_in_window=(withsecure.most_in_window, eset.most_in_window),
        took=over,
        resident=resident,
    )


def _fill(town: Town, withsecure: WithSecureSimulator, eset: EsetSimulator) -> None:
    """What is there when the daemon starts."""
    now = datetime.now(UTC)
    hour_ago = now - timedelta(hours=1)
    withsecure.cloud.fill(5 * town.tenants, hour_ago, now, mix=Mix(late=0.0))
    eset.cloud.fill(5 * town.tenants, hour_ago, now, mix=PUNCTUAL)
    for number in town.healthy:
        organization = account(number).organization.id
        withsecure.cloud.incidents.open(1, hour_ago, now, organization_id=organization)
        eset.incidents.open(api_user(number).username, at=hour_ago)


def _fall_sick(town: Town, withsecure: WithSecureSimulator, eset: EsetSimulator) -> None:
    for vendor, names in (
        (withsecure, [account(number).client_id for number in range(town.tenants)]),
        (eset, [api_user(number).username for number in range(town.tenants)]),
    ):
        hung = frozenset(names[number] for number in town.hung)
        failing = frozenset(names[number] for number in town.failing)
        if town.sick:
            vendor.faults.switch_on("slow", Fault(seconds=_HANGS_SECONDS, client_ids=hung, on_login=True))
            vendor.faults.switch_on("http_500", Fault(client_ids=failing))


@asynccontextmanager
async def _daemon(
    town: Town, folder: Path, withsecure: WithSecureSimulator, eset: EsetSimulator
) -> AsyncIterator[Daemon]:
    async with withsecure.serve() as base_url, eset.serve() as eset_url:
        tenants = {
            f"t{number}": {"sources": _sources(town, number, base_url, eset_url)} for number in range(town.tenants)
        }
        top = {"tenants": tenants, "logging": {"level": "info"}}
        async with daemon(Setup(folder, base_url, town.tenants, top=top)) as running:
            yield running


def _sources(town: Town, number: int, base_url: str, eset_url: str) -> list[dict[str, Any]]:
    secret = f"wrong-password-{number}" if number in town.wrong else f"${{env:SECRET_{number}}}"

    def limit(of: tuple[int, float]) -> dict[str, Any]:
        return {"rate_limit": {"requests": of[0], "per": f"{of[1] * 1000:.0f}ms"}, **town.source}

    return [
        {
            "type": "withsecure",
            "base_url": base_url,
            "client_id": account(number).client_id,
            "client_secret": secret,
            **limit(town.withsecure),
        },
        {
            "type": "eset",
            "auth_url": eset_url,
            "incident_url": eset_url,
            "device_url": eset_url,
            "username": api_user(number).username,
            "password": secret,
            **limit(town.eset),
        },
    ]


def _judged(town: Town, setup: Setup, withsecure: WithSecureSimulator, eset: EsetSimulator) -> Verdict:
    """Of the healthy ones."""
    events, detections = _ledgers(town, withsecure, eset)
    lines = [line for number in town.healthy for line in _lines(setup, number)]
    verdict = judge(events, of_feed(lines, "security_events"))
    parts = {
        "eset detections": judge(detections, of_feed(lines, "detections")),
        "withsecure incidents": judge_incidents(
            withsecure.cloud.incidents.report(), of_feed(lines, "incidents", vendor="WithSecure")
        ),
        "eset incidents": judge_states(eset.incidents.report(), of_feed(lines, "incidents", vendor="ESET")),
    }
    for name, part in parts.items():
        verdict.events += part.events
        verdict.add(name, part)
    return verdict


def _ledgers(
    town: Town, withsecure: WithSecureSimulator, eset: EsetSimulator
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    return (
        withsecure.ledger([account(number).client_id for number in town.healthy], hashes=False),
        eset.ledger([api_user(number).username for number in town.healthy]),
    )


def _lines(setup: Setup, number: int) -> Iterator[tuple[Path, bytes]]:
    path = setup.events / f"t{number}.ndjson"
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            yield path, line


def _delays(
    town: Town, setup: Setup, withsecure: WithSecureSimulator, eset: EsetSimulator, since: datetime
) -> tuple[list[float], list[float]]:
    """Seconds from visible to fetched of what became visible after `since`, by vendor."""
    known = [
        {key: datetime.fromisoformat(entry["visible_at"]) for key, entry in ledger.items()}
        for ledger in _ledgers(town, withsecure, eset)
    ]
    late: tuple[list[float], list[float]] = ([], [])
    for number in town.healthy:
        for _, content in _lines(setup, number):
            line = _decoder.decode(content)
            for visible, found in zip(known, late, strict=True):
                moment = visible.get(line.id)
                if moment is not None and moment > since:
                    found.append(max(0.0, (line.fetched_at - moment).total_seconds()))
    return late


def _resident(running: Daemon) -> float:
    """MiB."""
    lines = Path(f"/proc/{running.pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
