"""What a configuration says of the customers behind one credential."""

from __future__ import annotations

import pytest

from collector.config import config_schema

from .conftest import SINKS, TENANTS, Folder


def partner(organizations: str) -> str:
    return TENANTS.replace("{sources", f"{{organizations: {organizations}, sources")


def owners(by_owner: str) -> str:
    source = "{type: eset, region: eu, username: u, password: '${env:SECRET}', by_owner: " + by_owner + "}"
    return f"tenants: {{msp: {{organizations: {{o-1: north}}, sources: [{source}]}}}}\n"


def test_organizations_are_known_by_id_in_any_case(folder: Folder) -> None:
    tenant = folder.load(partner("{' 9C1F-UUID': north}") + SINKS).tenants["acme"]

    assert tenant.mapped == {"9c1f-uuid": "north"}
    assert tenant.names == {"north"}


def test_one_organization_has_one_tenant(folder: Folder) -> None:
    (problem,) = folder.problems(partner("{9c1f: north, 9C1F: south}") + SINKS)

    assert "tenants.acme.organizations: 9c1f stands here twice: upper and lower case make no difference" in problem


def test_an_organization_has_an_id(folder: Folder) -> None:
    (problem,) = folder.problems(partner("{' ': north}") + SINKS)

    assert "tenants.acme.organizations: an organization's id must not be empty" in problem


@pytest.mark.parametrize(
    ("given", "mapped"),
    [
        ("null", {"o-1": "north"}),
        ("false", {"o-1": "north"}),
        ("true", {"o-1": "north"}),
        ("{}", {"o-1": "north"}),
        ("{OWNER-1: south}", {"o-1": "north", "owner-1": "south"}),
    ],
)
def test_owners_are_mapped_beside_organizations(folder: Folder, given: str, mapped: dict[str, str]) -> None:
    tenant = folder.load(owners(given) + SINKS).tenants["msp"]

    assert tenant.mapped == mapped
    assert (tenant.sources[0].own_organizations is None) == (given in {"null", "false"})


def test_owners_that_are_looked_up_need_organizations_and_a_message_says_what_to_do(folder: Folder) -> None:
    def alone(by_owner: str) -> str:
        return owners(by_owner).replace("organizations: {o-1: north}, ", "") + SINKS

    (problem,) = folder.problems(alone("true"))

    assert "tenants.msp.sources[0].by_owner: true finds owners in the tenant's organizations" in problem
    for fine in ("{}", "false", "{o-2: south}"):
        folder.load(alone(fine))


@pytest.mark.parametrize("wrong", ["yes please", "{o: 'a b'}", "[1]"])
def test_owners_that_are_no_map_are_refused_in_one_sentence(folder: Folder, wrong: str) -> None:
    (problem,) = folder.problems(owners(wrong) + SINKS)

    assert "tenants.msp.sources[0].by_owner" in problem


def test_the_schema_takes_a_map_of_owners_or_true() -> None:
    told = config_schema()["$defs"]["EsetConfig"]["properties"]["by_owner"]["anyOf"]

    assert "object" in str(told)
    assert "boolean" in str(told)
    assert "null" in str(told)


def test_who_is_read_with_two_credentials_is_warned_of(folder: Folder) -> None:
    own = "north: {sources: [{type: withsecure, client_id: other, client_secret: '${env:SECRET}'}]}"
    two = partner("{o-1: north}").rstrip().removesuffix("}") + f", {own}}}\n"
    (warning,) = folder.load(two + SINKS).warnings

    assert warning.endswith(
        "tenants.acme.organizations: north/withsecure reads the same vendor: what both see is delivered twice"
    )
