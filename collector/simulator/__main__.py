"""`python -m collector.simulator`: simulated vendors as a process of its own, steered through `/_sim/`.

The first line on standard output is JSON, printed once the ports are open. WithSecure: `{"base_url", "accounts":
[{"client_id", "client_secret", "organization_id"}]}`. ESET: `{"base_url", "accounts": [{"username", "password",
"name"}]}`. Both: the first with the second under `eset`. SIGTERM or SIGINT ends the process with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.simulator.accounts import COMPANY, Account, Organization
from collector.simulator.cloud import Drip
from collector.simulator.eset import BAD_DAY as ESET_BAD_DAY
from collector.simulator.eset import HARBOUR, DetectionDrip, EsetAccount, EsetSimulator
from collector.simulator.faults import BAD_DAY
from collector.simulator.withsecure import WithSecureSimulator

_HOUR_SECONDS = 3600.0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m collector.simulator", description="Simulated vendor APIs on loopback")
    parser.add_argument("--vendor", choices=("withsecure", "eset", "both"), default="withsecure")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--eset-port", type=int, default=0, help="ESET's where both vendors run; 0: a free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=1, help="credentials per vendor, each of a company of its own")
    parser.add_argument("--events", type=int, default=0, help="events per vendor that are there from the start")
    parser.add_argument("--incidents", type=int, default=0, help="incidents per vendor that are there from the start")
    parser.add_argument("--hours", type=float, default=12.0, help="... spread over the hours before it")
    parser.add_argument("--rate", type=float, default=0.0, help="live events a second and vendor")
    parser.add_argument("--changes", type=float, default=0.0, help="changes of incidents a second and vendor")
    parser.add_argument("--limit", type=int, help="requests that each vendor admits (300; ESET: 10) ...")
    parser.add_argument("--per", type=float, help="... in so many seconds (60; ESET: 1)")
    parser.add_argument("--expires-in", type=int, help="seconds that a token lives (1797; ESET: 3600)")
    parser.add_argument("--bad-day", action="store_true", help="all everyday faults on")
    return parser.parse_args(argv)


def numbered_account(number: int) -> Account:
    """The n-th company with its credential; the first is the well-known one."""
    if number == 0:
        return COMPANY
    name = f"Company {number:04d} Oy"
    organization = Organization(str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name)
    return Account(f"fusion_{number:016x}", f"simulated/secret+of={number}", organization)


def numbered_user(number: int) -> EsetAccount:
    """The n-th company with its API user; the first is the well-known one."""
    if number == 0:
        return HARBOUR
    name = f"Company {number:04d} Ltd"
    return EsetAccount(f"api@company{number:04d}.example", f"simulated/secret+of={number}", name)


def build(arguments: argparse.Namespace) -> WithSecureSimulator:
    """The simulated WithSecure that the command line asks for."""
    accounts = [numbered_account(number) for number in range(arguments.accounts)]
    simulator = WithSecureSimulator(accounts, seed=arguments.seed)
    simulator.gateway.set_limit(arguments.limit or 300, arguments.per or 60.0)
    simulator.logins.expires_in = arguments.expires_in or simulator.logins.expires_in
    now = datetime.now(UTC)
    begin = now - timedelta(hours=arguments.hours)
    if arguments.events:
        simulator.cloud.fill(arguments.events, begin, now)
    if arguments.incidents:
        simulator.cloud.incidents.open(arguments.incidents, begin, now)
    if arguments.rate:
        simulator.cloud.drip(Drip(arguments.rate))
    if arguments.changes:
        simulator.cloud.incidents.live(arguments.changes)
    if arguments.bad_day:
        simulator.faults.switch_on_all(BAD_DAY)
    return simulator


def build_eset(arguments: argparse.Namespace) -> EsetSimulator:
    """The simulated ESET Connect that the command line asks for; its incidents change for an hour."""
    accounts = [numbered_user(number) for number in range(arguments.accounts)]
    simulator = EsetSimulator(accounts, seed=arguments.seed)
    simulator.gateway.set_limit(arguments.limit or 10, arguments.per or 1.0)
    simulator.logins.expires_in = arguments.expires_in or simulator.logins.expires_in
    now = datetime.now(UTC)
    begin = now - timedelta(hours=arguments.hours)
    if arguments.events:
        simulator.cloud.fill(arguments.events, begin, now)
    if arguments.incidents:
        simulator.incidents.fill(arguments.incidents, begin, now)
        simulator.incidents.stir(round(arguments.changes * _HOUR_SECONDS), _HOUR_SECONDS)
    if arguments.rate:
        simulator.cloud.drip(DetectionDrip(arguments.rate))
    if arguments.bad_day:
        simulator.faults.switch_on_all(ESET_BAD_DAY)
    return simulator


async def run(arguments: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        told: dict[str, Any] = {}
        if arguments.vendor != "eset":
            vendor = build(arguments)
            told["base_url"] = await stack.enter_async_context(vendor.serve(arguments.host, arguments.port))
            told["accounts"] = [
                {
                    "client_id": each.client_id,
                    "client_secret": each.client_secret,
                    "organization_id": each.organization.id,
                }
                for each in vendor.cloud.accounts.values()
            ]
        if arguments.vendor != "withsecure":
            eset = build_eset(arguments)
            port = arguments.port if arguments.vendor == "eset" else arguments.eset_port
            base_url = await stack.enter_async_context(eset.serve(arguments.host, port))
            users = [
                {"username": each.username, "password": each.password, "name": each.name}
                for each in eset.cloud.accounts.values()
            ]
            told |= {"eset": {"base_url": base_url, "accounts": users}}
        sys.stdout.write(json.dumps(told["eset"] if arguments.vendor == "eset" else told) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(parse()))
