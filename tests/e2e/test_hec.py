"""The real daemon into an event collector that acknowledges late, dies, and refuses."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from collector.simulator import Drip, Mix
from collector.simulator.oracle import read_lines
from tests.e2e.harness import Setup, arrived, daemon, simulator
from tests.unit.sinks.splunk_hec.emulator import TOKEN, Emulator
from tests.unit.sinks.splunk_hec.opening import receiving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_PUNCTUAL = Mix(late=0.0)


def splunk_sink(splunk: Emulator, **settings: Any) -> dict[str, Any]:
    keys = {"type": "splunk_hec", "url": splunk.url, "token": TOKEN, "index": "edr", **settings}
    return {"sinks": {"splunk": keys}}


def of_splunk(status: dict[str, Any]) -> dict[str, Any]:
    return next(sink for sink in status["sinks"] if sink["sink"] == "splunk")


def in_file(setup: Setup) -> set[str]:
    return {orjson.loads(line)["uid"] for _, line in read_lines(setup.events)}


def _hang_up(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@pytest.mark.slow
async def test_acknowledgements_that_take_five_seconds_let_two_thousand_events_a_second_through(tmp_path: Path) -> None:
    events = 30_000
    vendor = simulator(1)
    now = datetime.now(UTC)
    vendor.cloud.fill(events, now - timedelta(hours=12), now, mix=_PUNCTUAL)
    async with vendor.serve() as base_url, receiving(acks=True, ack_after=5.0, now=time.monotonic) as splunk:
        came = asyncio.Event()
        splunk.script.append(lambda _: came.set())
        setup = Setup(tmp_path, base_url)
        async with daemon(setup) as running:
            await running.start()
            assert (await arrived(vendor, running, 120)).good
            await running.stop()
        setup.top = splunk_sink(splunk, acknowledge=True, start_at="earliest")

        async with daemon(setup) as running:
            await running.start()
            await came.wait()
            began = time.monotonic()
            await running.until(lambda status: of_splunk(status)["delivered"] >= events, 120)
            took = time.monotonic() - began
            await running.stop()

    assert set(splunk.uids()) == in_file(setup)
    assert len(splunk.events) == events
    # A machine that is busy with other things leaves us our share of it.
    share = min(1.0, (os.cpu_count() or 1) / max(1.0, os.getloadavg()[0]))
    assert events / took >= 2000 * share, f"{events / took:.0f} events/s"


@pytest.mark.parametrize("acknowledged", [True, False], ids=["acknowledged", "not acknowledged"])
async def test_nothing_is_lost_whoever_dies(tmp_path: Path, acknowledged: bool) -> None:
    vendor = simulator(2)
    now = datetime.now(UTC)
    vendor.cloud.fill(2000, now - timedelta(hours=12), now, mix=_PUNCTUAL)
    vendor.cloud.drip(Drip(rate=400, limit=2000, mix=_PUNCTUAL))
    async with vendor.serve() as base_url, receiving(acks=acknowledged, ack_after=0.3, now=time.monotonic) as splunk:
        sink = splunk_sink(splunk, acknowledge=acknowledged, ack_timeout="2s")
        async with daemon(Setup(tmp_path, base_url, 2, top=sink)) as running:
            for number in range(6):
                if number % 3 == 0:
                    await running.kill()
                    await running.start()
                splunk.script.extend([9, 26, _hang_up])
                await asyncio.sleep(0.7)
                if acknowledged:
                    splunk.restart()
            verdict = await arrived(vendor, running, 120)
            await running.until(lambda status: of_splunk(status)["backlog_events"] == 0, 120)
            assert await running.stop() == 0

    assert verdict.good, verdict
    assert in_file(running.setup) - set(splunk.uids()) == set()
    assert set(splunk.uids()) <= in_file(running.setup)


async def test_a_refused_event_is_a_dead_letter_in_the_receivers_words_and_all_others_arrive(tmp_path: Path) -> None:
    vendor = simulator(1)
    now = datetime.now(UTC)
    names = vendor.cloud.fill(500, now - timedelta(hours=12), now, mix=_PUNCTUAL)
    refused = set(names[::100])
    bad = lambda document: 12 if document["fields"]["id"] in refused else None  # noqa: E731
    async with (
        vendor.serve() as base_url,
        receiving(bad=bad) as splunk,
        daemon(Setup(tmp_path, base_url, top=splunk_sink(splunk))) as running,
    ):
        await running.start()
        assert (await arrived(vendor, running)).good
        status = await running.until(lambda status: of_splunk(status)["dead_letters"] == len(refused))
        await running.stop()

    assert of_splunk(status)["delivered"] == 500 - len(refused)
    found = Counter(event["fields"]["id"] for event in splunk.events)
    assert found == Counter(set(names) - refused)
