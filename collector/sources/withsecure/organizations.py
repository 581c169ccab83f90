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
MOST_PAGES = 100
_LIMIT = "200"


async def list_organizations(client: WithSecureClient) -> list[Organization]:
    """All of them, in the vendor's order, each once.

    Raises:
        SourceError: they can't be listed.
    """
    found: dict[str, Organization] = {}
    anchors: set[str] = set()
    anchor: str | None = None
    for _ in range(MOST_PAGES):
        page, anchor = await read_organizations(client, Lane.TIP, anchor)
        for organization in page:
            found.setdefault(organization_key(organization.id), organization)
        if anchor is None or anchor in anchors:
            break
        anchors.add(anchor)
    return list(found.values())


async def read_organizations(
    client: WithSecureClient, lane: Lane, anchor: str | None
) -> tuple[list[Organization], str | None]:
    """One page, from `anchor` on; and what leads to the next one, None behind the last.

    Raises:
        SourceError: it can't be read.
    """
    query = [("limit", _LIMIT), *([] if anchor is None else [("anchor", anchor)])]
    page = read_json((await client.get(PATH, lane, query)).body)
    items, following = page.get("items"), page.get("nextAnchor")
    if not isinstance(items, list):
        raise SourceUnavailable(f"{PATH}: the answer has no items")
    return list(filter(None, map(_organization, items))), following if isinstance(
        following, str
    ) and following else None


def _organization(item: Any) -> Organization | None:
    told = item if isinstance(item, dict) else {}
    identity, name = told.get("id"), told.get("name")
    if not isinstance(identity, str) or not identity.strip():
        return None
    return Organization(identity, name if isinstance(name, str) else "")
