"""The vendor's organizations that a partner's credentials see and nobody mapped to a tenant.

Their events are delivered under the partner's tenant. Each is announced once in the log, and stands in the status for
as long as it is not mapped; after a restart, as soon as something of it is delivered again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from collector.metrics import METRICS
from collector.model import Event, StreamId, organization_key
from collector.pipeline.events import TenantView
from collector.timestamps import format_utc

log = structlog.get_logger()

MOST = 1000
_LONGEST = 200
_NAMED = 3

Source = tuple[str, str]


@dataclass(slots=True)
class Stranger:
    """An organization without a tenant; times are those of fetching."""

    id: str
    name: str
    first_seen: datetime
    last_seen: datetime
    events: int = 0


class Organizations:
    """Those of every source, by (tenant, source); of one source the first `MOST`."""

    def __init__(self) -> None:
        self._seen: dict[Source, dict[str, Stranger]] = {}

    def note(self, stream: StreamId, event: Event) -> None:
        """Count an event of an organization without a tenant."""
        labels = {"tenant": stream.tenant, "source": stream.source}
        METRICS.events_without_tenant.labels(**labels, feed=stream.feed).inc()
        strangers = self._seen.setdefault((stream.tenant, stream.source), {})
        key = organization_key(event.organization_id)
        stranger = strangers.get(key)
        if stranger is None:
            if len(strangers) >= MOST:
                return
            stranger = Stranger(
                event.organization_id[:_LONGEST],
                event.organization_name[:_LONGEST],
                event.fetched_at,
                event.fetched_at,
            )
            strangers[key] = stranger
            METRICS.organizations_without_tenant.labels(**labels).set(len(strangers))
            log.warning(
                "organization without tenant: its events carry the partner's",
                **labels,
                organization_id=stranger.id,
                organization=stranger.name,
            )
        stranger.events += 1
        stranger.first_seen = min(stranger.first_seen, event.fetched_at)
        stranger.last_seen = max(stranger.last_seen, event.fetched_at)
        stranger.name = event.organization_name[:_LONGEST] or stranger.name

    def follow(self, tenants: Mapping[str, TenantView]) -> None:
        """Let go of those that have a tenant by now."""
        for (tenant, source), strangers in self._seen.items():
            view = tenants.get(tenant)
            settled = [key for key in strangers if view is None or not view.is_without_tenant(key)]
            for key in settled:
                del strangers[key]
            if settled and view is not None:
                METRICS.organizations_without_tenant.labels(tenant=tenant, source=source).set(len(strangers))

    def all(self) -> list[tuple[str, str, list[Stranger]]]:
        """(tenant, source, organizations) of the sources that have any, in the order of first sight."""
        found = [(*source, list(strangers.values())) for source, strangers in self._seen.items() if strangers]
        return sorted(found, key=lambda one: one[:2])

    def as_json(self) -> list[dict[str, Any]]:
        """`all` for the status: `{"tenant", "source", "organizations": [...]}`."""
        return [
            {"tenant": tenant, "source": source, "organizations": [_json(one) for one in strangers]}
            for tenant, source, strangers in self.all()
        ]

    def warnings(self) -> list[str]:
        """A sentence for each source that has any."""
        return [_warning(tenant, source, strangers) for tenant, source, strangers in self.all()]


def _json(stranger: Stranger) -> dict[str, Any]:
    return {
        "id": stranger.id,
        "name": stranger.name,
        "first_seen": format_utc(stranger.first_seen),
        "last_seen": format_utc(stranger.last_seen),
        "events": stranger.events,
    }


def _warning(tenant: str, source: str, strangers: list[Stranger]) -> str:
    told = ", ".join(f"{one.name} ({one.id})" if one.name else one.id for one in strangers[:_NAMED])
    more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
    counted = "1 organization" if len(strangers) == 1 else f"{len(strangers)} organizations"
    return (
        f"{tenant}/{source}: {counted} without tenant: {told}{more}; delivered as {tenant}: "
        "name them under organizations"
    )
