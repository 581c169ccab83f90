"""Incidents carry the names of their devices, as far as device management tells them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import pytest

from collector.model import Lane, Page, Record
from collector.sources.base import Source
from collector.sources.eset.devices import DeviceName
from collector.sources.eset.incident_devices import IncidentDevices
from collector.sources.eset.normalize import normalize
from collector.testing.clock import START
from collector.timestamps import format_utc
from tests.unit.sources.eset.test_owners import AFTER
from tests.unit.sources.eset.vendor import INCIDENTS, bench

MINUTE = timedelta(minutes=1)


class Names:
    """Knows `d-0`, `d-1` ..., all but those in `strangers`."""

    def __init__(self, *strangers: str) -> None:
        self.strangers = strangers
        self.asked: list[list[str]] = []

    async def names(self, uuids: Collection[str], lane: Lane) -> Mapping[str, DeviceName]:
        assert lane is Lane.TIP
        self.asked.append(sorted(uuids))
        return {
            uuid: DeviceName(uuid=uuid, display_name=f"ws-{uuid}", owner_uuid="a")
            for uuid in uuids
            if uuid.startswith("d-") and uuid not in self.strangers
        }


def incident(*devices: str, extra: bytes | None = None) -> Record:
    return Record("i", 0, None, json.dumps({"uuid": "i", "deviceUuids": devices}).encode(), extra)


async def put(names: Names, *records: Record) -> list[Any]:
    page = Page(records, AFTER, more=False, fetched_at=START, watermark=START)
    found = await IncidentDevices(names).put(Lane.TIP, page)
    assert [(one.id, one.raw) for one in found.records] == [(one.id, one.raw) for one in records]
    return [None if one.extra is None else json.loads(one.extra) for one in found.records]


async def test_an_incident_with_one_device_carries_all_that_is_known_of_it() -> None:
    assert await put(Names(), incident("d-1")) == [
        {"devices": [{"uuid": "d-1", "displayName": "ws-d-1", "ownerUuid": "a"}]}
    ]


async def test_an_incident_with_several_devices_carries_the_names_of_the_first_ten() -> None:
    names = Names("d-3")
    (extra,) = await put(names, incident(*(f"d-{number}" for number in range(200))))

    kept = [number for number in range(10) if number != 3]
    assert extra == {"devices": [{"uuid": f"d-{number}", "displayName": f"ws-d-{number}"} for number in kept]}
    assert names.asked == [[f"d-{number}" for number in range(10)]]


async def test_the_devices_of_a_page_are_asked_for_together_and_what_stood_beside_a_record_stays() -> None:
    names = Names("d-2")
    extras = await put(
        names, incident("d-1", extra=b'{"comments":[1]}'), incident("d-2", extra=b'{"owner":"a"}'), incident()
    )

    assert names.asked == [["d-1", "d-2"]]
    assert extras[0] == {"devices": [{"uuid": "d-1", "displayName": "ws-d-1", "ownerUuid": "a"}], "comments": [1]}
    assert extras[1:] == [{"owner": "a"}, None]


async def test_incidents_without_devices_ask_for_none() -> None:
    names = Names()

    assert await put(names) == []
    assert await put(names, incident(), incident("")) == [None, None]
    assert names.asked == []


async def read(source: Source) -> list[Record]:
    after, records = None, list[Record]()
    for _ in range(20):
        page = await source.fetch("incidents", Lane.TIP, after, None)
        after = page.checkpoint
        records += page.records
        if not page.more:
            break
    return records


@pytest.mark.parametrize("by_owner", [None, {"a": "customer"}], ids=["one customer", "by owner"])
@pytest.mark.parametrize("has_service", [True, False], ids=["named", "no device service"])
async def test_a_source_names_the_hosts_of_its_incidents(by_owner: Any, has_service: bool) -> None:
    config = {} if by_owner is None else {"by_owner": by_owner}
    async with bench(feeds=["incidents"], start_from="1h", **config) as it:
        stamp = format_utc(it.vendor.now - MINUTE)
        whole = {"uuid": "i", "createTime": stamp, "updateTime": stamp, "deviceUuids": ["d-1"]}
        it.vendor.filled[INCIDENTS] = json.dumps({"incidents": [{**whole, "deviceUuids": []}]}).encode()
        it.vendor.filled[f"{INCIDENTS}/i"] = json.dumps({"incident": whole}).encode()
        it.vendor.filled[f"{INCIDENTS}/i/comments"] = b"{}"
        if has_service:
            device = {"uuid": "d-1", "displayName": "ws-1", "ownerUuid": "a"}
            it.vendor.filled["/v1/devices/d-1"] = json.dumps({"device": device}).encode()
        records = await read(it.source)

    events = [normalize("incidents", record) for record in records]
    assert [event.fields.get("host.name") for event in events] == ["ws-1" if has_service else None]
    assert [event.fields["host.id"] for event in events] == ["d-1"]
    assert [event.organization_id for event in events] == ["a" if has_service and by_owner else ""]
