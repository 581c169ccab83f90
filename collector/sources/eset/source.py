"""One ESET Connect API user as a `Source`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel

from collector.errors import CheckpointExpired, SourceProtocolError
from collector.model import Checkpoint, Lane, Page, Window
from collector.sources import lanes
from collector.sources.base import BudgetKey, Organization, Source, SourceContext, SourcePlugin
from collector.sources.eset.cef import CEF_TABLE
from collector.sources.eset.client import EsetClient
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.detections import Detections
from collector.sources.eset.devices import Devices
from collector.sources.eset.example import example
from collector.sources.eset.incident_devices import IncidentDevices
from collector.sources.eset.incidents import Incidents
from collector.sources.eset.looking import Look
from collector.sources.eset.normalize import SEVERITY_NUMBERS, normalize
from collector.sources.eset.owners import Owners

FEEDS = ("detections", "incidents")


class Reader(Protocol):
    """One feed."""

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        ...


class EsetSource:
    """Reads the feeds of one API user; its only state is the login and what time it is at the vendor."""

    def __init__(self, config: EsetConfig, context: SourceContext) -> None:
        self.feeds: Sequence[str] = config.feeds
        self._client = EsetClient(config, context.http, context.budget, context.clock)
        self._clock = context.clock
        self._has_devices = config.device_origin is not None
        log = structlog.get_logger().bind(tenant=context.tenant, source=context.name)
        self._devices = devices = Devices(config, self._client, context.clock, log)
        self._owners = None if config.by_owner is None else Owners(devices)
        self._incident_devices = IncidentDevices(devices)
        self._readers: Mapping[str, Reader] = {
            "detections": Detections(config, self._client, devices, context.clock, log),
            "incidents": Incidents(config, self._client, context.clock, log),
        }

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        if feed not in self.feeds:
            raise SourceProtocolError(f"there is no feed {feed}")
        try:
            page = await self._readers[feed].fetch(lane, after, window)
        except CheckpointExpired as exc:
            if exc.resume is not None:
                raise
            raise lanes.expired(after, str(exc)) from exc
        if self._owners is not None:
            page = await self._owners.put(lane, after, page)
        return await self._incident_devices.put(lane, page) if feed == "incidents" else page

    async def organizations(self) -> Sequence[Organization] | None:
        """As `SeesOrganizations.organizations`: the owners of the devices, where events go by them."""
        return None if self._owners is None else await Look(self._client, self._clock).owners()

    def warnings(self) -> Sequence[str]:
        """As `HasWarnings.warnings`: events go without the names of their devices."""
        trouble = self._devices.trouble
        return [] if trouble is None else [trouble]

    async def check(self) -> Sequence[str]:
        """As `Source.check`."""
        remarks: list[str] = []
        time = await self._client.vendor_time(Lane.TIP)
        if not time.known:
            remarks.append("the vendor's answers do not tell its time; this host's clock is used instead")
        elif time.skewed:
            remarks.append(f"this host's clock is {time.skew:+.0f} s off the vendor's")
        look = Look(self._client, self._clock)
        remarks += await look.feeds(self.feeds)
        return remarks + await look.devices() if self._has_devices else remarks


@asynccontextmanager
async def open_source(config: BaseModel, context: SourceContext) -> AsyncIterator[Source]:
    """The running source; it opens nothing before it is asked for something."""
    if not isinstance(config, EsetConfig):
        raise TypeError("an ESET source needs an EsetConfig")
    yield EsetSource(config, context)


def budget_key(config: BaseModel) -> BudgetKey:
    """The vendor counts requests by account and source IP, whatever the service."""
    if not isinstance(config, EsetConfig):
        raise TypeError("an ESET source needs an EsetConfig")
    host = urlsplit(config.auth_origin).netloc.lower()
    return BudgetKey(host=host, account=config.username.strip().lower(), egress=config.way_out)


PLUGIN = SourcePlugin(
    vendor="ESET",
    product="PROTECT",
    feeds=FEEDS,
    config=EsetConfig,
    open=open_source,
    normalize=normalize,
    budget_key=budget_key,
    severity_numbers=SEVERITY_NUMBERS,
    cef=CEF_TABLE,
    example=example,
)
