"""A vendor with incidents: served by their last change, each with its detections in an order that says nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from collector.testing import FakeClock
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.withsecure.vendor import Asked, Bench, Say, Vendor, bench, error

INCIDENTS, DETECTIONS = "/incidents/v1/incidents", "/incidents/v1/detections"
ORGANIZATIONS = "/organizations/v1/organizations"


class IncidentVendor(Vendor):
    """`refused`: answers to requests for detections by incident, instead of them, as long as they stand there.

    `organizations`: names by id, `organizations_say` an answer instead of their list; `a_page` of them.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.says_on = INCIDENTS
        self.incidents: dict[str, dict[str, Any]] = {}
        self.members: dict[str, list[str]] = {}
        self.refused: dict[str, Say] = {}
        self.refuses_all: Say | None = None
        self.organizations: dict[str, str] = {}
        self.organizations_say: Say | None = None
        self.a_page = 200

    def open(self, name: str, at: datetime, detections: int = 0, **more: Any) -> None:
        stamp = format_utc(at)
        self.incidents[name] = {
            "incidentId": name,
            "incidentPublicId": f"public-{name}",
            "organizationId": "org",
            "name": f"name of {name}",
            "status": "new",
            "riskLevel": "high",
            "resolution": "unconfirmed",
            "createdTimestamp": stamp,
            "updatedTimestamp": stamp,
            **more,
        }
        self.members[name] = [f"{name}-d{number:03}" for number in range(detections)]

    def change(self, name: str, at: datetime | None = None, **to: Any) -> None:
        """`at` None leaves the time of the last change as it was."""
        moved = {} if at is None else {"updatedTimestamp": format_utc(at)}
        self.incidents[name] = {**self.incidents[name], **moved, **to}

    @property
    def asked_incidents(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == INCIDENTS]

    @property
    def asked_organizations(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == ORGANIZATIONS]

    @property
    def asked_detections(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == DETECTIONS]

    def _page(self, asked: Asked) -> Say:
        if asked.path == DETECTIONS:
            return self._detections(asked)
        if asked.path == ORGANIZATIONS:
            return self._organizations(asked)
        if asked.path != INCIDENTS:
            return super()._page(asked)
        start = parse_rfc3339(asked["updatedTimestampStart"] or "")
        end = parse_rfc3339(asked["updatedTimestampEnd"] or "")
        if not start <= end <= start + timedelta(days=30):
            return error(400, "bad range", 400000)
        found = sorted(
            ((each["updatedTimestamp"], name) for name, each in self.incidents.items()),
            reverse=asked["order"] == "desc",
        )
        found = [position for position in found if start <= parse_rfc3339(position[0]) < end]
        if asked["anchor"] is not None:
            after = tuple(json.loads(asked["anchor"]))
            found = [position for position in found if position > after]
        limit = int(asked["limit"] or "0")
        items = [self.incidents[name] for _, name in found[:limit]]
        return _say(items, json.dumps(found[limit - 1]) if len(found) > limit else None)

    def _organizations(self, asked: Asked) -> Say:
        if self.organizations_say is not None:
            return self.organizations_say
        start = int(asked["anchor"] or "0")
        rows = [{"id": each, "name": name, "type": "company"} for each, name in self.organizations.items()]
        end = start + self.a_page
        return _say(rows[start:end], str(end) if len(rows) > end else None)

    def _detections(self, asked: Asked) -> Say:
        name = asked["incidentId"] or ""
        if self.refuses_all is not None or name in self.refused:
            return self.refuses_all or self.refused[name]
        after, limit = asked["anchor"] or "", int(asked["limit"] or "0")
        left = [member for member in self.members[name] if member > after]
        created = self.incidents[name]["createdTimestamp"]
        items = [{"detectionId": each, "incidentId": name, "createdTimestamp": created} for each in left[:limit]]
        return _say(items, left[limit - 1] if len(left) > limit else None)


def _say(items: list[dict[str, Any]], anchor: str | None) -> Say:
    return Say(body=json.dumps({"items": items, **({} if anchor is None else {"nextAnchor": anchor})}).encode())


class IncidentBench(Bench):
    vendor: IncidentVendor


def incident_ids(names: list[str]) -> list[str]:
    return [name.partition("@")[0] for name in names if "@" in name]


def detection_ids(names: list[str]) -> list[str]:
    return [name for name in names if "@" not in name]


@asynccontextmanager
async def incidents(**config: Any) -> AsyncIterator[IncidentBench]:
    async with bench(vendor_type=IncidentVendor, feed="incidents", **config) as it:
        yield cast(IncidentBench, it)
