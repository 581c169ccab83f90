"""Incidents and their detections carry the name of their organization, which the vendor tells by its id alone."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from collector.model import Event, Lane, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.sources.withsecure.normalize import normalize
from collector.testing.clock import START
from tests.unit.sources.withsecure.incident_vendor import IncidentBench, incidents
from tests.unit.sources.withsecure.vendor import Reading, Say, error

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def event_of(record: Record) -> Event:
    event, _ = make_event(
        record,
        stream=StreamId("acme", "withsecure", "incidents"),
        vendor="WithSecure",
        product="Elements",
        labels={},
        organizations={},
        fetched_at=START,
        normalize=normalize,
    )
    return event


def names_in(reading: Reading) -> list[str]:
    return [event_of(record).organization_name for record in reading.records]


async def opened(it: IncidentBench, name: str, organization: str = "org") -> Reading:
    """What the sweep brings of an incident that was opened just now, and of no other."""
    it.vendor.incidents.clear()
    it.vendor.open(name, it.vendor.now - SECOND, organizationId=organization)
    await it.clock.advance(2)
    return await it.read()


async def test_an_incident_and_its_detections_carry_the_name_of_their_organization() -> None:
    async with incidents() as it:
        it.vendor.organizations["ORG"] = "Company Oy"
        it.vendor.open("i", it.vendor.now - HOUR, detections=2)
        reading = await it.read()

    events = [event_of(record) for record in reading.records]
    assert [event.kind for event in events] == ["incident", "detection", "detection"]
    assert {(event.organization_id, event.organization_name) for event in events} == {("org", "Company Oy")}
    assert events[1].fields["withsecure.incident.id"] == "i"


async def test_a_name_is_no_part_of_a_records_id_or_bytes() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR, detections=1)
        before = await it.read()
        it.restart()
        it.vendor.organizations["org"] = "Company Oy"
        after = await it.read()

    assert names_in(before) == ["", ""]
    assert names_in(after) == ["Company Oy", "Company Oy"]
    assert [(one.id, one.raw) for one in before.records] == [(one.id, one.raw) for one in after.records]


async def test_names_are_asked_for_once_an_hour_and_when_an_unknown_organization_turns_up() -> None:
    async with incidents() as it:
        assert not (await it.read()).records
        assert it.vendor.asked_organizations == []
        it.vendor.organizations["org"] = "Company Oy"
        for number in range(3):
            assert names_in(await opened(it, f"a{number}")) == ["Company Oy"]
        assert len(it.vendor.asked_organizations) == 1

        await it.clock.advance(60)
        it.vendor.organizations["new"] = "Newcomer GmbH"
        assert names_in(await opened(it, "b", "new")) == ["Newcomer GmbH"]
        assert len(it.vendor.asked_organizations) == 2

        for number in range(3):
            await it.clock.advance(60)
            assert names_in(await opened(it, f"c{number}", "stranger")) == [""]
        assert len(it.vendor.asked_organizations) == 3

        it.vendor.organizations["org"] = "Company Group Oy"
        await it.clock.advance(3600)
        assert names_in(await opened(it, "d")) == ["Company Group Oy"]
        assert len(it.vendor.asked_organizations) == 4


async def test_ever_new_organizations_cost_a_list_a_minute_at_most() -> None:
    async with incidents() as it:
        for number in range(10):
            assert names_in(await opened(it, f"i{number}", f"stranger-{number}")) == [""]

    assert len(it.vendor.asked_organizations) == 1


@pytest.mark.parametrize(
    "said",
    [error(403, "no rights"), error(404), error(500), Say(body=b"<html>"), Say(body=b'{"items":7}')],
    ids=["refused", "not there", "fault", "no json", "no list"],
)
async def test_incidents_go_without_names_that_are_not_to_be_had_and_a_log_line_says_so_once(said: Say) -> None:
    async with incidents() as it:
        it.vendor.organizations_say = said
        with capture_logs() as log:
            for number in range(4):
                reading = await opened(it, f"i{number}")
                assert names_in(reading) == [""]
                await it.clock.advance(1800)

        assert 2 <= len(it.vendor.asked_organizations) <= 4
        told = [line for line in log if "organizations" in line["event"]]
        assert [line["log_level"] for line in told].count("warning") == 1

        it.vendor.organizations_say = None
        it.vendor.organizations["org"] = "Company Oy"
        await it.clock.advance(3600)
        assert names_in(await opened(it, "last")) == ["Company Oy"]


async def test_a_name_once_known_outlasts_a_list_that_fails() -> None:
    async with incidents() as it:
        it.vendor.organizations["org"] = "Company Oy"
        await opened(it, "a")
        it.vendor.organizations_say = error(503)
        await it.clock.advance(3600)

        assert names_in(await opened(it, "b")) == ["Company Oy"]
        assert len(it.vendor.asked_organizations) == 2


async def test_a_long_list_is_read_a_part_at_a_time_and_gone_on_with() -> None:
    async with incidents() as it:
        it.vendor.a_page = 2
        it.vendor.organizations.update({f"o-{number}": f"Customer {number}" for number in range(50)})

        assert names_in(await opened(it, "a", "o-1")) == ["Customer 1"]
        assert len(it.vendor.asked_organizations) == 20
        assert names_in(await opened(it, "b", "o-49")) == ["Customer 49"]
        assert [asked["anchor"] for asked in it.vendor.asked_organizations[19:21]] == ["38", "40"]
        assert len(it.vendor.asked_organizations) == 25


async def test_an_incident_is_not_held_back_by_a_list_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async with incidents() as it:
        monkeypatch.setattr("collector.sources.withsecure.organization_names._SECONDS", 0.01)
        never = asyncio.Event()

        async def take(lane: Lane, *, again: bool = False) -> None:
            if it.vendor.asked_incidents and lane is Lane.TIP:
                await never.wait()

        it.vendor.open("i", it.vendor.now - HOUR)
        monkeypatch.setattr(it.budget, "take", take)
        page = await it.fetch()

    assert [json.loads(record.raw)["incidentId"] for record in page.records] == ["i"]
    assert event_of(page.records[0]).organization_name == ""
