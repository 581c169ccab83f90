"""One credential for many customers, through the real daemon: whose event lies in whose file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collector.simulator import Account, Mix, Organization, WithSecureSimulator
from collector.simulator.eset import EsetAccount, EsetSimulator
from tests.e2e.eset import PUNCTUAL as PUNCTUAL_DETECTIONS
from tests.e2e.eset import api_user, detections_setup
from tests.e2e.harness import Setup, account, arrived, daemon

PUNCTUAL = Mix(late=0.0)
CUSTOMERS = [Organization(f"9C1F0000-0000-4000-8000-{number:012X}", f"Customer {number} Oy") for number in range(2, 42)]
STRANGER = CUSTOMERS[-1]
PATH = "{tenant}/{organization}.ndjson"


def mapping() -> dict[str, str]:
    """All but one, however somebody wrote the letters of their ids."""
    return {one.id.lower(): f"customer-{number}" for number, one in enumerate(CUSTOMERS[:-1])}


def partner_vendor() -> WithSecureSimulator:
    company = account(0)
    partner = Account(company.client_id, company.client_secret, Organization("p-1", "Msp Oy", "partner"), (*CUSTOMERS,))
    return WithSecureSimulator([partner], seed=1, requests=100_000)


def in_files(setup: Setup) -> dict[tuple[str, str], Counter[tuple[str, str, str]]]:
    """By folder and file: tenant, organization's id and event's id of the lines."""
    return {
        (file.parent.name, file.stem): Counter(
            (event["tenant"], event["organization"]["id"], event["id"])
            for event in map(json.loads, file.read_bytes().splitlines())
        )
        for file in setup.events.rglob("*.ndjson")
    }


def owner_of(event: dict[str, Any]) -> str:
    """The organization that stands on an event."""
    return str(event["organization"]["id"])


async def checked(setup: Setup) -> dict[str, Any]:
    """What `collector check` finds of the first source."""
    environment = os.environ | {"SECRET_0": setup.kind.secret(0)}
    command = (sys.executable, "-m", "collector", "check", str(setup.config), "--json")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60.0):
        output, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(output)["checks"][0]
    return found


async def test_a_partners_events_go_to_their_customers_and_who_is_not_mapped_is_announced(tmp_path: Path) -> None:
    vendor = partner_vendor()
    now = datetime.now(UTC)
    vendor.cloud.fill(800, now - timedelta(hours=12), now, organizations=CUSTOMERS, mix=PUNCTUAL)
    setup = Setup(tmp_path, "", sink={"path": f"{tmp_path}/events/{PATH}"})
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        tenant = {"organizations": mapping(), "sources": [setup.kind.keys(0, setup.base_url)]}
        setup.top = {"tenants": {"t0": tenant}}
        setup.write()
        finding = await checked(setup)
        await running.start()
        status = await running.until(lambda status: bool(status["sinks"][0]["delivered"] >= 800))
        verdict = await arrived(vendor, running)
        assert await running.stop() == 0

    assert verdict.good, verdict
    known = mapping()
    files = in_files(setup)
    for (folder, name), lines in files.items():
        for (tenant_name, organization, _), times in lines.items():
            assert (tenant_name, times) == (known.get(organization.lower(), "t0"), 1)
            assert (folder, name) == (tenant_name, organization)
    assert set(files) == {(known.get(one.id.lower(), "t0"), one.id) for one in CUSTOMERS}
    (source,) = status["organizations_without_tenant"]
    assert [(one["id"], one["name"]) for one in source["organizations"]] == [(STRANGER.id, STRANGER.name)]
    (warning,) = status["warnings"]
    assert warning.startswith(f"t0/withsecure: 1 organization without tenant: {STRANGER.name} ({STRANGER.id})")
    said = [json.loads(line) for line in running.output.read_text().splitlines() if line.startswith("{")]
    assert [line["organization_id"] for line in said if "organization without tenant" in str(line)] == [STRANGER.id]
    assert finding["remarks"][0].startswith("sees 41 organizations: 39 mapped, 2 without tenant: ")
    assert sum(one["tenant"] is None for one in finding["organizations"]) == 2


async def test_an_msps_detections_go_to_the_owners_of_the_devices(tmp_path: Path) -> None:
    user = api_user(0)
    owners = tuple(f"0e5e0000-0000-4000-8000-{number:012d}" for number in range(4))
    vendor = EsetSimulator([EsetAccount(user.username, user.password, user.name, owners)], seed=1, requests=100_000)
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(days=1), now, mix=PUNCTUAL_DETECTIONS)
    setup = detections_setup(tmp_path, "", sink={"path": f"{tmp_path}/events/{PATH}"})
    known = {owner: f"customer-{number}" for number, owner in enumerate(owners[:-1])}
    async with vendor.serve() as setup.base_url, daemon(setup) as running:
        setup.source = {"by_owner": known}
        setup.write()
        finding = await checked(setup)
        await running.start()
        verdict = await arrived(vendor, running)
        status = await running.status()
        assert await running.stop() == 0

    assert verdict.good, verdict
    devices = vendor.cloud.devices[user.username]
    events = [json.loads(line) for file in setup.events.rglob("*.ndjson") for line in file.read_bytes().splitlines()]
    assert {owner_of(event) for event in events} == {*owners, ""}
    for event in events:
        owner = owner_of(event)
        device = devices.get(event["fields"].get("host.id"), {})
        assert owner == device.get("ownerUuid", "")
        assert event["tenant"] == known.get(owner, "t0")
        assert ("owner_unknown" in event["flags"]) == (not owner)
    assert Counter(event["id"] for event in events).most_common(1)[0][1] == 1
    assert status is not None
    (source,) = status["organizations_without_tenant"]
    assert [one["id"] for one in source["organizations"]] == [owners[-1]]
    assert status["feeds"][0]["owner_unknown"] == sum(not owner_of(event) for event in events)
    assert finding["remarks"][-1].startswith("sees 4 organizations: 3 mapped, 1 without tenant: ")
