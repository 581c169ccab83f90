"""Incidents, their changes, and who sees what of them when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from collector.simulator.eset import HARBOUR, EsetAccount, EsetSimulator
from tests.unit.simulator.eset.conftest import Connect
from tests.unit.simulator.eset.reader import INCIDENTS, Reader, uuids
from tests.unit.simulator.reader import NOON, SetClock

OTHER = EsetAccount("api@other.example", "secret", "Other Ltd")
SINCE_NOON = 'incident.update_time >= timestamp("2026-03-02T12:00:00Z")'


async def states(reader: Reader, key: str) -> tuple[dict[str, Any], list[str]]:
    """The single get and the ids of the comments."""
    one = (await reader.get(f"{INCIDENTS}/{key}")).json["incident"]
    comments = (await reader.get(f"{INCIDENTS}/{key}/comments")).json.get("comments") or []
    return one, [each["uuid"] for each in comments]


@pytest.fixture
def prompt(vendor: EsetSimulator) -> EsetSimulator:
    """A vendor whose changes show at once."""
    vendor.incidents.lag_ms = 0
    return vendor


async def test_uuids_of_devices_and_detections_stand_in_the_single_get_alone(
    prompt: EsetSimulator, reader: Reader
) -> None:
    keys = prompt.incidents.fill(30, NOON - timedelta(hours=1), NOON)
    listed = (await reader.walk(INCIDENTS, "incidents"))[0]

    one, _ = await states(reader, keys[0])

    assert sorted(each["uuid"] for each in listed) == sorted(keys)
    assert {orjson.dumps(each.get("deviceUuids", "absent")) for each in listed} == {b"[]", b'"absent"'}
    assert one["deviceUuids"]
    assert one["detectionUuids"]
    assert prompt.violations == []


async def test_a_change_moves_update_time_and_shows_in_list_and_get(
    prompt: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    key = prompt.incidents.open(at=NOON - timedelta(hours=1))
    prompt.incidents.change(key, after_seconds=30, status="INCIDENT_STATUS_CLOSED")
    before = uuids(await reader.walk(INCIDENTS, "incidents", filter=SINCE_NOON))
    clock.forward(30)

    after = (await reader.walk(INCIDENTS, "incidents", filter=SINCE_NOON))[0]
    one, _ = await states(reader, key)

    assert before == []
    assert [each["status"] for each in after] == ["INCIDENT_STATUS_CLOSED"]
    assert one["status"] == "INCIDENT_STATUS_CLOSED"
    assert one["updateTime"] == after[0]["updateTime"]
    assert one["updateTime"].startswith("2026-03-02T12:00:30")


async def test_a_new_member_may_leave_update_time_where_it_was(prompt: EsetSimulator, reader: Reader) -> None:
    key = prompt.incidents.open(at=NOON - timedelta(hours=1))
    before, _ = await states(reader, key)
    prompt.incidents.join(key, "new-detection", "new-device", after_seconds=-1)

    prompt.incidents.comment(key, "moved nothing", after_seconds=-1, moves=False)
    after, comments = await states(reader, key)

    assert after["updateTime"] == before["updateTime"]
    assert after["detectionUuids"] == [*before["detectionUuids"], "new-detection"]
    assert after["deviceUuids"] == [*before["deviceUuids"], "new-device"]
    assert len(comments) == 1


async def test_two_changes_between_two_looks_leave_the_last_to_be_seen(
    prompt: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    key = prompt.incidents.open(at=NOON - timedelta(hours=1))
    prompt.incidents.change(key, after_seconds=1, severity="INCIDENT_SEVERITY_LEVEL_LOW")
    prompt.incidents.change(key, after_seconds=1.02, severity="INCIDENT_SEVERITY_LEVEL_HIGH")
    clock.forward(5)

    one, _ = await states(reader, key)

    assert one["severity"] == "INCIDENT_SEVERITY_LEVEL_HIGH"
    report = prompt.incidents.report()[key]
    assert [state["read"] for state in report] == [False, False, True]
    assert report[1]["until"] == report[2]["from"]
    assert report[2]["until"] is None
    assert orjson.loads(report[2]["raw"]) == one


async def test_the_report_holds_what_is_visible_by_now_of_the_accounts_asked_for(
    clock: SetClock, connect: Connect
) -> None:
    vendor = EsetSimulator([HARBOUR, OTHER], clock=clock)
    first = vendor.incidents.open(HARBOUR.username, at=NOON - timedelta(hours=1))
    second = vendor.incidents.open(OTHER.username, at=NOON - timedelta(hours=1))
    vendor.incidents.change(first, after_seconds=60, assigneeUuid="u-1")
    reader = await connect(vendor, OTHER)

    listed = uuids(await reader.walk(INCIDENTS, "incidents"))
    foreign = await reader.get(f"{INCIDENTS}/{first}")

    assert listed == [second]
    assert foreign.status == 404
    assert set(vendor.incidents.report()) == {first, second}
    assert set(vendor.incidents.report([OTHER.username])) == {second}
    assert len(vendor.incidents.report()[first]) == 1
    assert vendor.incidents.pending == 1


async def test_update_time_never_goes_back_and_states_come_in_order(vendor: EsetSimulator, clock: SetClock) -> None:
    vendor.incidents.fill(20, NOON - timedelta(hours=2), NOON - timedelta(hours=1))
    vendor.incidents.stir(400, 60.0)
    clock.forward(120)

    for history in vendor.incidents.report().values():
        times = [state["update_time"][:19] for state in history]
        assert times == sorted(times)
        begins = [state["from"] for state in history]
        assert begins == sorted(set(begins))
    assert vendor.incidents.pending == 0


async def test_order_may_be_asked_for_and_is_none_without(prompt: EsetSimulator, reader: Reader) -> None:
    prompt.incidents.fill(40, NOON - timedelta(hours=5), NOON)

    shuffled = (await reader.walk(INCIDENTS, "incidents"))[0]
    rising = (await reader.walk(INCIDENTS, "incidents", orderBy="update_time"))[0]
    falling = (await reader.walk(INCIDENTS, "incidents", orderBy="update_time desc,create_time asc"))[0]

    times = [[each["updateTime"][:19] for each in page] for page in (shuffled, rising, falling)]
    assert times[0] != sorted(times[0])
    assert times[1] == sorted(times[1])
    assert times[2] == sorted(times[2], reverse=True)
    assert prompt.violations == []


async def test_an_incident_without_update_time_passes_no_filter_on_it(prompt: EsetSimulator, reader: Reader) -> None:
    key = prompt.incidents.open(at=NOON, without_update_time=True)
    filters = [SINCE_NOON, SINCE_NOON.replace("update", "create")]

    found = [uuids(await reader.walk(INCIDENTS, "incidents", filter=text)) for text in filters]

    assert found == [[], [key]]


async def test_no_comments_come_in_every_form(prompt: EsetSimulator, reader: Reader) -> None:
    key = prompt.incidents.open(at=NOON - timedelta(hours=1))

    bodies = {(await reader.get(f"{INCIDENTS}/{key}/comments")).body for _ in range(40)}

    assert bodies == {b"{}", b'{"comments":[]}', b'{"comments":null}'}


async def test_incidents_are_refused_where_they_are_not_offered(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.offer(incidents=403)

    statuses = [(await reader.get(path)).status for path in (INCIDENTS, f"{INCIDENTS}/x", f"{INCIDENTS}/x/comments")]

    assert statuses == [403, 403, 403]
    assert vendor.violations == []
