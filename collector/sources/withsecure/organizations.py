"""The organizations that an API client sees: a partner's sees all below the partner, a company's its own.

`GET /organizations/v1/organizations` answers with `{"items": [{"id", "name", "type"}], "nextAnchor"}`, at most 200 a
page ("Elements API getting started" and the vendor's own samples).
"""

from __future__ import annotations

from typing import Any

from collector.errors import SourceUnavailable
from collector.model import Lane, organization_key
from collector.sources.base import Organization
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.complaints import read_json

PATH = "/organizations/v1/organizations"
_LIMIT = "200"
_MOST_PAGES = 100


async def list_organizations(client: WithSecureClient) -> list[Organization]:
    """All of them, in the vendor's order, each once.

    Raises:
        SourceError: they can't be listed.
    """
    found: dict[str, Organization] = {}
    anchors: set[str] = set()
    query = [("limit", _LIMIT)]
    for _ in range(_MOST_PAGES):
        page = read_json((await client.get(PATH, Lane.TIP, query)).body)
        items, anchor = page.get("items"), page.get("nextAnchor")
        if not isinstance(items, list):
            raise SourceUnavailable(f"{PATH}: the answer has no items")
        for organization in filter(None, map(_organization, items)):
            found.setdefault(organization_key(organization.id), organization)
        if not isinstance(anchor, str) or not anchor or anchor in anchors:
            break
        anchors.add(anchor)
        query = [("limit", _LIMIT), ("anchor", anchor)]
    return list(found.values())


def _organization(item: Any) -> Organization | None:
    told = item if isinstance(item, dict) else {}
    identity, name = told.get("id"), told.get("name")
    if not isinstance(identity, str) or not identity.strip():
        return None
    return Organization(identity, name if isinstance(name, str) else "")
