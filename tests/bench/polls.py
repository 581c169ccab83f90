"""What a poll that finds nothing costs, and what memory many tenants take.

python -m tests.bench.polls [ROUNDS]           CPU of an empty poll against a bare aiohttp request of the same kind
python -m tests.bench.polls rss TENANTS        resident memory after every tenant was polled once, without events
python -m tests.bench.polls rss TENANTS PAGES  the most of it while every tenant reads so many pages, all at once
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import orjson
import yaml

from collector.app import run
from collector.config import Config, load_config
from collector.metrics import METRICS

_TENANTS = 40
_PAGES = "edr_collector_pages_committed_total"
_WARM_UP, _SECONDS = 3.0, 8.0
_FORM = urlencode(
    [("engineGroup", group) for group in ("epp", "edr", "ecp", "xm")]
    + [("order", "asc"), ("limit", "200")]
    + [(f"persistenceTimestamp{end}", "2026-03-02T09:15:00.000Z") for end in ("Start", "End")]
)


def configuration(base_url: str, folder: Path, tenants: int, interval: str) -> Config:
    """So many tenants of one source each, and limits that nobody notices."""
    source = {
        "type": "withsecure",
        "client_id": "bench",
        "client_secret": "bench",
        "feeds": ["security_events"],
        "base_url": base_url,
        "poll_interval": interval,
        "rate_limit": {"requests": 1_000_000, "per": "1s"},
        "sweep": {"every": "1h", "window": "2h"},
    }
    path = folder / "collector.yaml"
    document = {
        "state": {"path": "state.db"},
        "admin": {"listen": None, "control": f"{folder}/c.sock"},
        "defaults": {"withsecure": {key: value for key, value in source.items() if key != "type"}},
        "sinks": {"out": {"type": "file", "path": "out.ndjson", "format": "raw"}},
    }
    lines = (f"  t{number}: {{sources: [{{type: withsecure}}]}}\n" for number in range(tenants))
    # Not by `yaml.dump`: the memory it takes for thousands of tenants would be measured along.
    path.write_text(f"{yaml.dump(document)}tenants:\n{''.join(lines)}")
    return load_config(path)


def polls() -> float:
    """How many polls this process has made."""
    (family,) = METRICS.registry.restricted_registry([_PAGES]).collect()  # all of them take long with many tenants
    return sum(sample.value for sample in family.samples)


async def collector_cpu(base_url: str, folder: Path) -> float:
    """Seconds of CPU that one poll takes in the running collector, all its loops included."""
    stop = asyncio.Event()
    config = configuration(base_url, folder, _TENANTS, "250ms")
    async with asyncio.TaskGroup() as group:
        group.create_task(run(config, stop, asyncio.Event()))
        await asyncio.sleep(_WARM_UP)
        made, spent = polls(), time.process_time()
        await asyncio.sleep(_SECONDS)
        spent, made = time.process_time() - spent, polls() - made
        stop.set()
    return spent / made


async def bare_cpu(base_url: str) -> float:
    """Seconds of CPU that one request takes with aiohttp alone, at the same pace and with as many at a time."""
    made = 0

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal made
        await asyncio.sleep(number / _TENANTS * 0.25)
        headers = {"Authorization": "Bearer bench", "Content-Type": "application/x-www-form-urlencoded"}
        while True:
            url = f"{base_url}/security-events/v1/security-events"
            async with session.post(url, data=_FORM, headers=headers) as response:
                orjson.loads(await response.read())
            made += 1
            await asyncio.sleep(0.25)

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(ask(session, number)) for number in range(_TENANTS)]
        await asyncio.sleep(_WARM_UP)
        before, spent = made, time.process_time()
        await asyncio.sleep(_SECONDS)
        spent, counted = time.process_time() - spent, made - before
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return spent / counted


async def resident(base_url: str, folder: Path, tenants: int, pages: int) -> tuple[float, float]:
    """MiB after every tenant was polled once (with pages: at most), and before the first of them was."""
    stop = asyncio.Event()
    config = configuration(base_url, folder, tenants, "1d")
    before = _resident("VmRSS")
    async with asyncio.TaskGroup() as group:
        group.create_task(run(config, stop, asyncio.Event()))
        while polls() < tenants * max(1, pages):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(1.0)
        await asyncio.sleep(_SECONDS)
        after = _resident("VmHWM" if pages else "VmRSS")
        stop.set()
    return after, before


def _resident(which: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


@contextmanager
def vendor(pages: int = 0) -> Iterator[str]:
    """A vendor with so many pages of events for everybody, in a process of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.vendor", str(pages)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.kill()
        process.wait()


def main(arguments: list[str]) -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    tenants, pages = (*map(int, arguments[1:]), 0, 0)[:2] if arguments[:1] == ["rss"] else (0, 0)
    with vendor(pages) as base_url, tempfile.TemporaryDirectory() as folder:
        if tenants:
            after, before = asyncio.run(resident(base_url, Path(folder), tenants, pages))
            what = f"busy tenants: at most {after:.0f}" if pages else f"idle tenants: {after:.0f}"
            print(f"{tenants} {what} MiB resident, {before:.0f} before the first poll")
            return
        ratios = []
        for number in range(int(arguments[0]) if arguments else 3):
            (here := Path(folder) / str(number)).mkdir()
            ours, bare = asyncio.run(collector_cpu(base_url, here)), asyncio.run(bare_cpu(base_url))
            ratios.append(ours / bare)
            print(f"empty poll {ours * 1e6:.0f} us, bare aiohttp {bare * 1e6:.0f} us, {ratios[-1]:.2f} times")
        print(f"median {statistics.median(ratios):.2f} times")


if __name__ == "__main__":
    main(sys.argv[1:])
