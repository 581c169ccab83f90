"""Pause, purge and accounts through the real daemon and its commands."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collector.clock import Clock
from collector.simulator import Mix, WithSecureSimulator
from collector.store import Position, Store
from tests.e2e.harness import Setup, account, daemon, simulator
from tests.e2e.live import caught_up, command, configure, delivered, edit, known, polls, reload

SOURCE = {"poll_interval": "300ms", "sweep": {"every": "1s", "window": "15m"}}


def fill(vendor: WithSecureSimulator, number: int, count: int = 60, seconds: float = 2.0) -> None:
    """Let the n-th customer's console have so many more events."""
    now = datetime.now(UTC)
    organizations = [account(number).organization]
    vendor.cloud.fill(count, now - timedelta(seconds=seconds), now, organizations=organizations, mix=Mix(late=0.0))


async def pieces(setup: Setup, tenant: str) -> list[bytes]:
    """Pieces of every body of the tenant that lie in the file of a stopped daemon."""
    found: list[bytes] = []
    async with Store.open(setup.database, max_size=1 << 30, clock=Clock()) as store:
        numbers = [number for stream, number in store._numbers.items() if stream.tenant == tenant]

        def bodies(connection: Any) -> list[bytes]:
            sql = "SELECT zstd FROM bodies JOIN pages USING (seq) WHERE stream = ?"
            return [row[0] for number in numbers for row in connection.execute(sql, (number,))]

        for body in await store._writer.call(bodies):
            found += [body[at : at + 24] for at in range(40, len(body) - 24, 300)]
    file = on_disk(setup)
    return [piece for piece in found if piece in file]  # the others lie across two pages


def on_disk(setup: Setup) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(setup.database.parent.iterdir()) if path.is_file())


async def test_purged_tenant_leaves_no_byte_and_the_other_notices_nothing(tmp_path: Path) -> None:
    vendor = simulator(2)
    fill(vendor, 0)
    fill(vendor, 1)
    setup = Setup(tmp_path, "", 2, source=SOURCE)
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"leaves": 0, "stays": 1})
        await running.start()
        await caught_up(running, vendor, 0, "leaves")
        await caught_up(running, vendor, 1, "stays")
        assert await running.stop() == 0
        mine = await pieces(setup, "leaves")
        assert len(mine) > 10
        await running.start()
        await running.until(lambda status: all(feed["last_success"] for feed in status["feeds"]))

        refused, why = await command(setup, "tenant", "purge", "leaves", "--yes")
        assert (refused, "first `collector tenant pause leaves`" in why) == (1, True)
        assert (await command(setup, "tenant", "pause", "leaves"))[0] == 0
        purged, said = await command(setup, "tenant", "purge", "leaves", "--yes")
        assert (purged, said.splitlines()[-1][:22]) == (0, "purged leaves: 60 even")
        # With the daemon still running: nothing in the file, its log or free pages.
        file = on_disk(setup)
        assert [piece for piece in mine if piece in file] == []
        ids = [event.encode() for event in known(vendor, 0)]
        assert [event for event in ids if event in file] == []

        fill(vendor, 0, 20, seconds=0.1)  # since the purge
        fill(vendor, 1, 20)
        await caught_up(running, vendor, 1, "stays")
        asked = len(polls(vendor, 0))
        await asyncio.sleep(1.0)
        assert len(polls(vendor, 0)) == asked
        assert (await command(setup, "tenant", "resume", "leaves"))[0] == 0
        await caught_up(running, vendor, 0, "leaves")
        await asyncio.sleep(2.5)  # for sweeps
        assert await running.stop() == 0

    # What was purged is not fetched again, and what came since is read.
    assert delivered(setup, "leaves") == Counter(known(vendor, 0))
    assert delivered(setup, "stays") == Counter(known(vendor, 1))
    async with Store.open(setup.database, max_size=1 << 30, clock=Clock()) as store:
        assert await store.full_check() == []
        streams = [stream for stream in store.streams() if stream.tenant == "leaves"]
        assert (await store.backlog(Position(0), streams)).events == 20
    assert not vendor.violations


async def test_stopped_daemons_state_is_purged_of_a_tenant_that_left(tmp_path: Path) -> None:
    vendor = simulator(2)
    fill(vendor, 0)
    fill(vendor, 1)
    setup = Setup(tmp_path, "", 2, source=SOURCE)
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"leaves": 0, "stays": 1})
        await running.start()
        await caught_up(running, vendor, 0, "leaves")
        await caught_up(running, vendor, 1, "stays")
        assert await running.stop() == 0
        mine = await pieces(setup, "leaves")
        assert mine
        configure(setup, {"stays": 1})
        purged, _ = await command(setup, "tenant", "purge", "leaves", "--yes")
        unasked, why = await command(setup, "tenant", "purge", "stays")
        file = on_disk(setup)
        await running.start()
        fill(vendor, 1, 20)
        await caught_up(running, vendor, 1, "stays")
        assert await running.stop() == 0

    assert purged == 0
    assert [piece for piece in mine if piece in file] == []
    assert (unasked, "say --yes" in why) == (1, True)
    assert delivered(setup, "stays") == Counter(known(vendor, 1))


async def test_another_account_is_held_until_it_is_accepted(tmp_path: Path) -> None:
    vendor = simulator(2)
    fill(vendor, 0)
    setup = Setup(tmp_path, "", 2, source=SOURCE)

    def another(document: dict[str, Any]) -> None:
        document["tenants"]["t"]["sources"][0] |= {
            "client_id": account(1).client_id,
            "client_secret": "${env:SECRET_1}",
        }

    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        configure(setup, {"t": 0})
        await running.start()
        await caught_up(running, vendor, 0, "t")
        edit(setup, another)
        await reload(setup)
        status = await running.until(lambda status: status["feeds"][0]["state"] == "held")
        fill(vendor, 1)
        await asyncio.sleep(1.0)
        asked = len(polls(vendor, 1))
        accepted, _ = await command(setup, "tenant", "accept", "t")
        await caught_up(running, vendor, 1, "t")
        assert await running.stop() == 0

    assert "another account" in status["feeds"][0]["last_error"]
    assert asked == 0
    assert accepted == 0
    assert delivered(setup, "t") == Counter(known(vendor, 0) | known(vendor, 1))
