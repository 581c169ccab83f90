"""Lists and single gets of detections, in both versions."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from collector.simulator.eset import DetectionDrip, DetectionMix, EsetSimulator
from tests.unit.simulator.eset.reader import DAY, PLAIN, V1, V2, Reader, fill, uuids
from tests.unit.simulator.reader import NOON, SetClock


async def test_a_list_is_walked_to_its_end(vendor: EsetSimulator, reader: Reader) -> None:
    known = fill(vendor)

    pages = await reader.walk(V1, "detections", **DAY)

    assert [len(page) for page in pages] == [200, 200, 100]
    assert sorted(uuids(pages)) == sorted(known)
    assert all(entry["times"] == 1 for entry in vendor.ledger().values())
    assert vendor.violations == []


async def test_a_list_is_in_no_order_but_the_same_each_time(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)

    first = await reader.walk(V1, "detections", **DAY)
    second = await reader.walk(V1, "detections", **DAY)
    vendor.detections.ordered = True
    ordered = await reader.walk(V1, "detections", **DAY)

    assert first == second
    times = [each["occurTime"][:19] for page in first for each in page]
    assert times != sorted(times)
    assert [each["occurTime"][:19] for page in ordered for each in page] == sorted(times)


async def test_start_is_inclusive_and_end_exclusive(vendor: EsetSimulator, reader: Reader) -> None:
    for second in range(3):
        vendor.cloud.tie(1, NOON - timedelta(seconds=10 - second))

    pages = await reader.walk(V1, "detections", startTime="2026-03-02T11:59:50Z", endTime="2026-03-02T12:59:52+01:00")

    assert sorted(each["occurTime"][17:19] for page in pages for each in page) == ["50", "51"]


async def test_a_list_may_be_of_one_device(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)
    device = next(iter(vendor.cloud.devices[reader.account.username]))

    pages = await reader.walk(V1, "detections", deviceUuid=device)

    found = [each["context"]["deviceUuid"] for page in pages for each in page]
    assert found
    assert set(found) == {device}


async def test_only_the_first_version_tells_a_total(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)
    vendor.offer(v2=200)

    first, second = await reader.get(V1), await reader.get(V2)

    assert first.json["totalSize"] == 500
    assert "totalSize" not in second.json


async def test_an_empty_result_comes_in_every_form_that_was_seen(vendor: EsetSimulator, reader: Reader) -> None:
    replies = [(await reader.get(V1)).json for _ in range(60)]

    assert {orjson.dumps(each.get("detections", "absent")) for each in replies} == {b"[]", b"null", b'"absent"'}
    assert {orjson.dumps(each.get("nextPageToken", "absent")) for each in replies} == {b'""', b"null", b'"absent"'}


async def test_a_detection_shows_up_late_and_its_time_stays_what_it_was(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    (known,) = vendor.cloud.straggle(1, timedelta(days=5), 60.0, mix=PLAIN)

    before = uuids(await reader.walk(V1, "detections"))
    clock.forward(60)
    (after,) = (await reader.walk(V1, "detections"))[0]

    assert before == []
    assert after["uuid"] == known
    assert after["occurTime"].startswith("2026-02-25T12:01:00")
    assert vendor.cloud.counts()["visible"] == 1


async def test_both_versions_show_the_same_detection_in_their_own_shape(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.offer(v2=200)
    (known,) = vendor.cloud.fill(
        1, NOON, NOON, mix=DetectionMix(late=0, future=0, cloud_office=0, sparse=0, hostile=0, harsh=0)
    )

    first = (await reader.get(f"{V1}/{known}")).json["detection"]
    second = (await reader.get(f"{V2}/{known}")).json["detection"]

    assert first["uuid"] == second["uuid"] == known
    assert first["occurTime"] == second["occurTime"]
    assert first["context"]["deviceUuid"] == second["device"]["uuid"]
    assert "device" not in first
    assert "context" not in second
    assert len(vendor.ledger()[known]["versions"]) == 2


async def test_second_version_takes_any_id_even_where_its_list_is_not_offered(
    vendor: EsetSimulator, reader: Reader
) -> None:
    known = fill(vendor, 1)[0]

    single, listed, nobody = await reader.get(f"{V2}/{known}"), await reader.get(V2), await reader.get(f"{V1}/nobody")

    assert (single.status, listed.status, nobody.status) == (200, 501, 404)
    assert vendor.violations == []


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_what_a_tenant_has_not_got_is_refused_as_the_test_says(
    vendor: EsetSimulator, reader: Reader, status: int
) -> None:
    vendor.offer(v1_delta=status)

    reply = await reader.get(f"{V1}:listDelta", deltaToken="latest")

    assert reply.status == status
    assert vendor.violations == []


async def test_what_nobody_can_find_is_not_in_the_ledger(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.offer(v2=200, v2_shows="cloud_office")
    vendor.cloud.fill(400, NOON - timedelta(hours=1), NOON, mix=PLAIN)
    mails = uuids(await reader.walk(V2, "detections"))
    others = uuids(await reader.walk(V1, "detections"))
    assert len(mails) > 10
    assert set(vendor.ledger()) == {*mails, *others}

    vendor.offer(v2=501)

    assert set(vendor.ledger()) == set(others)
    assert vendor.cloud.counts()["known"] == len(others)


async def test_a_change_of_a_detection_is_told_by_nothing_but_the_record(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    known = fill(vendor, 1)[0]
    _, delta = await reader.follow(V1, "latest")
    vendor.cloud.resolve(known, 30.0)
    before = (await reader.get(f"{V2}/{known}")).json
    clock.forward(30)

    after = (await reader.get(f"{V2}/{known}")).json

    if "resolved" in before["detection"]:
        assert (before["detection"]["resolved"], after["detection"]["resolved"]) == (False, True)
    assert (await reader.follow(V1, delta))[0] == []
    assert vendor.cloud.counts()["known"] == 1


async def test_live_detections_come_as_time_goes(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    vendor.cloud.drip(DetectionDrip(10.0, limit=45, mix=PLAIN))
    counts = []
    for _ in range(3):
        clock.forward(2)
        counts.append(len(uuids(await reader.walk(V1, "detections"))))

    assert counts == [20, 40, 45]
    assert vendor.cloud.pending == 0


def test_the_same_seed_makes_the_same_detections(clock: SetClock) -> None:
    wild = DetectionMix(hostile=0.5, harsh=0.2, sparse=0.2, future=0.2, huge=0.01, cloud_office=0.3)
    vendors = [EsetSimulator(clock=clock, seed=seed) for seed in (1, 1, 2)]
    reports = []
    for vendor in vendors:
        vendor.offer(v2=200)
        vendor.cloud.fill(300, NOON - timedelta(hours=12), NOON, mix=wild)
        clock.forward(0)
        reports.append(vendor.ledger())

    assert reports[0] == reports[1]
    assert reports[0] != reports[2]
    traits = {trait for entry in reports[0].values() for trait in entry["traits"]}
    assert {"future", "sparse", "huge", "invalid_utf8", "raw_nul", "lone_surrogate", "newlines"} <= traits


def test_every_category_of_the_vendor_is_made(clock: SetClock) -> None:
    vendor = EsetSimulator(clock=clock)
    vendor.offer(v2=200)
    vendor.cloud.fill(600, NOON - timedelta(hours=12), NOON, mix=PLAIN)

    made = {
        record["category"].removeprefix("DETECTION_CATEGORY_")
        for entry in vendor.ledger().values()
        for raw in entry["versions"]
        if (record := orjson.loads(raw))
    }

    assert made >= {
        *("CORRELATION_RULE", "EDR_RULE", "FIREWALL_RULE", "ANTIVIRUS", "HIPS", "NETWORK_INTRUSION", "HIPS_RULE"),
        *("WEB_ACCESS", "VULNERABILITY", "APPLICATION_PATCH", "SUSPICIOUS_ACTIVITY"),
    }
