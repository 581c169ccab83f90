"""What a delta tells, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.simulator import Fault
from collector.simulator.eset import EsetSimulator
from tests.unit.simulator.eset.reader import PLAIN, V1, V2, Reader, fill, uuids
from tests.unit.simulator.reader import NOON, SetClock

DELTA = f"{V1}:listDelta"


async def test_latest_begins_with_nothing(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)

    found, token = await reader.follow(V1, "latest")

    assert found == []
    assert token
    assert vendor.violations == []


async def test_a_delta_tells_what_became_visible_since_however_old_it_is(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    fill(vendor)
    _, token = await reader.follow(V1, "latest")
    soon = vendor.cloud.straggle(30, timedelta(days=13), 10.0, mix=PLAIN)
    later = vendor.cloud.straggle(5, timedelta(seconds=30), 20.0, mix=PLAIN)

    clock.forward(10)
    first, second_token = await reader.follow(V1, token)
    clock.forward(10)
    second, third_token = await reader.follow(V1, second_token)
    again, _ = await reader.follow(V1, token)

    assert sorted(first) == sorted(soon)
    assert sorted(second) == sorted(later)
    assert again == first + second
    assert (await reader.follow(V1, third_token))[0] == []
    assert vendor.violations == []


async def test_what_shows_up_while_a_run_is_paged_is_told_by_the_next_run(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    _, token = await reader.follow(V1, "latest")
    before = fill(vendor, 40)
    page = (await reader.get(DELTA, deltaToken=token, pageSize="30")).json
    meanwhile = vendor.cloud.tie(3, NOON)

    rest = (await reader.get(DELTA, deltaToken=token, pageSize="30", pageToken=page["nextPageToken"])).json
    after, _ = await reader.follow(V1, rest["nextDeltaToken"])

    assert sorted(uuids([page["createdDetections"], rest["createdDetections"]])) == sorted(before)
    assert sorted(after) == sorted(meanwhile)


async def test_a_dead_token_is_refused_and_latest_tells_nothing_of_what_was_missed(
    vendor: EsetSimulator, reader: Reader
) -> None:
    _, token = await reader.follow(V1, "latest")
    vendor.deltas.kill()
    missed = fill(vendor, 5)

    dead = await reader.get(DELTA, deltaToken=token)
    fresh, _ = await reader.follow(V1, "latest")

    assert dead.status == 400
    assert fresh == []
    assert sorted(uuids(await reader.walk(V1, "detections"))) == sorted(missed)
    assert vendor.violations == []


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_token_lives_as_long_as_the_test_says(
    vendor: EsetSimulator, reader: Reader, clock: SetClock, status: int
) -> None:
    vendor.deltas.lives_seconds, vendor.deltas.refusal = 60.0, status
    _, token = await reader.follow(V1, "latest")
    clock.forward(60)
    assert (await reader.get(DELTA, deltaToken=token)).status == 200
    clock.forward(1)

    assert (await reader.get(DELTA, deltaToken=token)).status == status


async def test_a_stale_token_stays_dead(vendor: EsetSimulator, reader: Reader) -> None:
    _, token = await reader.follow(V1, "latest")
    vendor.faults.switch_on("stale_delta_token", Fault(count=1))

    statuses = [(await reader.get(DELTA, deltaToken=token)).status for _ in range(2)]

    assert statuses == [400, 400]
    assert vendor.violations == []


async def test_delta_may_be_off_for_a_while(vendor: EsetSimulator, reader: Reader) -> None:
    _, token = await reader.follow(V1, "latest")
    vendor.offer(v1_delta=501)
    known = fill(vendor, 5)
    off = await reader.get(DELTA, deltaToken=token)
    vendor.offer(v1_delta=200)

    found, _ = await reader.follow(V1, token)

    assert off.status == 501
    assert sorted(found) == sorted(known)


async def test_each_version_has_its_own_tokens_and_shows_its_own_records(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.offer(v2=200, v2_delta=200, v2_shows="cloud_office", v1_delta_shows="protect")
    _, first = await reader.follow(V1, "latest")
    _, second = await reader.follow(V2, "latest")
    known = fill(vendor)

    protect, _ = await reader.follow(V1, first)
    others, _ = await reader.follow(V2, second)
    mixed = await reader.get(DELTA, deltaToken=second)

    assert sorted(protect + others) == sorted(known)
    assert len(others) > 50
    assert mixed.status == 400
    assert vendor.violations == [f"delta token that was never given out: {second}"]


@pytest.mark.parametrize(
    "parameters", [{}, {"deltaToken": ""}, {"deltaToken": "made-up"}], ids=["none", "empty", "made-up"]
)
async def test_a_delta_without_a_token_of_its_own_breaks_a_rule(
    vendor: EsetSimulator, reader: Reader, parameters: dict[str, str]
) -> None:
    reply = await reader.get(DELTA, **parameters)

    assert reply.status == 400
    assert len(vendor.violations) == 1
