from __future__ import annotations

import json
from typing import Any

import pytest

from collector.errors import SourceDenied, SourceUnavailable
from collector.sources.base import Organization, SeesOrganizations
from tests.unit.sources.withsecure.vendor import Asked, Say, Vendor, bench, error

PATH = "/organizations/v1/organizations"


class Partner(Vendor):
    """Lists its organizations, two a page, whatever the limit."""

    rows: list[Any]
    circles = False

    def _page(self, asked: Asked) -> Say:
        assert asked.path == PATH
        start = int(asked["anchor"] or 0)
        rest = len(self.rows) > start + 2
        tail = {"nextAnchor": "0" if self.circles and start else str(start + 2)} if rest or self.circles else {}
        return Say(body=json.dumps({"items": self.rows[start : start + 2], **tail}).encode())


async def listed(*rows: Any, circles: bool = False) -> tuple[list[Organization], list[Asked]]:
    async with bench(vendor_type=Partner) as it:
        assert isinstance(it.vendor, Partner)
        assert isinstance(it.source, SeesOrganizations)
        it.vendor.rows, it.vendor.circles = list(rows), circles
        found = await it.source.organizations()
        return list(found or ()), [asked for asked in it.vendor.asked if asked.path == PATH]


def row(number: int) -> dict[str, str]:
    return {"id": f"o-{number}", "name": f"Customer {number}", "type": "company"}


async def test_all_pages_of_organizations_are_read() -> None:
    found, asked = await listed(*map(row, range(5)))

    assert found == [Organization(f"o-{number}", f"Customer {number}") for number in range(5)]
    assert [request.form for request in asked] == [
        [("limit", "200")],
        [("limit", "200"), ("anchor", "2")],
        [("limit", "200"), ("anchor", "4")],
    ]


async def test_an_organization_served_twice_is_one_and_what_is_none_is_left_out() -> None:
    found, _ = await listed(
        row(1), {"id": "O-1"}, {"id": 7}, {"name": "x"}, None, {"id": " "}, {"id": "o-2", "name": 3}
    )

    assert found == [Organization("o-1", "Customer 1"), Organization("o-2", "")]


async def test_anchors_that_go_in_a_circle_end() -> None:
    found, asked = await listed(row(1), row(2), row(3), circles=True)

    assert len(found) == 3
    assert len(asked) <= 4


async def test_what_keeps_the_list_from_us_is_raised() -> None:
    async with bench(vendor_type=Partner) as it:
        it.vendor.says_on = PATH
        it.vendor.says.extend([error(403, "no rights"), Say(body=b"{}"), Say(body=b"<html>")])
        assert isinstance(it.source, SeesOrganizations)
        with pytest.raises(SourceDenied, match="no rights"):
            await it.source.organizations()
        with pytest.raises(SourceUnavailable, match="no items"):
            await it.source.organizations()
        with pytest.raises(SourceUnavailable, match="no items"):
            await it.source.organizations()
