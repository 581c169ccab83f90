"""Incidents of the simulated vendor: what a query finds, what is refused, how they live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from collector.simulator import Account, WithSecureSimulator
from tests.unit.simulator.conftest import Connect
from tests.unit.simulator.reader import NOON, Client, SetClock, only_rule
from tests.unit.simulator.test_withsecure import NORTH, NORTHERN, PARTNER, SOUTH

INCIDENTS, DETECTIONS = "/incidents/v1/incidents", "/incidents/v1/detections"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RANGE = {"updatedTimestampStart": "2026-03-02T00:00:00Z", "updatedTimestampEnd": "2026-03-02T12:00:00Z"}


async def walk(client: Client, path: str, **query: str) -> list[dict[str, Any]]:
    """All items of a query, page by page."""
    items: list[dict[str, Any]] = []
    anchor: dict[str, str] = {}
    while True:
        reply = await client.get(f"{path}?{urlencode({**query, **anchor})}")
        assert reply.status == 200, reply
        items += reply.json["items"]
        if "nextAnchor" not in reply.json:
            return items
        anchor = {"anchor": reply.json["nextAnchor"]}


async def test_incidents_come_in_order_of_their_last_change(sim: WithSecureSimulator, client: Client) -> None:
    ids = sim.cloud.incidents.open(120, NOON - 2 * HOUR, NOON - HOUR)
    sim.cloud.incidents.change(ids[0], NOON - MINUTE, status="closed")

    rising = await walk(client, INCIDENTS, **RANGE, order="asc", limit="50")
    falling = await walk(client, INCIDENTS, **RANGE)

    stamps = [item["updatedTimestamp"] for item in rising]
    assert stamps == sorted(stamps)
    assert rising[-1]["incidentId"] == ids[0]
    assert rising[-1]["status"] == "closed"
    assert falling == rising[::-1]
    assert sim.violations == []


async def test_created_range_finds_a_changed_incident_where_it_began(sim: WithSecureSimulator, client: Client) -> None:
    (key,) = sim.cloud.incidents.open(1, NOON - 2 * HOUR, NOON - 2 * HOUR)
    sim.cloud.incidents.change(key, NOON - MINUTE, status="closed")
    bounds = {"createdTimestampStart": "2026-03-02T10:00:00Z", "createdTimestampEnd": "2026-03-02T10:30:00Z"}

    (found,) = await walk(client, INCIDENTS, **bounds)

    assert found["status"] == "closed"
    assert sim.cloud.incidents.report()[key]["states"][-1]["times"] == 1


async def test_filters_leave_out_what_does_not_match(sim: WithSecureSimulator, client: Client) -> None:
    ids = sim.cloud.incidents.open(6, NOON - 2 * HOUR, NOON - HOUR)
    sim.cloud.incidents.change(ids[2], NOON - MINUTE, status="closed")

    closed = await walk(client, INCIDENTS, **RANGE, status="closed", archived="false", source="endpoint,customer")
    one = await walk(client, INCIDENTS, incidentId=ids[4])

    assert [item["incidentId"] for item in closed] == [ids[2]]
    assert [item["incidentId"] for item in one] == [ids[4]]


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ({}, "no start of the time range"),
        ({"updatedTimestampEnd": "2026-03-02T12:00:00Z"}, "no start of the time range"),
        ({**RANGE, "createdTimestampStart": "2026-03-02T00:00:00Z"}, "two ranges"),
        ({"updatedTimestampStart": "2026-01-02T00:00:00Z"}, "range over 30 days"),
        ({**RANGE, "updatedTimestampEnd": "2026-03-01T00:00:00Z"}, "start after end"),
        ({**RANGE, "limit": "51"}, "wrong value of limit"),
        ({**RANGE, "limit": "0"}, "wrong value of limit"),
        ({**RANGE, "order": "up"}, "wrong value of order"),
        ({**RANGE, "status": "open"}, "wrong value of status"),
        ({**RANGE, "source": "moon"}, "wrong value of source"),
        ({**RANGE, "engineGroup": "edr"}, "unknown parameter"),
        ({**RANGE, "updatedTimestampStart": "yesterday"}, "wrong value of updatedTimestampStart"),
        ({**RANGE, "anchor": "moon"}, "wrong value of anchor"),
    ],
    ids=range(13),
)
async def test_a_wrong_query_is_refused(
    sim: WithSecureSimulator, client: Client, query: dict[str, str], rule: str
) -> None:
    reply = await client.get(f"{INCIDENTS}?{urlencode(query)}")

    assert reply.status == 400
    assert only_rule(sim).startswith(rule)


async def test_detections_come_in_pages_whole_and_in_no_order(sim: WithSecureSimulator, client: Client) -> None:
    (key,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR, detections=0)
    ids = [
        one for minute in range(250) for one in sim.cloud.incidents.detect(key, at=NOON - HOUR + minute * MINUTE / 10)
    ]

    found = await walk(client, DETECTIONS, incidentId=key, limit="100")

    assert sorted(item["detectionId"] for item in found) == sorted(ids)
    assert [item["detectionId"] for item in found] != ids
    late = await walk(client, DETECTIONS, incidentId=key, createdTimestampStart="2026-03-02T11:20:00Z")
    assert 0 < len(late) < 100
    assert sim.violations == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"incidentId": "00000000-0000-4000-8000-000000000000"}, 404),
        ({"incidentId": "KEY", "limit": "101"}, 400),
        ({"incidentId": "KEY", "order": "asc"}, 400),
    ],
    ids=["without incident", "unknown incident", "limit", "order"],
)
async def test_a_wrong_query_for_detections_is_refused(
    sim: WithSecureSimulator, client: Client, query: dict[str, str], status: int
) -> None:
    (key,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR)
    query = {name: value.replace("KEY", key) for name, value in query.items()}

    assert (await client.get(f"{DETECTIONS}?{urlencode(query)}")).status == status
    assert len(sim.violations) == 1


async def test_without_licence_both_are_forbidden_and_detections_may_be_alone(
    sim: WithSecureSimulator, client: Client
) -> None:
    (key,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR)
    paths = [f"{INCIDENTS}?{urlencode(RANGE)}", f"{DETECTIONS}?incidentId={key}"]

    sim.cloud.incidents.without_detections.add(client.account.client_id)
    assert [(await client.get(path)).status for path in paths] == [200, 403]
    sim.cloud.incidents.unlicensed.add(client.account.client_id)
    assert [(await client.get(path)).status for path in paths] == [403, 403]
    assert sim.violations == []


async def test_a_credential_sees_the_incidents_of_its_organizations(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    (north,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR, organization_id=NORTH.id)
    (south,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR, organization_id=SOUTH.id)

    async def seen(account: Account, **query: str) -> set[str]:
        return {item["incidentId"] for item in await walk(await connect(sim, account), INCIDENTS, **RANGE, **query)}

    assert await seen(PARTNER) == {north, south}
    assert await seen(PARTNER, organizationId=SOUTH.id) == {south}
    assert await seen(NORTHERN) == {north}
    foreign = await (await connect(sim, NORTHERN)).get(f"{DETECTIONS}?incidentId={south}")
    assert foreign.status == 404


async def test_merged_incident_is_closed_and_its_detections_stand_in_both(
    sim: WithSecureSimulator, client: Client
) -> None:
    one, other = sim.cloud.incidents.open(2, NOON - HOUR, NOON - HOUR, detections=2)
    sim.cloud.incidents.merge(one, other)

    rows = {item["incidentId"]: item for item in await walk(client, INCIDENTS, incidentId=one)}
    members = await walk(client, DETECTIONS, incidentId=other)

    assert (rows[one]["status"], rows[one]["resolution"]) == ("closed", "merged")
    assert len(members) == 4


def test_a_change_may_leave_the_time_and_show_late(sim: WithSecureSimulator, clock: SetClock) -> None:
    (key,) = sim.cloud.incidents.open(1, NOON - HOUR, NOON - HOUR)
    sim.cloud.incidents.change(key, move=False, status="closed")
    sim.cloud.incidents.change(key, NOON - MINUTE, visible_at=NOON + MINUTE, status="new")

    states = sim.cloud.incidents.report()[key]["states"]
    assert [state["status"] for state in states] == ["new", "closed"]
    assert states[0]["updated"] == states[1]["updated"]
    clock.forward(60)
    assert len(sim.cloud.incidents.report()[key]["states"]) == 3


def test_live_incidents_open_change_and_win_detections(sim: WithSecureSimulator, clock: SetClock) -> None:
    sim.cloud.incidents.live(2.0, limit=200)
    for _ in range(60):
        clock.forward(2)
        sim.cloud.incidents.catch_up()
    report = sim.cloud.incidents.report()
    clock.forward(500)

    assert len(report) > 30
    assert any(len(entry["states"]) > 1 for entry in report.values())
    assert any(len(entry["detections"]) > 3 for entry in report.values())
    changes = sum(len(entry["states"]) for entry in sim.cloud.incidents.report().values())
    assert 200 <= changes <= 400


async def test_the_control_api_steers_incidents(sim: WithSecureSimulator, client: Client) -> None:
    async def do(command: str, **body: Any) -> Any:
        reply = await client.send("POST", f"/_sim/{command}", body=orjson.dumps(body))
        assert reply.status == 200, reply
        return reply.json

    one, other = (await do("incidents", count=2, start="2026-03-02T10:00:00Z", end="2026-03-02T11:00:00Z"))["ids"]
    await do("incident_change", id=one, to={"status": "monitoring"})
    (joined,) = (await do("incident_detect", id=one, size=10_000, move=False))["ids"]
    await do("incident_merge", id=other, into=one, at="2026-03-02T11:59:00Z")
    await do("incident_live", rate=0)
    await do("licences", unlicensed=[client.account.client_id])

    report = (await client.send("GET", "/_sim/incidents")).json
    assert [state["status"] for state in report[one]["states"]] == ["new", "monitoring", "monitoring"]
    assert report[other]["states"][-1]["resolution"] == "merged"
    assert joined in report[one]["detections"]
    assert (await client.get(f"{INCIDENTS}?{urlencode(RANGE)}")).status == 403
