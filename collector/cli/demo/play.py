"""The demo from start to summary."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.cli.demo.cef_lines import judge_cef
from collector.cli.demo.show import Show, summarize
from collector.cli.demo.stage import Daemon, prepare, write_config
from collector.cli.demo.vendors import LIVE_SECONDS, STRANGER, TENANTS, Vendors
from collector.errors import CollectorError
from collector.simulator.oracle import Verdict, read_lines

_KILL_AT_SHARE = 0.4
_PATIENCE_SECONDS = 150.0
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Score:
    """What the demo found out. `stranger` holds the states of the feeds whose credentials are wrong, `told` why."""

    at_vendor: int = 0
    fetched: int = 0
    duplicates: int = 0
    delivered: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    seconds: float = 0.0
    requests: dict[str, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    stranger: list[str] = field(default_factory=list)
    told: str = ""
    exit_status: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def is_denied(self) -> bool:
        """Every feed with wrong credentials says so."""
        return bool(self.stranger) and set(self.stranger) == {"denied"}

    @property
    def good(self) -> bool:
        """Every event once, no rule of the vendors broken, wrong credentials told, an orderly end."""
        return self.verdict.good and not self.violations and self.is_denied and self.exit_status == 0


async def play(folder: Path, events: int, *, keep_running: bool) -> int:
    """Run the demo in `folder`; the exit status."""
    prepare(folder)
    vendors = Vendors(events)
    async with vendors.serve() as urls:
        config = write_config(folder, urls, [*TENANTS, STRANGER])
        daemon = Daemon(config, vendors.secrets)
        try:
            score = await _run(vendors, daemon, folder)
            if keep_running:
                await _stay(vendors, daemon, config)
        finally:
            await daemon.kill()
    summarize(score, folder)
    return 0 if score.good else 1


async def _run(vendors: Vendors, daemon: Daemon, folder: Path) -> Score:
    score = Score()
    began = time.monotonic()
    with Show(vendors.visible) as show:
        await daemon.start()
        await _until_all_arrived(vendors, daemon, folder, score, show)
        score.seconds = time.monotonic() - began
    score.exit_status = await daemon.stop()
    score.verdict = await vendors.judge(folder / "events")
    cef = await asyncio.to_thread(lambda: judge_cef(read_lines(folder / "cef"), read_lines(folder / "events")))
    score.delivered = {"file (json)": score.verdict.events, "file (CEF)": cef.events}
    score.verdict.add("cef", cef)
    score.at_vendor = vendors.visible
    score.faults = vendors.faults
    score.violations = vendors.violations
    score.requests = {
        "WithSecure, most in 60 s": f"{vendors.withsecure.most_in_window} of 300",
        "ESET, most in 1 s": f"{vendors.eset.most_in_window} of 10",
    }
    return score


async def _until_all_arrived(vendors: Vendors, daemon: Daemon, folder: Path, score: Score, show: Show) -> None:
    """Watch until every event is in the files, the live ones too; kill the daemon once on the way."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    vendors.go_live()
    live_until = time.monotonic() + LIVE_SECONDS + 1.0
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
        score.stranger, score.told = _of_the_stranger(status)
        show.update(vendors.visible, score, vendors.faults, status)
        if not score.kills and score.fetched > _KILL_AT_SHARE * vendors.visible:
            earlier = [score.fetched, score.duplicates]
            await daemon.kill()
            score.kills += 1
            await daemon.start()
        elif score.kills and score.is_denied and delivered and time.monotonic() > live_until and vendors.has_shown_all:
            verdict = await vendors.judge(folder / "events")
            if not verdict.missing:
                return


def _numbers(status: dict[str, Any]) -> tuple[int, int, bool]:
    fetched = sum(feed["events"] for feed in status["feeds"])
    duplicates = sum(feed["duplicates"] for feed in status["feeds"])
    waiting = sum(sink["backlog_events"] for sink in status["sinks"])
    return fetched, duplicates, waiting == 0


def _of_the_stranger(status: dict[str, Any]) -> tuple[list[str], str]:
    """The states of the feeds with wrong credentials, and what the first is told of them."""
    feeds = [feed for feed in status["feeds"] if feed["tenant"] == STRANGER]
    return [feed["state"] for feed in feeds], next((feed["last_error"] for feed in feeds if feed["last_error"]), "")


async def _stay(vendors: Vendors, daemon: Daemon, config: Path) -> None:
    vendors.stay_live()
    await daemon.start()
    print(f"The daemon goes on with two live events a second: try `collector status -c {config}`. Ctrl-C ends it.")
    await asyncio.Event().wait()
