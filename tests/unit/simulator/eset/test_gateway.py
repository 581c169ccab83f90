"""What every request and every answer has to carry, and how many may come."""

from __future__ import annotations

import uuid

import aiohttp
import pytest

from collector.simulator.eset import HARBOUR, EsetAccount, EsetSimulator
from tests.unit.simulator.eset.conftest import Connect
from tests.unit.simulator.eset.reader import DEVICES, INCIDENTS, TOKEN, V1, Reader
from tests.unit.simulator.reader import SetClock

OTHER = EsetAccount("api@other.example", "secret", "Other Ltd")


async def test_every_answer_carries_vendor_time_and_a_request_id(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.cloud.time.offset_seconds = -660

    replies = [await reader.login(), await reader.get(V1), await reader.get(V1, pageSize="x"), await reader.get("/x")]

    assert {reply.headers["date"] for reply in replies} == {"Mon, 02 Mar 2026 11:49:00 GMT"}
    assert len({uuid.UUID(reply.headers["request-id"]) for reply in replies}) == 4


async def test_more_than_ten_a_second_get_429_and_break_a_rule(clock: SetClock, connect: Connect) -> None:
    vendor = EsetSimulator(clock=clock)
    reader = await connect(vendor)
    statuses = [(await reader.get(DEVICES)).status for _ in range(9)]
    clock.forward(0.5)

    over = await reader.get(DEVICES)
    vendor.gateway.retry_after = False
    bare = await reader.get(DEVICES)
    clock.forward(0.5)
    after = await reader.get(DEVICES)

    assert statuses == [200] * 9
    assert (over.status, bare.status, after.status) == (429, 429, 200)
    assert over.headers["retry-after"] == "1"
    assert "retry-after" not in bare.headers
    assert vendor.violations == ["more than 10 requests in 1 s"] * 2
    assert vendor.most_in_window == 12


async def test_each_account_has_a_window_of_its_own(clock: SetClock, connect: Connect) -> None:
    vendor = EsetSimulator([HARBOUR, OTHER], clock=clock, requests=3)
    readers = [await connect(vendor), await connect(vendor, OTHER)]

    statuses = [(await reader.get(DEVICES)).status for _ in range(2) for reader in readers]

    assert statuses == [200] * 4
    assert vendor.most_in_window == 3
    assert vendor.violations == []


async def test_refreshes_count_for_the_account_of_their_token(clock: SetClock, connect: Connect) -> None:
    vendor = EsetSimulator(clock=clock, requests=2)
    reader = await connect(vendor)
    await reader.login()

    statuses = [(await reader.renew()).status, (await reader.get(DEVICES)).status]

    assert statuses == [200, 429]


async def test_a_request_without_the_name_of_the_integration_breaks_a_rule_and_may_be_refused(
    vendor: EsetSimulator, reader: Reader
) -> None:
    reader.headers.clear()

    served = await reader.get(DEVICES)
    vendor.endpoints.require_integration = True
    refused = await reader.get(DEVICES)

    assert (served.status, refused.status) == (200, 403)
    assert vendor.violations == [f"request without 3rd-integration: {DEVICES}"] * 2


async def test_requests_are_counted_without_the_uuids_in_their_paths(vendor: EsetSimulator, reader: Reader) -> None:
    devices = list(vendor.cloud.devices[HARBOUR.username])
    for device in devices[:3]:
        assert (await reader.get(f"{DEVICES}/{device}")).json["device"]["uuid"] == device
    await reader.get(f"{INCIDENTS}/x/comments")

    assert vendor.requests == {
        f"POST {TOKEN}": 1,
        f"GET {DEVICES}/{{}}": 3,
        f"GET {INCIDENTS}/{{}}/comments": 1,
    }


async def test_each_service_may_have_an_origin_of_its_own(vendor: EsetSimulator) -> None:
    form = {"grant_type": "password", "username": HARBOUR.username, "password": HARBOUR.password}
    async with vendor.serve_apart() as origins, aiohttp.ClientSession() as session:
        auth, incident, device = (Reader(each, session) for each in (origins.auth, origins.incident, origins.device))
        await auth.login()
        incident.token = device.token = auth.token

        served = [(await incident.get(INCIDENTS)).status, (await device.get(DEVICES)).status]
        strayed = [(await device.get(V1)).status, (await incident.get(DEVICES)).status]
        token = await device.send("POST", TOKEN, data=form)

    assert served == [200, 200]
    assert strayed == [404, 404]
    assert token.status == 404
    assert vendor.rules.broken == {"unknown path": 3}


async def test_devices_have_names_and_owners_and_come_in_pages(vendor: EsetSimulator, reader: Reader) -> None:
    pages = await reader.walk(DEVICES, "devices", pageSize="15")
    keys = [each["uuid"] for page in pages for each in page]

    several = await reader.get(f"{DEVICES}:batchGet?devicesUuids={keys[3]}&devicesUuids={keys[1]}")
    unknown = await reader.get(f"{DEVICES}:batchGet?devicesUuids={keys[3]}&devicesUuids=nobody")
    nobody = await reader.get(f"{DEVICES}/nobody")

    assert [len(page) for page in pages] == [15, 15, 10]
    assert pages[0][0]["displayName"]
    assert pages[0][0]["ownerUuid"] in HARBOUR.owners
    assert [each["uuid"] for each in several.json["devices"]] == [keys[3], keys[1]]
    assert (unknown.status, nobody.status) == (404, 404)
    assert vendor.violations == []


async def test_devices_belong_to_all_customers_of_an_account(clock: SetClock) -> None:
    account = EsetAccount("api@msp.example", "x", "MSP", ("owner-1", "owner-2"))
    vendor = EsetSimulator([account], clock=clock)

    owners = {each["ownerUuid"] for each in vendor.cloud.devices[account.username].values()}

    assert owners == {"owner-1", "owner-2"}


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_answers_are_compressed_only_where_that_is_accepted(
    vendor: EsetSimulator, reader: Reader, encoding: str
) -> None:
    reader.headers["Accept-Encoding"] = encoding

    reply = await reader.get(DEVICES)

    assert reply.headers.get("content-encoding") == ("gzip" if encoding == "gzip" else None)
    assert len(reply.json["devices"]) == 40
