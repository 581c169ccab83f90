"""One API user for many customers: the owner of a device tells whose an event is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from collector.model import OWNER_UNKNOWN, Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources.base import Organization, SeesOrganizations
from collector.sources.eset.devices import OWNER_SECONDS, Devices
from collector.sources.eset.normalize import normalize
from collector.sources.eset.owners import Owners
from collector.testing.clock import START
from tests.unit.sources.eset.incident_vendor import Asked, Bench
from tests.unit.sources.eset.vendor import DETECTIONS, Say, bench

PATH = "/v1/devices"
HOUR = timedelta(hours=1)
STATE = {"beginning": "2026-11-21T10:11:12.345Z", "started": "2026-11-22T10:11:12.345Z"}
BEFORE = Checkpoint(START, None, {**STATE, "place": 1})
AFTER = Checkpoint(START, {"token": "t"}, {**STATE, "place": 2})


def record(raw: Any, extra: bytes | None = None) -> Record:
    text = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return Record("r", 0, None, text, extra)


def v1(device: str) -> Record:
    return record({"uuid": "d", "context": {"deviceUuid": device}})


def page(*records: Record) -> Page:
    gap = Gap(START, START, "reason")
    return Page(records, AFTER, more=False, fetched_at=START, watermark=START, request_id="77aa", gaps=(gap,))


class OwnerBench:
    """Devices `a-1`, `a-2` ... belong to customer a; nobody knows `gone-1`, `free-1` belongs to nobody."""

    def __init__(self, **config: Any) -> None:
        self.bench = Bench(**config)
        self.clock, self.vendor = self.bench.clock, self.bench.vendor
        self.status = 200
        self.lists = True
        self.vendor.always.append(self._answer)
        self.devices = Devices(self.bench.config, self.vendor, self.clock, structlog.get_logger())
        self.owners = Owners(self.devices)

    def _answer(self, asked: Asked) -> tuple[int, bytes]:
        if self.status != 200:
            return self.status, b""
        if asked.path == PATH:
            start = int(asked.query.get("pageToken", "0"))
            rows = [{"uuid": f"a-{number}", "ownerUuid": "a"} for number in range(start, start + 20)]
            return (200, json.dumps({"devices": rows, "nextPageToken": str(start + 20)}).encode())
        name = asked.path.removeprefix(PATH + "/")
        owner = name.partition("-")[0]
        if owner == "gone":
            return 404, b""
        told = {"uuid": name, "displayName": name} | ({} if owner == "free" else {"ownerUuid": owner})
        return 200, json.dumps({"device": told}).encode()

    async def put(self, *records: Record, after: Checkpoint | None = BEFORE, lane: Lane = Lane.TIP) -> Page:
        return await self.owners.put(lane, after, page(*records))

    async def patient(self, *records: Record) -> tuple[Page, float]:
        """As a poller asks: again and again, as it is told to; also how long that took."""
        began = self.clock.monotonic()
        found = await self.put(*records)
        while found.retry_after is not None:
            await self.clock.advance(found.retry_after)
            found = await self.put(*records)
        return found, self.clock.monotonic() - began


def owners_in(found: Page) -> list[Any]:
    return [json.loads(one.extra or b"null")["owner"] for one in found.records]


@pytest.mark.parametrize(
    ("raw", "owner"),
    [
        ({"context": {"deviceUuid": "a-1"}}, "a"),
        ({"device": {"uuid": "b-1", "displayName": "ws"}}, "b"),
        ({"deviceUuids": ["a-1", "a-2", "gone-1"]}, "a"),
        ({"deviceUuids": ["a-1", "b-1"]}, None),
        ({"deviceUuids": []}, None),
        ({"deviceUuids": [7, None, "", "a-1"]}, "a"),
        ({"deviceUuids": "a-1"}, None),
        ({"context": "x", "device": ["y"]}, None),
        ({"context": {"deviceUuid": "gone-1"}}, None),
        ({"context": {"deviceUuid": "free-1"}}, None),
        (b'{"n":NaN,"context":{"deviceUuid":"a-1"}}', "a"),
        (b'{"name":"\xff","deviceUuids":["a-1"]}', "a"),
        (b"[]", None),
        (b'"torn', None),
    ],
    ids=str,
)
async def test_owner_of_its_devices_is_put_to_a_record(raw: Any, owner: str | None) -> None:
    found = await OwnerBench().put(record(raw))

    assert owners_in(found) == [owner]
    assert (found.checkpoint, found.retry_after, len(found.gaps)) == (AFTER, None, 1)


async def test_what_a_record_had_beside_it_stays() -> None:
    extras = [None, b"{}", b'{"device":{"uuid":"a-1"}}', b'{"comments":[{"n":1e999}]}']
    found = await OwnerBench().put(*(replace(v1("a-1"), extra=extra) for extra in extras))

    assert [one.extra for one in found.records] == [
        b'{"owner":"a"}',
        b'{"owner":"a"}',
        b'{"owner":"a","device":{"uuid":"a-1"}}',
        b'{"owner":"a","comments":[{"n":1e999}]}',
    ]


async def test_page_is_held_back_while_an_owner_is_not_known_yet() -> None:
    it = OwnerBench()
    it.vendor.slow = 2
    held = await it.put(v1("a-1"))

    assert (held.records, held.checkpoint, held.more, held.watermark, held.gaps) == ((), BEFORE, True, None, ())
    assert held.retry_after == 1.0

    found, took = await it.patient(v1("a-1"))
    assert owners_in(found) == ["a"]
    assert 0 < took < 20


async def test_first_page_of_all_is_held_back_where_the_feed_began() -> None:
    it = OwnerBench()
    it.vendor.slow = 1
    held = await it.put(v1("a-1"), after=None)

    assert held.checkpoint.state == STATE
    assert held.checkpoint.run is None
    assert held.checkpoint.watermark is not None
    assert held.checkpoint.watermark < START


@pytest.mark.parametrize("status", [500, 503, 429, 400])
async def test_page_is_held_back_no_longer_than_a_bounded_time(status: int) -> None:
    it = OwnerBench()
    it.status = status
    found, took = await it.patient(v1("a-1"), v1("b-1"))

    assert owners_in(found) == [None, None]
    assert OWNER_SECONDS <= took <= OWNER_SECONDS + 20
    assert len(it.vendor.asked) < 12

    _, took = await it.patient(v1("a-2"))
    assert took == 0  # a service that has failed for so long holds up nothing more


async def test_outage_of_a_few_seconds_gives_nobodys_events_to_the_wrong_tenant() -> None:
    it = OwnerBench()
    it.status = 500
    assert (await it.put(v1("a-1"))).retry_after
    await it.clock.advance(20)
    it.status = 200
    found, _ = await it.patient(v1("a-1"))

    assert owners_in(found) == ["a"]


async def test_user_without_the_right_to_devices_waits_for_nothing() -> None:
    it = OwnerBench()
    it.status = 403
    found, took = await it.patient(v1("a-1"))

    assert (owners_in(found), took) == ([None], 0)


async def test_device_that_stays_in_the_making_holds_its_events_back_for_a_bounded_time() -> None:
    it = OwnerBench()
    it.vendor.slow = 1000
    found, took = await it.patient(v1("a-1"))

    assert owners_in(found) == [None]
    assert OWNER_SECONDS <= took <= OWNER_SECONDS + 20


async def test_many_devices_of_one_page_are_known_with_a_few_requests() -> None:
    it = OwnerBench()
    found, _ = await it.patient(*(v1(f"a-{number}") for number in range(100)))

    assert owners_in(found) == ["a"] * 100
    assert len(it.vendor.asked) < 20


async def test_nothing_is_waited_for_where_nobody_said_where_devices_are() -> None:
    it = OwnerBench(device_url=None)
    found, took = await it.patient(v1("a-1"))

    assert (owners_in(found), took) == ([None], 0)


async def test_page_without_records_asks_for_nothing() -> None:
    it = OwnerBench()

    assert await it.put() == page()
    assert it.vendor.asked == []


# -- what becomes of it -------------------------------------------------------------------------------


def normalized(feed: str, document: Mapping[str, Any], extra: Mapping[str, Any] | None) -> tuple[str, tuple[str, ...]]:
    seen = normalize(feed, record({"uuid": "u", **document}, json.dumps(extra).encode() if extra is not None else None))
    assert "owner" not in str(seen.unknown)
    assert not [name for name in seen.fields if "owner" in name]
    return seen.organization_id, tuple(flag for flag in seen.flags if flag != "severity_unknown")


@pytest.mark.parametrize("feed", ["detections", "incidents"])
def test_owner_is_the_organization_of_the_event(feed: str) -> None:
    assert normalized(feed, {}, {"owner": "o-1"}) == ("o-1", ())
    assert normalized(feed, {}, {"owner": None}) == ("", (OWNER_UNKNOWN,))
    assert normalized(feed, {}, {}) == ("", ())
    assert normalized(feed, {}, None) == ("", ())


def test_cloud_office_tells_its_tenant_itself() -> None:
    document = {"cloudOfficeTenantUuid": "t-1"}

    assert normalized("detections", document, {"owner": None}) == ("t-1", ())
    assert normalized("detections", document, None) == ("", ())


# -- the source ---------------------------------------------------------------------------------------

DEVICES = {"devices": [{"ownerUuid": "o-1", "managementDomain": "north"}, {"ownerUuid": "O-1"}, {"ownerUuid": 7}, 3]}


async def test_source_asks_for_owners_only_where_it_is_told_to() -> None:
    body = b'{"detections":[{"uuid":"d","occurTime":"2026-11-22T10:00:00Z","context":{"deviceUuid":"a-1"}}]}'
    for by_owner, kept in ((True, b'"owner":"a"'), (None, None)):
        async with bench(by_owner=by_owner, hurry=True) as it:
            it.vendor.filled[DETECTIONS] = body
            it.vendor.filled[f"{PATH}/a-1"] = b'{"device":{"uuid":"a-1","ownerUuid":"a"}}'
            checkpoint, extras = None, []
            for _ in range(10):
                found = await it.source.fetch("detections", Lane.JOB, checkpoint, Window(START - HOUR, START))
                checkpoint = found.checkpoint
                extras += [one.extra or b"" for one in found.records]
                if not found.more:
                    break

        assert extras
        assert all((kept in extra) if kept else (b'"owner":' not in extra) for extra in extras)


async def test_check_is_told_of_all_owners() -> None:
    async with bench(by_owner={}) as it:
        it.vendor.filled[PATH] = json.dumps(DEVICES).encode()
        assert isinstance(it.source, SeesOrganizations)
        assert await it.source.organizations() == [Organization("o-1", "north")]

        it.vendor.says.extend(
            [
                Say(body=json.dumps({"devices": [{"ownerUuid": f"o-{n}"}], "nextPageToken": "t"}).encode())
                for n in (2, 3)
            ]
        )
        found = await it.source.organizations()
        assert [one.id for one in found or ()] == ["o-2", "o-3"]

    async with bench() as it:
        assert isinstance(it.source, SeesOrganizations)
        assert await it.source.organizations() is None
