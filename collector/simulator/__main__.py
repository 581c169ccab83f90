"""`python -m collector.simulator`: the simulated vendor as a process of its own, steered through `/_sim/`.

The first line on standard output is JSON: `{"base_url", "accounts": [{"client_id", "client_secret",
"organization_id"}]}`; it is printed once the port is open. SIGTERM or SIGINT ends the process with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import uuid
from datetime import UTC, datetime, timedelta

from collector.simulator.accounts import COMPANY, Account, Organization
from collector.simulator.cloud import Drip
from collector.simulator.faults import BAD_DAY
from collector.simulator.withsecure import WithSecureSimulator


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m collector.simulator", description="A simulated WithSecure Elements API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=1, help="credentials, each of a company of its own")
    parser.add_argument("--events", type=int, default=0, help="events that are there from the start")
    parser.add_argument("--hours", type=float, default=12.0, help="... spread over the hours before it")
    parser.add_argument("--rate", type=float, default=0.0, help="live events a second")
    parser.add_argument("--limit", type=int, default=300, help="requests that the vendor admits ...")
    parser.add_argument("--per", type=float, default=60.0, help="... in so many seconds")
    parser.add_argument("--expires-in", type=int, default=1797, help="seconds that a token lives")
    parser.add_argument("--bad-day", action="store_true", help="all everyday faults on")
    return parser.parse_args(argv)


def numbered_account(number: int) -> Account:
    """The n-th company with its credential; the first is the well-known one."""
    if number == 0:
        return COMPANY
    name = f"Company {number:04d} Oy"
    organization = Organization(str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name)
    return Account(f"fusion_{number:016x}", f"simulated/secret+of={number}", organization)


def build(arguments: argparse.Namespace) -> WithSecureSimulator:
    """The simulator that the command line asks for."""
    accounts = [numbered_account(number) for number in range(arguments.accounts)]
    simulator = WithSecureSimulator(accounts, seed=arguments.seed, requests=arguments.limit, per_seconds=arguments.per)
    simulator.logins.expires_in = arguments.expires_in
    now = datetime.now(UTC)
    if arguments.events:
        simulator.cloud.fill(arguments.events, now - timedelta(hours=arguments.hours), now)
    if arguments.rate:
        simulator.cloud.drip(Drip(arguments.rate))
    if arguments.bad_day:
        simulator.faults.switch_on_all(BAD_DAY)
    return simulator


async def run(arguments: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulator = build(arguments)
    async with simulator.serve(arguments.host, arguments.port) as base_url:
        accounts = [
            {"client_id": each.client_id, "client_secret": each.client_secret, "organization_id": each.organization.id}
            for each in simulator.cloud.accounts.values()
        ]
        sys.stdout.write(json.dumps({"base_url": base_url, "accounts": accounts}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(parse()))
