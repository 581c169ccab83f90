"""One WithSecure API client as a `Source`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel

from collector.errors import CheckpointExpired, SourceDenied, SourceProtocolError
from collector.model import Checkpoint, Lane, Page, Window
from collector.sources import lanes
from collector.sources.base import BudgetKey, Organization, Source, SourceContext, SourcePlugin
from collector.sources.withsecure.cef import CEF_TABLE
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.config import WithSecureConfig
from collector.sources.withsecure.example import example
from collector.sources.withsecure.incidents import Incidents
from collector.sources.withsecure.normalize import SEVERITY_NUMBERS, normalize
from collector.sources.withsecure.organization_names import OrganizationNames
from collector.sources.withsecure.organizations import list_organizations
from collector.sources.withsecure.security_events import SecurityEvents

FEEDS = ("security_events", "incidents")
_WHOAMI = "/whoami/v1/whoami"


class WithSecureSource:
    """Reads the feeds of one API client; its only state is the login and what time it is at the vendor."""

    def __init__(self, config: WithSecureConfig, context: SourceContext) -> None:
        self.feeds: Sequence[str] = tuple(feed for feed in config.feeds if feed in FEEDS)
        self._client = WithSecureClient(config, context.http, context.budget, context.clock)
        log = structlog.get_logger().bind(tenant=context.tenant, source=context.name)
        self._security_events = SecurityEvents(config, self._client, context.clock, log)
        self._incidents = Incidents(config, self._client, context.clock, log)
        self._names = OrganizationNames(self._client, context.clock, log)

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        if feed not in self.feeds:
            raise SourceProtocolError(f"there is no feed {feed}")
        try:
            if feed == "incidents":
                return await self._names.put(lane, await self._incidents.fetch(lane, after, window))
            return await self._security_events.fetch(lane, after, window)
        except CheckpointExpired as exc:
            if exc.resume is not None:
                raise
            raise lanes.expired(after, str(exc)) from exc

    async def organizations(self) -> Sequence[Organization]:
        """As `SeesOrganizations.organizations`."""
        return await list_organizations(self._client)

    async def check(self) -> Sequence[str]:
        """As `Source.check`."""
        remarks: list[str] = []
        time = await self._client.vendor_time(Lane.TIP)
        if not time.known:
            remarks.append("the vendor's answers do not tell its time; this host's clock is used instead")
        elif time.skewed:
            remarks.append(f"this host's clock is {time.skew:+.0f} s off the vendor's")
        # The vendor's own sanity check of credentials; what matters is whether the feeds can be read.
        with suppress(SourceProtocolError):
            await self._client.get(_WHOAMI, Lane.TIP)
        if "security_events" in self.feeds and not await self._security_events.look():
            remarks.append("security_events: logged in, but the rights give an empty list for the last 24 hours")
        if "incidents" in self.feeds:
            try:
                remarks += [f"incidents: {remark}" for remark in await self._incidents.look()]
            except SourceDenied as exc:
                if "security_events" not in self.feeds:
                    raise
                remarks.append(f"incidents: {exc}")
        return remarks


@asynccontextmanager
async def open_source(config: BaseModel, context: SourceContext) -> AsyncIterator[Source]:
    """The running source; it opens nothing before it is asked for something."""
    if not isinstance(config, WithSecureConfig):
        raise TypeError("a WithSecure source needs a WithSecureConfig")
    yield WithSecureSource(config, context)


def budget_key(config: BaseModel) -> BudgetKey:
    """The vendor counts requests by source IP, whatever the account."""
    if not isinstance(config, WithSecureConfig):
        raise TypeError("a WithSecure source needs a WithSecureConfig")
    return BudgetKey(host=urlsplit(config.base_url).netloc.lower(), account="", egress=config.way_out)


PLUGIN = SourcePlugin(
    vendor="WithSecure",
    product="Elements",
    feeds=FEEDS,
    config=WithSecureConfig,
    open=open_source,
    normalize=normalize,
    budget_key=budget_key,
    severity_numbers=SEVERITY_NUMBERS,
    cef=CEF_TABLE,
    example=example,
)
