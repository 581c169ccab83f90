"""Whose events a credential sees."""

from __future__ import annotations

from collector.simulator import Account, Organization, WithSecureSimulator
from tests.unit.simulator.conftest import Connect
from tests.unit.simulator.reader import SetClock, fill, ids

NORTH = Organization("11111111-1111-4111-8111-111111111111", "North Oy")
SOUTH = Organization("22222222-2222-4222-8222-222222222222", "South Oy")
RESELLER = Organization("33333333-3333-4333-8333-333333333333", "Reseller Oy", "partner")
PARTNER = Account("fusion_partner", "p", RESELLER, (NORTH, SOUTH))
NORTHERN = Account("fusion_north", "n", NORTH)


async def test_partner_sees_all_organizations_and_a_company_its_own(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    everything = fill(sim)
    partner, north = await connect(sim, PARTNER), await connect(sim, NORTHERN)

    of_north = ids(await north.walk())
    of_partner = ids(await partner.walk())
    filtered = ids(await partner.walk(organizationId=NORTH.id))
    foreign = await north.page(organizationId=SOUTH.id)

    assert sorted(of_partner) == sorted(everything)
    assert of_north == filtered
    assert 200 < len(of_north) < 500
    assert foreign.status == 403
    assert sim.violations == []


async def test_ledger_of_a_credential_holds_what_it_may_see(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    fill(sim)
    north = await connect(sim, NORTHERN)

    met = ids(await north.walk())

    ledger = sim.ledger([NORTHERN.client_id])
    assert sorted(ledger) == sorted(met)
    assert all(entry["by_client"] == {NORTHERN.client_id: 1} for entry in ledger.values())
    assert len(sim.ledger()) == 1000


async def test_whoami_names_client_and_organization(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    partner = await connect(sim, PARTNER)

    known, extra = await partner.get("/whoami/v1/whoami"), await partner.get("/whoami/v1/whoami?verbose=1")

    assert known.json == {"clientId": "fusion_partner", "organizationId": RESELLER.id}
    assert extra.status == 400


async def test_organizations_are_listed_in_pages(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    partner = await connect(sim, PARTNER)
    path = "/organizations/v1/organizations"

    everything = (await partner.get(path)).json
    first = (await partner.get(f"{path}?limit=2")).json
    rest = (await partner.get(f"{path}?limit=2&anchor={first['nextAnchor']}")).json
    companies = (await partner.get(f"{path}?type=company")).json

    assert everything["items"] == [
        {"id": each.id, "name": each.name, "type": each.type} for each in (NORTH, SOUTH, RESELLER)
    ]
    assert first["items"] + rest["items"] == everything["items"]
    assert "nextAnchor" not in everything | rest
    assert [each["name"] for each in companies["items"]] == ["North Oy", "South Oy"]
    assert (await partner.get(f"{path}?limit=201")).status == 400
    assert (await partner.get(f"{path}?type=planet")).status == 400
