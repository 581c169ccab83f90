"""Whose device it was: with one API user for many customers, the owner of the device tells whose an event is.

Detections and incidents name no customer, devices do (`ownerUuid`, "tenant who owns this object" in the vendor's API
description). The owner goes into `Record.extra` as `owner`, null where it could not be told; of an incident with
devices of several owners it can't. A page whose owners are not all known yet is read again a little later, nothing of
it delivered meanwhile, for as long as `Devices.wait` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from collector.model import Checkpoint, Lane, Page, Record
from collector.sources.eset.devices import DeviceName, Devices
from collector.sources.slicing import is_clean, members_of, value_of
from collector.timestamps import parse_rfc3339

_ON_LOOP_BYTES = 1 << 16
_BEGUN = ("beginning", "started")


class Owners:
    """Puts the owner to every record of a page."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def put(self, lane: Lane, after: Checkpoint | None, page: Page) -> Page:
        """The page with its owners.

        While they are waited for: one without records that stays at `after`, to be asked for again.
        """
        if not page.records:
            return page
        devices = await devices_of(page.records)
        wanted = {uuid for uuids in devices for uuid in uuids}
        known = await self._devices.names(wanted, lane, patient=True)
        wait = self._devices.wait(wanted)
        if wait is not None:
            return _held(lane, after, page, wait)
        records = [
            with_extra(record, "owner", orjson.dumps(_owner(uuids, known)))
            for record, uuids in zip(page.records, devices, strict=True)
        ]
        return replace(page, records=records)


def _held(lane: Lane, after: Checkpoint | None, page: Page, wait: float) -> Page:
    before = after or Checkpoint()
    if after is None and lane is Lane.TIP:  # when the feed began is to be remembered, and no more
        state = {key: page.checkpoint.state[key] for key in _BEGUN}
        before = Checkpoint(parse_rfc3339(state["beginning"]), state=state)
    return replace(page, records=(), checkpoint=before, more=True, watermark=None, retry_after=wait, gaps=())


async def devices_of(records: Sequence[Record]) -> list[list[str]]:
    """The devices that each record names."""
    if sum(len(record.raw) for record in records) <= _ON_LOOP_BYTES:
        return [_devices(record.raw) for record in records]
    return await asyncio.to_thread(lambda: [_devices(record.raw) for record in records])


def _devices(raw: bytes) -> list[str]:
    """The devices that a detection of either version or an incident names, however odd it is otherwise."""
    told = _members(raw)
    listed, device, context = (told.get(key) for key in ("deviceUuids", "device", "context"))
    found = [
        *(listed if isinstance(listed, list) else ()),
        device.get("uuid") if isinstance(device, dict) else None,
        context.get("deviceUuid") if isinstance(context, dict) else None,
    ]
    return list(dict.fromkeys(uuid for uuid in found if isinstance(uuid, str) and is_clean(uuid)))


def _members(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {child.key.decode(errors="replace")[1:-1]: _loose(child.value) for child in members_of(raw)}
    return value if isinstance(value, dict) else {}


def _loose(raw: bytes) -> object:
    """A member of something odd, which may be odd itself."""
    if raw[:1] == b"{":
        return _members(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return value_of(raw)


def _owner(uuids: Collection[str], known: Mapping[str, DeviceName]) -> str | None:
    owners = {name.owner_uuid for uuid in uuids if (name := known.get(uuid)) is not None and name.owner_uuid}
    return owners.pop() if len(owners) == 1 else None


def with_extra(record: Record, name: str, told: bytes) -> Record:
    """The record with one thing more beside it, `told` as JSON; what was there stays as it is, byte by byte."""
    extra = record.extra or b"{}"
    rest = b"}" if extra == b"{}" else b"," + extra[1:]
    return replace(record, extra=b"{" + orjson.dumps(name) + b":" + told + rest)
