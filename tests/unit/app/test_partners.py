"""One credential for many customers: whose event is whose, and who is told of customers that nobody mapped."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from collector.app.checking import Finding, Seen, check
from collector.errors import SourceDenied
from collector.metrics import METRICS
from collector.sources.base import Organization
from tests.unit.app.world import World, field


def of(organization: str) -> bytes:
    return b'{"org":"%s"}' % organization.encode()


def metric(name: str, **labels: str) -> float | None:
    return METRICS.registry.get_sample_value(f"edr_collector_{name}", labels)


def warnings_in(logs: list[Any]) -> list[str]:
    return [line["organization_id"] for line in logs if line["event"].startswith("organization without tenant")]


@pytest.fixture
def partner(world: World) -> World:
    world.tenants["acme"]["organizations"] = {"ORG-1": "acme-fi", " org-2": "acme-se"}
    return world


async def test_organization_without_a_tenant_is_delivered_under_the_partner_and_announced(partner: World) -> None:
    feed = {"tenant": "acme", "source": "memory", "feed": "alerts"}
    METRICS.forget(**feed)
    for number, organization in enumerate(("org-1", "Org-2", "org-40", "ORG-40", "org-41")):
        partner.vendor().add(number, raw=of(organization))
    with structlog.testing.capture_logs() as logs:
        async with partner.running() as running:
            await running.delivered(5)
            status = await running.operations.status()

    assert field(partner.sink().lines, "tenant") == ["acme-fi", "acme-se", "acme", "acme", "acme"]
    (warning,) = status["warnings"]
    assert warning == (
        "acme/memory: 2 organizations without tenant: Name of ORG-40 (org-40), Name of org-41 (org-41); "
        "delivered as acme: name them under organizations"
    )
    (source,) = status["organizations_without_tenant"]
    assert (source["tenant"], source["source"]) == ("acme", "memory")
    assert source["organizations"][0] == {
        "id": "org-40",
        "name": "Name of ORG-40",
        "first_seen": "2026-11-22T10:11:12.345Z",
        "last_seen": "2026-11-22T10:11:12.345Z",
        "events": 2,
    }
    assert metric("events_without_tenant_total", **feed) == 3
    assert metric("organizations_without_tenant", tenant="acme", source="memory") == 2
    assert warnings_in(logs) == ["org-40", "org-41"]


async def test_company_that_maps_nothing_has_no_organization_without_a_tenant(world: World) -> None:
    world.vendor().add(1, raw=of("org-1"))
    async with world.running() as running:
        await running.delivered(1)
        status = await running.operations.status()

    assert (status["warnings"], status["organizations_without_tenant"]) == ([], [])


async def test_reload_gives_an_organization_its_tenant_without_reading_anything_again(partner: World) -> None:
    partner.vendor().add(1, raw=of("org-40"))
    async with partner.running() as running:
        await running.delivered(1)
        partner.tenants["acme"]["organizations"]["org-40"] = "acme-no"
        await running.reload()
        status = await running.operations.status()
        partner.vendor().add(2, raw=of("org-40"))
        await running.delivered(2)

        assert (status["warnings"], status["organizations_without_tenant"]) == ([], [])
        assert metric("organizations_without_tenant", tenant="acme", source="memory") == 0

    assert field(partner.sink().lines, "tenant") == ["acme", "acme-no"]
    assert len(partner.vendor().contexts) == 1


async def test_owners_are_mapped_by_the_source_and_another_map_does_not_restart_it(world: World) -> None:
    (source,) = world.tenants["acme"]["sources"]
    source["by_owner"] = {}
    for number, owner in ((1, "o-1"), (2, "o-2")):
        world.vendor().add(number, raw=of(owner))
    async with world.running() as running:
        await running.delivered(2)
        announced = (await running.operations.status())["organizations_without_tenant"]
        source["by_owner"] = {"O-1": "north", "o-2": "south"}
        assert await running.reload() == ["~ tenant acme"]
        world.vendor().add(3, raw=of("o-1"))
        await running.delivered(3)
        assert len(world.vendor().contexts) == 1

        source["by_owner"] = None
        await running.reload()
        await running.until(lambda: len(world.vendor().contexts) == 2)

    assert [one["id"] for one in announced[0]["organizations"]] == ["o-1", "o-2"]
    assert field(world.sink().lines, "tenant") == ["acme", "acme", "north"]


async def test_organization_mapped_to_the_partner_itself_is_no_news(partner: World) -> None:
    partner.tenants["acme"]["organizations"]["org-0"] = "acme"
    partner.vendor().add(1, raw=of("org-0"))
    async with partner.running() as running:
        await running.delivered(1)
        assert (await running.operations.status())["warnings"] == []

    assert field(partner.sink().lines, "tenant") == ["acme"]


async def test_mapped_organization_shares_name_and_labels_with_a_tenant_of_that_name(partner: World) -> None:
    partner.tenants["acme"]["labels"] = {"msp": "Acme", "tier": "silver"}
    partner.tenants["acme-fi"] = {"labels": {"tier": "gold"}, "sources": [{"type": "other", "feeds": ["alerts"]}]}
    partner.vendor().add(1, raw=of("org-1"))
    partner.vendor().add(2, raw=of("org-2"))
    partner.vendor("acme-fi", "other").add(3)
    async with partner.running() as running:
        await running.delivered(3)

    lines = dict(zip(field(partner.sink().lines, "id"), partner.sink().lines, strict=True))
    told = {key: (field([line], "tenant")[0], field([line], "labels")[0]) for key, line in lines.items()}
    assert told == {
        "event-1": ("acme-fi", {"msp": "Acme", "tier": "gold"}),
        "event-2": ("acme-se", {"msp": "Acme", "tier": "silver"}),
        "event-3": ("acme-fi", {"tier": "gold"}),
    }


async def test_event_whose_owner_could_not_be_told_is_counted(world: World) -> None:
    feed = {"tenant": "acme", "source": "memory", "feed": "alerts"}
    METRICS.forget(**feed)
    world.vendor().add(1, raw=b'{"owner":"nobody"}')
    async with world.running() as running:
        await running.delivered(1)
        status = await running.operations.status()
        assert metric("events_owner_unknown_total", **feed) == 1

    assert status["feeds"][0]["owner_unknown"] == 1


async def test_events_are_counted_by_day_under_the_tenant_they_carry_over_restarts_too(partner: World) -> None:
    for number, organization in enumerate(("org-1", "org-1", "org-2", "org-40")):
        partner.vendor().add(number, raw=of(organization))
    for name in ("acme", "acme-fi", "acme-se"):
        METRICS.forget(tenant=name)
    async with partner.running() as running:
        await running.delivered(4)
        await running.settled()
    async with partner.running() as running:
        partner.vendor().add(4, raw=of("org-2"))
        await running.delivered(5)
        await running.settled()
        daily = (await running.operations.status())["daily"]

    counted = {(one["tenant"], one["sink"]): one["events"] for one in daily}
    assert counted == {("acme", None): 5, ("acme", "archive"): 1, ("acme-fi", "archive"): 2, ("acme-se", "archive"): 2}
    assert {(one["day"], one["feed"]) for one in daily} == {("2026-11-22", "alerts")}
    assert all(one["bytes"] > 0 for one in daily)
    assert metric("tenant_events_total", tenant="acme-se", feed="alerts", sink="archive") == 2
    assert (metric("tenant_event_bytes_total", tenant="acme-fi", feed="alerts", sink="archive") or 0) > 0


async def test_more_tenants_than_the_metrics_bear_are_announced(
    partner: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    METRICS.forget(sink="archive")
    monkeypatch.setattr("collector.metrics.MAX_TENANT_SERIES", len(METRICS._tenant_series) + 1)
    partner.vendor().add(1, raw=of("org-1"))
    partner.vendor().add(2, raw=of("org-2"))
    async with partner.running() as running:
        await running.delivered(2)
        await running.settled()
        (warning,) = (await running.operations.status())["warnings"]

    METRICS.forget(sink="archive")
    assert warning.endswith("what is beyond is counted as other")


async def test_tenant_name_that_no_event_carries_any_more_leaves_the_metrics(partner: World) -> None:
    labels = {"tenant": "acme-fi", "feed": "alerts", "sink": "archive"}
    partner.vendor().add(1, raw=of("org-1"))
    async with partner.running() as running:
        await running.delivered(1)
        await running.settled()
        assert metric("tenant_events_total", **labels)
        partner.tenants["acme"]["organizations"] = {"org-2": "acme-se"}
        await running.reload()

        assert metric("tenant_events_total", **labels) is None


# -- collector check ----------------------------------------------------------------------------------


async def checked(world: World) -> Finding:
    return await anext(check(world.config(), None))


async def test_check_lists_what_a_partners_credentials_see(partner: World) -> None:
    partner.vendor().customers = [
        Organization("org-1", "North"),
        Organization("ORG-2", "South"),
        Organization("org-3", "East"),
    ]
    finding = await checked(partner)

    assert finding.good
    assert finding.remarks == ["sees 3 organizations: 2 mapped, 1 without tenant: East (org-3)"]
    assert finding.organizations == [
        Seen("org-1", "North", "acme-fi"),
        Seen("ORG-2", "South", "acme-se"),
        Seen("org-3", "East", None),
    ]


async def test_check_tells_what_is_mapped_and_not_seen(partner: World) -> None:
    partner.vendor().customers = [Organization("org-1")]
    finding = await checked(partner)

    assert finding.remarks == [
        "sees 1 organization: 1 mapped, 0 without tenant",
        "mapped, but not among what the credentials see: org-2 (acme-se)",
    ]


async def test_check_names_a_few_of_many(partner: World) -> None:
    partner.vendor().customers = [Organization(f"x-{number}") for number in range(40)]
    partner.tenants["acme"]["organizations"] = {f"y-{number}": "acme-fi" for number in range(8)}
    first, second = (await checked(partner)).remarks

    assert first == "sees 40 organizations: 0 mapped, 40 without tenant: x-0, x-1, x-2, x-3, x-4 and 35 more"
    assert second.endswith("y-4 (acme-fi) and 3 more")


async def test_check_does_not_miss_what_another_source_of_the_tenant_may_see(partner: World) -> None:
    partner.tenants["acme"]["sources"].append({"type": "memory", "name": "second"})
    partner.vendor().customers = [Organization("org-1")]

    assert (await checked(partner)).remarks == ["sees 1 organization: 1 mapped, 0 without tenant"]


@pytest.mark.parametrize("customers", [None, [Organization("org-1")]], ids=["not told", "one"])
async def test_check_says_nothing_of_a_companys_own_organization(
    world: World, customers: list[Organization] | None
) -> None:
    world.vendor().customers = customers
    finding = await checked(world)

    assert (finding.remarks, finding.organizations) == ([], ())


async def test_check_of_a_partner_without_a_map_tells_how_many_there_are(world: World) -> None:
    world.vendor().customers = [Organization("org-1"), Organization("org-2")]

    assert (await checked(world)).remarks == ["sees 2 organizations: 0 mapped, 2 without tenant"]


async def test_organizations_that_cannot_be_listed_fail_no_check(partner: World) -> None:
    partner.vendor().customers = SourceDenied("403")
    finding = await checked(partner)

    assert (finding.good, finding.remarks) == (True, ["the organizations can't be listed: 403"])
