from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import structlog

from collector.model import Lane
from collector.sources.eset import devices
from collector.sources.eset.devices import Devices
from collector.timestamps import format_utc
from tests.unit.sources.eset.incident_vendor import Asked, Bench, IncidentVendor

PATH = "/v1/devices"
DEVICE = {
    "uuid": "u-1",
    "displayName": "ws-fin-31",
    "primaryLocalIpAddress": "10.4.1.31",
    "operatingSystem": {"displayName": "Windows 11"},
    "ownerUuid": "contoso",
    "parentGroupUuid": "g-1",
    "lastSyncTime": "2026-03-02T09:00:00Z",
}


def device(number: int) -> dict[str, Any]:
    return {"uuid": f"u-{number}", "displayName": f"ws-{number}"}


class DeviceBench:
    def __init__(self, **config: Any) -> None:
        self.bench = Bench(**config)
        self.clock, self.vendor = self.bench.clock, self.bench.vendor
        self.fleet = {f"u-{number}": device(number) for number in range(40)} | {"u-1": DEVICE}
        self.lists = True
        self.vendor.always.append(self._answer)
        self.devices = Devices(self.bench.config, self.vendor, self.clock, structlog.get_logger())

    def _answer(self, asked: Asked) -> tuple[int, bytes]:
        if asked.path == PATH:
            start = int(asked.query.get("pageToken", "0"))
            page = {"devices": list(self.fleet.values())[start : start + 20], "nextPageToken": str(start + 20)}
            return (200, json.dumps(page).encode()) if self.lists else (404, b"")
        found = self.fleet.get(asked.path.removeprefix(PATH + "/"))
        return (404, b"") if found is None else (200, json.dumps({"device": found}).encode())

    async def names(self, *uuids: str, lane: Lane = Lane.TIP) -> dict[str, str | None]:
        found = await self.devices.names(uuids, lane)
        return {uuid: name.display_name for uuid, name in found.items()}


async def test_a_device_is_asked_for_once_and_keeps_what_is_known_of_it() -> None:
    it = DeviceBench()

    found = await it.devices.names(["u-1"], Lane.TIP)
    again = await it.devices.names(["u-1", "u-1"], Lane.TIP)

    assert msgspec.to_builtins(found["u-1"]) == {key: DEVICE[key] for key in DEVICE if key != "lastSyncTime"}
    assert again == found
    assert [(asked.path, asked.lane) for asked in it.vendor.asked] == [(f"{PATH}/u-1", Lane.SWEEP)]


async def test_a_name_is_asked_for_again_after_hours_and_the_old_one_serves_if_that_fails() -> None:
    it = DeviceBench()
    await it.names("u-1")
    await it.clock.advance(7 * 3600)
    it.vendor.always[0] = lambda _: (500, b"")

    assert await it.names("u-1") == {"u-1": "ws-fin-31"}
    assert len(it.vendor.asked) == 2


async def test_an_unknown_device_is_left_out_and_not_asked_for_again_for_minutes() -> None:
    it = DeviceBench()

    assert await it.names("strange", "u-2") == {"u-2": "ws-2"}
    assert await it.names("strange") == {}
    await it.clock.advance(700)
    assert await it.names("strange") == {}
    assert [asked.path for asked in it.vendor.asked].count(f"{PATH}/strange") == 2


async def test_many_missing_names_come_page_by_page_and_cost_a_few_requests() -> None:
    it = DeviceBench()
    wanted = [f"u-{number}" for number in range(40)]

    first = await it.names(*wanted)
    second = await it.names(*wanted)

    assert len(first) == 25
    assert len(second) == 40
    assert len(it.vendor.asked) <= 12


async def test_without_a_list_of_devices_each_call_asks_for_a_few() -> None:
    it = DeviceBench()
    it.lists = False
    wanted = [f"u-{number}" for number in range(20)]

    sizes = [len(await it.names(*wanted)) for _ in range(4)]

    assert sizes == [5, 11, 17, 20]
    assert [asked.path for asked in it.vendor.asked].count(PATH) == 1


def say(status: int, body: bytes = b"") -> Callable[[Asked], tuple[int, bytes]]:
    return lambda _: (status, body)


@pytest.mark.parametrize(
    "answer",
    [say(500), say(503), say(429), say(403), say(400), say(200, b"<html>"), say(200, b'{"device":{"uu')],
    ids=["500", "503", "429", "403", "400", "html", "torn"],
)
async def test_a_service_that_fails_is_left_alone_for_a_while(answer: Callable[[Asked], tuple[int, bytes]]) -> None:
    it = DeviceBench()
    usual, it.vendor.always[0] = it.vendor.always[0], answer

    assert await it.names("u-2", "u-3") == {}
    assert await it.names("u-4") == {}
    assert len(it.vendor.asked) == 1
    it.vendor.always[0] = usual
    await it.clock.advance(1000)

    assert await it.names("u-2") == {"u-2": "ws-2"}


async def test_a_service_that_fails_is_told_of_with_its_reason_until_it_answers() -> None:
    it = DeviceBench()

    def told() -> str:
        return it.devices.trouble or ""

    assert told() == ""
    usual, it.vendor.always[0] = it.vendor.always[0], say(503)
    began = it.clock.now()
    await it.names("u-2")
    await it.clock.advance(1000)
    await it.names("u-2")

    assert told().startswith(f"device names are not available since {format_utc(began)}: ")
    assert "503" in told()

    it.vendor.always[0] = usual
    await it.clock.advance(1000)
    await it.names("u-2")
    assert told() == ""


async def test_a_service_that_knows_nobody_is_left_alone() -> None:
    it = DeviceBench()
    it.vendor.always[0] = lambda _: (501, b"")
    for number in range(20):
        assert await it.names(f"u-{number}") == {}

    assert len(it.vendor.asked) == 5


@pytest.mark.parametrize("known", [["u-1"], [f"u-{number}" for number in range(7)]], ids=["a device", "the list"])
async def test_however_many_devices_are_unknown_a_service_that_has_answered_is_asked_on(known: list[str]) -> None:
    it = DeviceBench()
    await it.names(*known)

    for number in range(20):
        assert await it.names(f"gone-{number}") == {}

    assert await it.names("u-30") == {"u-30": "ws-30"}


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"device":null}', b'{"device":[]}', b'{"device":{"uuid":"u-9","displayName":"x"}}', b"1"],
)
async def test_an_answer_without_the_device_is_no_name(body: bytes) -> None:
    it = DeviceBench()
    it.vendor.always[0] = lambda _: (200, body)

    assert await it.names("u-2") == {}


async def test_wrongly_typed_members_are_left_out() -> None:
    it = DeviceBench()
    it.fleet["u-2"] = {"displayName": "ws-2", "ownerUuid": 7, "operatingSystem": ["x"], "managementDomain": "x" * 9999}

    found = await it.devices.names(["u-2"], Lane.TIP)

    assert msgspec.to_builtins(found["u-2"]) == {"uuid": "u-2", "displayName": "ws-2"}


async def test_an_answer_that_takes_its_time_is_had_the_next_time() -> None:
    it = DeviceBench()
    it.vendor.slow = 1

    assert await it.names("u-2") == {}
    assert await it.names("u-2") == {}
    await it.clock.advance(5)
    assert await it.names("u-2") == {"u-2": "ws-2"}
    assert [asked.response_id for asked in it.vendor.asked] == [None, "r-1"]


async def test_no_page_waits_longer_than_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    it = DeviceBench()
    monkeypatch.setattr(devices, "_SECONDS", 0.02)

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(IncidentVendor, "get", hang)

    assert await it.names("u-1") == {}
    assert await it.names("u-1") == {}


async def test_a_cancelled_question_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    it = DeviceBench()

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(IncidentVendor, "get", hang)
    task = asyncio.create_task(it.names("u-1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_job_asks_with_the_turns_of_jobs() -> None:
    it = DeviceBench()

    await it.names("u-1", lane=Lane.JOB)

    assert [asked.lane for asked in it.vendor.asked] == [Lane.JOB]


async def test_nothing_is_asked_where_nobody_said_where_devices_are() -> None:
    it = DeviceBench(device_url=None)

    assert await it.names("u-1") == {}
    assert it.vendor.asked == []
