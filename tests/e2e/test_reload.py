"""A reload touches what changed and nothing else, as the vendor sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from collector.errors import ConfigError
from collector.simulator import Fault, Mix, WithSecureSimulator
from tests.e2e.harness import Setup, account, daemon, simulator
from tests.e2e.live import caught_up, configure, delivered, edit, known, polls, reload

PUNCTUAL = Mix(late=0.0)
POLL_SECONDS = 0.5
# Sweeps would read at times of their own.
SOURCE = {"poll_interval": "500ms", "sweep": {"every": "10m", "window": "20m"}}


def fill(vendor: WithSecureSimulator, number: int, count: int = 50) -> None:
    """Let the n-th customer's console have so many more events."""
    now = datetime.now(UTC)
    organizations = [account(number).organization]
    vendor.cloud.fill(count, now - timedelta(seconds=2), now, organizations=organizations, mix=PUNCTUAL)


async def test_one_tenant_more_one_less_one_renamed_and_the_other_notices_nothing(tmp_path: Path) -> None:
    vendor = simulator(4)
    for number in range(4):
        fill(vendor, number)
    setup = Setup(tmp_path, "", 4, source=SOURCE)

    def renamed(document: dict[str, Any]) -> None:
        document["tenants"]["new-name"]["renamed_from"] = "old-name"

    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"stays": 0, "goes": 1, "old-name": 2})
        await running.start()
        for number, tenant in enumerate(("stays", "goes", "old-name")):
            await caught_up(running, vendor, number, tenant)
        await asyncio.sleep(3 * POLL_SECONDS)

        configure(setup, {"stays": 0, "new-name": 2, "comes": 3})
        edit(setup, renamed)
        began = monotonic()
        told = await reload(setup)
        ended = monotonic()
        for number in range(4):
            fill(vendor, number)
        await caught_up(running, vendor, 0, "stays")
        await caught_up(running, vendor, 2, "old-name", "new-name")
        await caught_up(running, vendor, 3, "comes")
        await asyncio.sleep(3 * POLL_SECONDS)
        assert await running.stop() == 0

    summary = "+1 tenant, -1 tenant, 1 renamed, 0 restarted"
    assert told["summary"].startswith(summary)
    assert f'"summary":"{summary}' in running.output.read_text()

    # Not one poll missed, none too many, no second login.
    waits = [later - earlier for earlier, later in pairwise(polls(vendor, 0)) if later > began - POLL_SECONDS]
    assert len(waits) > 3
    assert max(waits) < 2 * POLL_SECONDS
    full = [wait for wait in waits if wait > POLL_SECONDS / 2]
    assert len(full) >= len(waits) - 2  # a page that is full is followed at once
    assert vendor.logins.granted[account(0).client_id] == 1

    assert not [at for at in polls(vendor, 1) if at > ended]
    assert delivered(setup, "stays") == Counter(known(vendor, 0))
    assert delivered(setup, "old-name", "new-name") == Counter(known(vendor, 2))
    assert delivered(setup, "comes") == Counter(known(vendor, 3))
    assert not vendor.violations


async def test_broken_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    vendor = simulator(2)
    setup = Setup(tmp_path, "", 2, source=SOURCE)

    def broken(document: dict[str, Any]) -> None:
        document["sinks"]["events"]["colour"] = "red"
        document["tenants"]["t1"]["sources"][0]["poll_interval"] = "soon"

    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"t0": 0})
        await running.start()
        await running.until(lambda status: all(feed["last_success"] for feed in status["feeds"]))
        configure(setup, {"t0": 0, "t1": 1})
        edit(setup, broken)
        with pytest.raises(ConfigError) as refused:
            await reload(setup)
        fill(vendor, 0)
        await caught_up(running, vendor, 0, "t0")
        status = await running.status()
        assert await running.stop() == 0

    assert [any(key in problem for problem in refused.value.problems) for key in ("colour", "poll_interval")] == [
        True
    ] * 2
    assert status is not None
    assert {feed["tenant"] for feed in status["feeds"]} == {"t0"}
    assert delivered(setup, "t0") == Counter(known(vendor, 0))
    assert vendor.logins.granted == {account(0).client_id: 1}
    assert "reload refused, nothing changed" in running.output.read_text()


async def test_required_sink_with_a_backlog_stays_until_somebody_says_who_takes_its_place(tmp_path: Path) -> None:
    vendor = simulator(1)
    fill(vendor, 0)
    setup = Setup(tmp_path, "", 1, source=SOURCE)
    # Nobody listens on the port of a socket that is bound and no more.
    down = {"type": "syslog", "address": "tcp://127.0.0.1:9", "format": "json"}
    archive = {"type": "file", "path": str(setup.events) + "/{tenant}.ndjson"}
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"t0": 0}, sinks={"siem": down})
        await running.start()
        await running.until(lambda status: status["sinks"][0]["backlog_events"] == 50)
        configure(setup, {"t0": 0}, sinks={"events": archive})
        with pytest.raises(ConfigError) as refused:
            await reload(setup)
        configure(setup, {"t0": 0}, sinks={"events": {**archive, "renamed_from": "siem"}})
        told = await reload(setup)
        await caught_up(running, vendor, 0, "t0")
        assert await running.stop() == 0

    assert "sinks.siem is gone, but 50 events wait for it" in refused.value.problems[0]
    assert told["summary"] == "1 renamed, 0 restarted"
    assert delivered(setup, "t0") == Counter(known(vendor, 0))


async def test_secret_replaced_on_disk_is_used_when_the_old_one_is_refused(tmp_path: Path) -> None:
    vendor = simulator(2)
    fill(vendor, 0)
    secret = tmp_path / "secret"
    secret.write_text("not the right one\n")
    setup = Setup(tmp_path, "", 2, source=SOURCE)

    def from_file(document: dict[str, Any]) -> None:
        document["tenants"]["denied"]["sources"][0]["client_secret"] = f"${{file:{secret}}}"

    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"denied": 0, "other": 1})
        edit(setup, from_file)
        secret.write_text(account(0).client_secret[:-1])
        # Until the file is what it should be the vendor says neither yes nor no.
        vendor.faults.switch_on("http_502", Fault(on_login=True, client_ids=frozenset({account(0).client_id})))
        await running.start()
        await running.until(lambda status: any(feed["state"] == "backing_off" for feed in status["feeds"]))
        vendor.faults.switch_off("http_502")
        secret.write_text(f"{account(0).client_secret}\n")
        await running.until(lambda status: all(feed["state"] == "ok" for feed in status["feeds"]), seconds=90.0)
        await caught_up(running, vendor, 0, "denied")
        assert await running.stop() == 0

    assert delivered(setup, "denied") == Counter(known(vendor, 0))
    assert vendor.logins.granted[account(1).client_id] == 1
    assert account(0).client_secret not in running.output.read_text()
