"""What the devices of an incident are called: incidents name them by uuid alone, detections have their names.

The names go into `Record.extra` as `devices`: of an incident with one device all that is known of it, of one with
several the names of the first few. A name is a courtesy: what `Devices` does not know in time is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec
import orjson

from collector.model import Lane, Page, Record
from collector.sources.eset.devices import DeviceName
from collector.sources.eset.owners import devices_of, with_extra

_MOST = 10


class DeviceNames(Protocol):
    """Who knows what devices are called; never raises, and takes a few seconds at most."""

    async def names(self, uuids: Collection[str], lane: Lane) -> Mapping[str, DeviceName]:
        """What is known of these devices."""
        ...


class IncidentDevices:
    """Puts the names of its devices to every record of a page."""

    def __init__(self, devices: DeviceNames) -> None:
        self._devices = devices

    async def put(self, lane: Lane, page: Page) -> Page:
        """The page with what is known of its devices."""
        devices = [uuids[:_MOST] for uuids in await devices_of(page.records)]
        wanted = {uuid: None for uuids in devices for uuid in uuids}
        if not wanted:
            return page
        known = await self._devices.names(list(wanted), lane)
        records = [_named(record, uuids, known) for record, uuids in zip(page.records, devices, strict=True)]
        return replace(page, records=records)


def _named(record: Record, uuids: Sequence[str], known: Mapping[str, DeviceName]) -> Record:
    found = [known[uuid] for uuid in uuids if uuid in known]
    if not found:
        return record
    told: list[Any] = [msgspec.to_builtins(name) for name in found]
    if len(uuids) > 1:
        told = [{"uuid": name.uuid, "displayName": name.display_name} for name in found if name.display_name]
    return with_extra(record, "devices", orjson.dumps(told)) if told else record
