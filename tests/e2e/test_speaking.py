"""Signs of life and test events between the vendor's own, through the real daemon and a real sink."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collector.simulator import Mix
from tests.e2e.harness import Setup, daemon, simulator
from tests.e2e.live import command


def lines(folder: Path) -> list[dict[str, Any]]:
    whole = (file.read_bytes().rpartition(b"\n")[0] for file in folder.rglob("*.ndjson"))
    return [json.loads(line) for text in whole for line in text.splitlines()]


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


async def test_our_own_events_come_between_the_vendors_and_survive_a_restart(tmp_path: Path) -> None:
    vendor = simulator(1)
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(hours=1), now, mix=Mix(late=0.0))
    # One file for all, so that every sign of life changes what the sink has to remember of it.
    ours = tmp_path / "ours"
    setup = Setup(tmp_path, "", 1, sink={"heartbeat": "500ms", "path": f"{ours}/all.ndjson"})
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        await running.start()
        await running.until(lambda status: status["sinks"][0]["delivered"] == 300)
        status, told = await command(setup, "test-event", "t0", "--json")
        unknown, said = await command(setup, "test-event", "nobody")
        await running.kill()
        await running.start()
        vendor.cloud.fill(50, datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC), mix=Mix(late=0.0))
        await running.until(lambda status: status["sinks"][0]["delivered"] >= 50)
        await running.until(lambda _: len(of_kind(lines(ours), "heartbeat")) >= 3)
        assert await running.stop() == 0

    found = lines(ours)
    vendors = [event for event in found if event["kind"] not in {"test", "heartbeat"}]
    assert len(vendors) == len({event["uid"] for event in vendors}) == 350
    tests = of_kind(found, "test")
    assert (status, unknown) == (0, 1)
    assert "no tenant nobody" in said
    outcome = json.loads(told)["sinks"][0]
    assert (outcome["outcome"], [event["uid"] for event in tests]) == ("delivered", [outcome["uid"]])
    assert tests[0]["tenant"] == "t0"
    assert tests[0]["vendor"] == "WithSecure"
    assert len({event["uid"] for event in found}) == len(found)
