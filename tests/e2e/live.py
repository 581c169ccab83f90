"""A daemon whose configuration and tenants change while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from collector.admin.client import ControlClient
from collector.simulator import WithSecureSimulator
from tests.e2e.harness import Daemon, Setup, account

_LOOK_SECONDS = 0.2


def configure(setup: Setup, tenants: Mapping[str, int], **sections: Any) -> None:
    """Write a configuration of these tenants, name to number of account; `sections` replace what is usual."""
    setup.write()
    document = yaml.safe_load(setup.config.read_text())
    document["tenants"] = {
        name: {"sources": [setup.kind.keys(number, setup.base_url) | dict(setup.source)]}
        for name, number in tenants.items()
    }
    setup.config.write_text(yaml.safe_dump({**document, **sections}))


def edit(setup: Setup, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what stands in the file."""
    document = yaml.safe_load(setup.config.read_text())
    change(document)
    setup.config.write_text(yaml.safe_dump(document))


async def reload(setup: Setup) -> dict[str, Any]:
    """What `collector reload` is told."""
    answer: dict[str, Any] = await asyncio.to_thread(ControlClient(setup.control, timeout=60.0).post, "/reload")
    return answer


async def command(setup: Setup, *arguments: str) -> tuple[int, str]:
    """Run a command on the daemon's configuration; its exit status and what it wrote."""
    environment = os.environ | {f"SECRET_{number}": setup.kind.secret(number) for number in range(setup.tenants)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "collector", *arguments, "-c", str(setup.config)),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60.0):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def delivered(setup: Setup, *tenants: str) -> Counter[str]:
    """How often which event of these tenants, by the vendor's id, lies in the files."""
    found: Counter[str] = Counter()
    for tenant in tenants:
        file = setup.events / f"{tenant}.ndjson"
        if file.exists():
            found.update(json.loads(line)["id"] for line in file.read_bytes().splitlines())
    return found


def known(vendor: WithSecureSimulator, number: int) -> set[str]:
    """The ids of the events that the n-th account sees by now."""
    return set(vendor.ledger([account(number).client_id], hashes=False))


async def caught_up(running: Daemon, vendor: WithSecureSimulator, number: int, *tenants: str) -> None:
    """Wait until all that the n-th account sees lies in the files of these tenants; time that runs out is no error."""
    deadline = asyncio.get_running_loop().time() + 30.0
    while asyncio.get_running_loop().time() < deadline:
        found = await asyncio.to_thread(delivered, running.setup, *tenants)
        if known(vendor, number) <= set(found):
            return
        await asyncio.sleep(_LOOK_SECONDS)


def polls(vendor: WithSecureSimulator, number: int) -> list[float]:
    """When the n-th account asked for events, by the monotonic clock."""
    client_id = account(number).client_id
    return [at for at, client, path in vendor.gateway.arrivals if client == client_id and not path.startswith("/as/")]
