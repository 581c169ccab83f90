"""The incidents of both vendors for the real daemon: its configuration, and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from collector.simulator import WithSecureSimulator
from collector.simulator.eset import EsetSimulator
from collector.simulator.incident_oracle import judge_incidents
from collector.simulator.oracle import Delivered, Verdict, parse_line, read_lines
from collector.simulator.state_oracle import judge_states
from tests.e2e.eset import incidents_setup
from tests.e2e.harness import Daemon, Setup, daemon

Vendor = WithSecureSimulator | EsetSimulator


@asynccontextmanager
async def waiting(tmp_path: Path, vendor: Vendor, tenants: int = 1, **source: Any) -> AsyncIterator[Daemon]:
    """The daemon on the incidents of this vendor, not started yet."""
    async with vendor.serve() as base_url:
        if isinstance(vendor, EsetSimulator):
            setup = incidents_setup(tmp_path, base_url, tenants, source=source)
        else:
            setup = Setup(tmp_path, base_url, tenants, source={"feeds": ["incidents"], **source})
        async with daemon(setup) as running:
            yield running


@asynccontextmanager
async def started(tmp_path: Path, vendor: Vendor, tenants: int = 1, **source: Any) -> AsyncIterator[Daemon]:
    """The daemon on the incidents of this vendor, running."""
    async with waiting(tmp_path, vendor, tenants, **source) as running:
        await running.start()
        yield running


def judged(vendor: Vendor, setup: Setup) -> Verdict:
    """Compare what lies in the files with the states that there were."""
    if isinstance(vendor, EsetSimulator):
        return judge_states(vendor.incidents.report(), read_lines(setup.events))
    return judge_incidents(vendor.cloud.incidents.report(), read_lines(setup.events))


def delivered(setup: Setup) -> list[Delivered]:
    """What lies in the files."""
    return [event for _, line in read_lines(setup.events) if (event := parse_line(line)) is not None]


async def complete(
    vendor: Vendor, running: Daemon, seconds: float = 60.0, *, passing: Callable[[], Collection[str]] = tuple
) -> Verdict:
    """Wait until nothing is missing but what is `passing`; time that runs out shows as what is."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        verdict = await asyncio.to_thread(judged, vendor, running.setup)
        excused = passing()
        verdict.missing = [name for name in verdict.missing if name.partition("@")[2] not in excused]
        waiting = vendor.incidents.pending if isinstance(vendor, EsetSimulator) else 0
        if (not waiting and not verdict.missing) or running.exit_status is not None:
            return verdict
        if asyncio.get_running_loop().time() > deadline:
            verdict.missing.append(f"and time ran out\n{running.tail()}")
            return verdict
        await asyncio.sleep(0.2)
