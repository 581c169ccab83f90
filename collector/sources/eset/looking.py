"""A first look at what an API user can read, for `collector check`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceUnavailable
from collector.model import Lane, organization_key
from collector.sources.base import Organization
from collector.sources.eset.client import EsetClient, NotOffered, Service
from collector.sources.eset.complaints import read_json
from collector.sources.eset.pending import PendingAnswer
from collector.timestamps import format_utc

_PENDING_ASKED = 6
_DEVICE_PAGES = 100
_DEVICES_SECONDS = 30.0
_OWNER = ("ownerUuid", "managementDomain")


class Look:
    """Reads one record of each feed. Lists a user may not see are empty, which is no error to the vendor."""

    def __init__(self, client: EsetClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def feeds(self, feeds: Sequence[str]) -> list[str]:
        """Remarks for the operator, none where each feed has something to read.

        Raises:
            SourceDenied: none of the feeds can be read.
            SourceUnavailable, SourceProtocolError: the vendor gives no answer, or none that says anything.
        """
        remarks: list[str] = []
        denials: list[SourceDenied] = []
        for feed in feeds:
            try:
                found = await (self._detections() if feed == "detections" else self._incidents())
            except SourceDenied as exc:
                denials.append(exc)
                what = "not licensed or not offered" if isinstance(exc, NotOffered) else "denied"
                remarks.append(f"{feed}: {what}: {exc}")
                continue
            if not found:
                span = " for the last 24 hours" if feed == "detections" else ""
                remarks.append(f"{feed}: logged in, but the rights give an empty list{span}")
        if denials and len(denials) == len(feeds):
            raise denials[0]
        return remarks

    async def _detections(self) -> bool:
        """Whether there is one of the last day; a customer without the first version may have the second."""
        now = (await self._client.vendor_time(Lane.TIP)).now
        query = [("pageSize", "1"), ("startTime", format_utc(now - timedelta(days=1))), ("endTime", format_utc(now))]
        try:
            return await self._is_filled("/v1/detections", query, "detections")
        except SourceDenied as first:
            try:
                return await self._is_filled("/v2/detections", query, "detections")
            except SourceDenied:
                raise first from None

    async def _incidents(self) -> bool:
        """Whether there is one at all: none of the last day is a good day."""
        return await self._is_filled("/v2/incidents", [("pageSize", "1"), ("orderBy", "update_time desc")], "incidents")

    async def owners(self) -> list[Organization]:
        """The owners of all devices, each once, with the domain of one of their devices as name.

        Raises:
            SourceError: the devices can't be listed.
        """
        found: dict[str, Organization] = {}
        query = [("pageSize", "1000")]
        for _ in range(_DEVICE_PAGES):
            page = await self._page("device", "/v1/devices", query)
            devices, token = page.get("devices"), page.get("nextPageToken")
            for device in devices if isinstance(devices, list) else ():
                owner, domain = (device.get(k) for k in _OWNER) if isinstance(device, dict) else (None, None)
                if isinstance(owner, str) and owner.strip():
                    name = domain if isinstance(domain, str) else ""
                    found.setdefault(organization_key(owner), Organization(owner, name))
            if not devices or not isinstance(token, str) or not token or ("pageToken", token) in query:
                break
            query = [("pageSize", "1000"), ("pageToken", token)]
        return list(found.values())

    async def devices(self) -> list[str]:
        """A remark where the names of devices can't be read, which holds no event up."""
        try:
            async with asyncio.timeout(_DEVICES_SECONDS):
                await self._page("device", "/v1/devices", [("pageSize", "1")])
        except NotOffered:
            return []  # devices are asked for one by one, too
        except SourceError as exc:
            return [f"device names are not available, events go without them: {exc}"]
        except TimeoutError:
            return ["device names are not available, events go without them: no answer in time"]
        return []

    async def _is_filled(self, path: str, query: Sequence[tuple[str, str]], key: str) -> bool:
        return bool((await self._page("incident", path, query)).get(key))

    async def _page(self, service: Service, path: str, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
        kept: PendingAnswer | None = None
        for _ in range(_PENDING_ASKED):
            answer = await self._client.ask(service, path, query, Lane.TIP, kept)
            if not isinstance(answer, PendingAnswer):
                return read_json(answer.body)
            kept = answer
            await self._clock.sleep(kept.wait())
        raise SourceUnavailable(f"{path}: the vendor takes its time: ask again later")
