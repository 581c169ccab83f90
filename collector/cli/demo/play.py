"""The demo from start to summary."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collector.cli.demo.cef_lines import judge_cef
from collector.cli.demo.show import Show, summarize
from collector.cli.demo.stage import Daemon, prepare, secret_variable, write_config
from collector.errors import CollectorError
from collector.simulator import BAD_DAY, Account, Drip, Mix, Organization, WithSecureSimulator
from collector.simulator.oracle import Verdict, judge, read_lines

TENANTS = ("acme", "globex", "initech")
_TIE = 500
_LIVE_RATE, _LIVE_EVENTS = 25.0, 300
_LIVE = Mix(late=0.1, late_seconds=(1.0, 6.0))
_KILL_AT_SHARE = 0.4
_PATIENCE_SECONDS = 150.0
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Score:
    """What the demo found out."""

    at_vendor: int = 0
    fetched: int = 0
    duplicates: int = 0
    delivered: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    seconds: float = 0.0
    requests: int = 0
    most_in_window: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    exit_status: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def good(self) -> bool:
        """Every event once, no rule of the vendor broken, an orderly end."""
        return self.verdict.good and not self.violations and self.exit_status == 0


async def play(folder: Path, events: int, *, keep_running: bool) -> int:
    """Run the demo in `folder`; the exit status."""
    prepare(folder)
    vendor = _vendor(events)
    async with vendor.serve() as base_url:
        accounts = vendor.cloud.accounts
        ids = {name: f"demo_{name}" for name in TENANTS}
        config = write_config(folder, base_url, ids)
        secrets = {secret_variable(name): accounts[ids[name]].client_secret for name in TENANTS}
        daemon = Daemon(config, secrets)
        try:
            score = await _run(vendor, daemon, folder, events)
            if keep_running:
                await _stay(vendor, daemon, config)
        finally:
            await daemon.kill()
    summarize(score, folder)
    return 0 if score.good else 1


def _vendor(events: int) -> WithSecureSimulator:
    accounts = [
        Account(f"demo_{name}", f"demo/secret+of={name}", Organization(f"00000000-0000-4000-8000-00000000000{n}", name))
        for n, name in enumerate(TENANTS)
    ]
    vendor = WithSecureSimulator(accounts)
    now = datetime.now(UTC)
    vendor.cloud.fill(events, now - timedelta(hours=12), now - timedelta(minutes=10))
    vendor.cloud.tie(_TIE, now - timedelta(hours=1))
    vendor.faults.switch_on_all(BAD_DAY)
    vendor.cloud.drip(Drip(_LIVE_RATE, limit=_LIVE_EVENTS, again=0.05, again_seconds=(1.0, 5.0), mix=_LIVE))
    return vendor


async def _run(vendor: WithSecureSimulator, daemon: Daemon, folder: Path, events: int) -> Score:
    score = Score()
    began = time.monotonic()
    with Show(events + _TIE + _LIVE_EVENTS) as show:
        await daemon.start()
        await _until_all_arrived(vendor, daemon, folder, score, show)
        score.seconds = time.monotonic() - began
    score.exit_status = await daemon.stop()
    score.verdict = await asyncio.to_thread(_judged, vendor, folder)
    cef = await asyncio.to_thread(lambda: judge_cef(read_lines(folder / "cef"), read_lines(folder / "events")))
    score.delivered = {"file (json)": score.verdict.events, "file (CEF)": cef.events}
    score.verdict.add("cef", cef)
    score.at_vendor = vendor.cloud.counts()["visible"]
    score.faults = Counter(vendor.faults_served)
    score.violations = vendor.violations
    score.requests = sum(vendor.requests.values())
    score.most_in_window = vendor.most_in_window
    return score


async def _until_all_arrived(
    vendor: WithSecureSimulator, daemon: Daemon, folder: Path, score: Score, show: Show
) -> None:
    """Watch until nothing is missing any more; pull the plug once on the way."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    live_until = time.monotonic() + _LIVE_EVENTS / _LIVE_RATE + 1.0
    earlier = [0, 0]
    while time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
        status = await daemon.status()
        if daemon.exit_status is not None:
            raise CollectorError(f"the daemon ended by itself: see {daemon.log_path}")
        if status is None:
            continue
        fetched, duplicates, delivered = _numbers(status)
        score.fetched, score.duplicates = earlier[0] + fetched, earlier[1] + duplicates
        counts = vendor.cloud.counts()
        show.update(counts["visible"], score, vendor.faults.served, status)
        if not score.kills and score.fetched > _KILL_AT_SHARE * counts["visible"]:
            earlier = [score.fetched, score.duplicates]
            await daemon.kill()
            score.kills += 1
            await daemon.start()
        elif score.kills and delivered and time.monotonic() > live_until and _all_served(counts):
            verdict = await asyncio.to_thread(_judged, vendor, folder)
            if not verdict.missing:
                return


def _all_served(counts: Mapping[str, int]) -> bool:
    return counts["known"] == counts["visible"] == counts["served"]


def _numbers(status: dict[str, Any]) -> tuple[int, int, bool]:
    fetched = sum(feed["events"] for feed in status["feeds"])
    duplicates = sum(feed["duplicates"] for feed in status["feeds"])
    waiting = sum(sink["backlog_events"] for sink in status["sinks"])
    return fetched, duplicates, waiting == 0


def _judged(vendor: WithSecureSimulator, folder: Path) -> Verdict:
    return judge(vendor.ledger(hashes=False), read_lines(folder / "events"))


async def _stay(vendor: WithSecureSimulator, daemon: Daemon, config: Path) -> None:
    vendor.cloud.drip(Drip(1.0, again=0.05))
    await daemon.start()
    print(f"The daemon goes on with one live event a second: try `collector status -c {config}`. Ctrl-C ends it.")
    await asyncio.Event().wait()
