"""Page tokens, and what a client may do with them."""

from __future__ import annotations

import pytest

from collector.simulator import Fault
from collector.simulator.eset import HARBOUR, EsetAccount, EsetSimulator
from tests.unit.simulator.eset.conftest import Connect
from tests.unit.simulator.eset.reader import DAY, V1, V2, Reader, fill, uuids
from tests.unit.simulator.reader import NOON, SetClock

OTHER = EsetAccount("api@other.example", "secret", "Other Ltd")


async def token_of(reader: Reader, **parameters: str) -> str:
    token = (await reader.get(V1, **DAY, **parameters)).json["nextPageToken"]
    assert isinstance(token, str)
    assert len(token) <= 128
    return token


async def test_a_page_token_gives_the_same_page_each_time(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)
    token = await token_of(reader)

    pages = [(await reader.get(V1, **DAY, pageToken=token)).json["detections"] for _ in range(2)]

    assert pages[0] == pages[1]
    assert vendor.violations == []


@pytest.mark.parametrize(
    "change",
    [{"startTime": "2026-03-01T00:00:00Z"}, {"pageSize": "100"}, {"deviceUuid": "d"}],
    ids=["start", "page size", "device"],
)
async def test_parameters_must_stay_as_they_were(vendor: EsetSimulator, reader: Reader, change: dict[str, str]) -> None:
    fill(vendor)
    token = await token_of(reader)

    reply = await reader.get(V1, **{**DAY, **change}, pageToken=token)

    assert (reply.status, reply.body) == (400, b"")
    assert vendor.violations == [f"parameters changed while following a page token: {next(iter(change))}"]


async def test_a_token_of_another_path_or_account_is_refused(clock: SetClock, connect: Connect) -> None:
    vendor = EsetSimulator([HARBOUR, OTHER], clock=clock)
    vendor.offer(v2=200)
    fill(vendor, 1000)
    reader, other = await connect(vendor), await connect(vendor, OTHER)
    token = await token_of(reader)

    path = await reader.get(V2, **DAY, pageToken=token)
    account = await other.get(V1, **DAY, pageToken=token)

    assert (path.status, account.status) == (400, 400)
    assert len(vendor.violations) == 2


async def test_tokens_may_expire(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    fill(vendor)
    vendor.pager.lives_seconds = 30.0
    token = await token_of(reader)
    clock.forward(30)
    assert (await reader.get(V1, **DAY, pageToken=token)).status == 200
    clock.forward(1)

    late = await reader.get(V1, **DAY, pageToken=token)

    assert (late.status, late.body) == (400, b"")
    assert vendor.violations == []


async def test_a_run_shows_what_there_was_when_it_began(vendor: EsetSimulator, reader: Reader) -> None:
    known = fill(vendor)
    first = (await reader.get(V1, **DAY)).json
    vendor.cloud.tie(50, NOON.replace(hour=3))
    token = first["nextPageToken"]
    pages = [first["detections"]]
    while token:
        page = (await reader.get(V1, **DAY, pageToken=token)).json
        pages.append(page["detections"])
        token = page.get("nextPageToken")

    assert sorted(uuids(pages)) == sorted(known)


async def test_shifting_pages_repeat_records_when_others_come_between(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.pager.shifting = True
    vendor.detections.ordered = True
    known = fill(vendor)
    first = (await reader.get(V1, **DAY)).json
    vendor.cloud.tie(50, NOON.replace(hour=0))

    second = (await reader.get(V1, **DAY, pageToken=first["nextPageToken"])).json

    repeated = {each["uuid"] for each in first["detections"]} & {each["uuid"] for each in second["detections"]}
    assert len(repeated) == 50
    assert repeated < set(known)


async def test_an_empty_page_in_between_goes_on(vendor: EsetSimulator, reader: Reader) -> None:
    known = fill(vendor)
    vendor.faults.switch_on("empty_page", Fault(skip=1, count=1))

    pages = await reader.walk(V1, "detections", **DAY)

    assert [len(page) for page in pages] == [200, 0, 200, 100]
    assert sorted(uuids(pages)) == sorted(known)


async def test_doubles_within_a_page_take_no_room_from_the_others(vendor: EsetSimulator, reader: Reader) -> None:
    known = fill(vendor)
    vendor.faults.switch_on("duplicate_in_page", Fault(count=2))

    pages = await reader.walk(V1, "detections", **DAY)

    assert len(pages[0]) == 200
    assert len(uuids(pages)) == 506
    assert set(uuids(pages)) == set(known)


async def test_a_repeated_token_leads_nowhere(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)
    token = await token_of(reader)
    vendor.faults.switch_on("repeated_token", Fault(count=1))

    page = (await reader.get(V1, **DAY, pageToken=token)).json

    assert page["nextPageToken"] == token
    assert vendor.faults_served == {"repeated_token": 1}


async def test_a_stale_token_is_no_broken_rule(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)
    token = await token_of(reader)
    vendor.faults.switch_on("stale_page_token", Fault(count=1))

    reply = await reader.get(V1, **DAY, pageToken=token)

    assert (reply.status, reply.body) == (400, b"")
    assert vendor.violations == []
