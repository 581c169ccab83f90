"""Answers that are not ready when they are asked for."""

from __future__ import annotations

import aiohttp
import pytest

from collector.simulator import Fault
from collector.simulator.eset import EsetSimulator, FairUse
from tests.unit.simulator.eset.reader import DAY, DEVICES, V1, Reader, fill
from tests.unit.simulator.reader import SetClock


async def begin(vendor: EsetSimulator, reader: Reader, seconds: float = 2.0) -> str:
    vendor.faults.switch_on("pending", Fault(count=1, seconds=seconds))
    reply = await reader.get(V1, **DAY)
    assert (reply.status, reply.body) == (202, b"")
    return reply.headers["response-id"]


async def test_202_until_it_is_ready_then_200_once_then_404(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    fill(vendor)
    response_id = await begin(vendor, reader)

    early = await reader.get(V1, response_id, **DAY)
    clock.forward(2)
    ready = await reader.get(V1, response_id, **DAY)
    assert vendor.violations == []
    after = await reader.get(V1, response_id, **DAY)

    assert (early.status, ready.status, after.status) == (202, 200, 404)
    assert early.headers["response-id"] == response_id
    assert len(ready.json["detections"]) == 200
    assert vendor.violations == ["response id sent after its answer"]


async def test_the_token_alone_may_be_another(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    response_id = await begin(vendor, reader)
    clock.forward(2)
    await reader.renew()

    assert (await reader.get(V1, response_id, **DAY)).status == 200
    assert vendor.violations == []


async def test_another_request_with_the_same_id_is_refused_and_breaks_a_rule(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    response_id = await begin(vendor, reader)
    clock.forward(2)

    other = await reader.get(V1, response_id, **{**DAY, "pageSize": "100"})
    right = await reader.get(V1, response_id, **DAY)

    assert (other.status, right.status) == (400, 200)
    assert vendor.violations == [f"response id with another request: {V1}"]


async def test_an_id_that_was_never_given_out_breaks_a_rule(vendor: EsetSimulator, reader: Reader) -> None:
    assert (await reader.get(V1, "made-up", **DAY)).status == 404
    assert vendor.violations == ["response id that was never given out"]


async def test_what_nobody_fetches_is_deleted_after_ten_minutes(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    response_id = await begin(vendor, reader)
    clock.forward(601)

    assert (await reader.get(V1, response_id, **DAY)).status == 404
    assert vendor.pending.waiting == 0
    assert vendor.violations == []


async def test_a_new_id_may_come_with_another_202(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    response_id = await begin(vendor, reader)
    vendor.faults.switch_on("pending_again", Fault(count=1))
    clock.forward(2)

    again = await reader.get(V1, response_id, **DAY)
    old = await reader.get(V1, response_id, **DAY)
    new = await reader.get(V1, again.headers["response-id"], **DAY)

    assert again.headers["response-id"] != response_id
    assert (again.status, old.status, new.status) == (202, 404, 200)
    assert vendor.violations == []


@pytest.mark.parametrize(("name", "status"), [("pending_504", 504), ("pending_gone", 404)])
async def test_the_answer_may_be_lost_at_the_vendor(
    vendor: EsetSimulator, reader: Reader, name: str, status: int
) -> None:
    response_id = await begin(vendor, reader)
    vendor.faults.switch_on(name, Fault(count=1))

    lost, after, anew = (
        await reader.get(V1, response_id, **DAY),
        await reader.get(V1, response_id, **DAY),
        await reader.get(V1, **DAY),
    )

    assert (lost.status, after.status, anew.status) == (status, 404, 200)
    assert vendor.violations == []


@pytest.mark.parametrize("name", ["pending_lost", "cut", "truncated"])
async def test_an_answer_lost_on_its_way_is_deleted_all_the_same(
    vendor: EsetSimulator, reader: Reader, clock: SetClock, name: str
) -> None:
    fill(vendor)
    response_id = await begin(vendor, reader)
    vendor.faults.switch_on(name, Fault(count=1))
    clock.forward(2)

    if name == "truncated":
        assert (await reader.get(V1, response_id, **DAY)).status == 200
    else:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reader.get(V1, response_id, **DAY)
    after = await reader.get(V1, response_id, **DAY)

    assert after.status == 404
    assert all(entry["times"] == 0 for entry in vendor.ledger().values())
    assert vendor.violations == []


async def test_the_connection_may_end_within_a_202_that_told_its_id(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    await reader.login()
    vendor.faults.switch_on("pending", Fault(count=1, seconds=0.0))
    vendor.faults.switch_on("pending_cut", Fault(count=1))
    headers = {"Authorization": f"Bearer {reader.token}", **reader.headers}

    async with reader.session.get(reader.base_url + DEVICES, headers=headers) as answer:
        response_id = answer.headers["response-id"]
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert answer.status == 202
    assert (await reader.get(DEVICES, response_id)).status == 200


async def test_fair_use_slows_a_burst_and_rejects_the_rest(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    vendor.gateway.fair_use = FairUse(burst=5, seconds=60.0)

    statuses = [(await reader.get(DEVICES)).status for _ in range(9)]
    clock.forward(60)
    statuses.append((await reader.get(DEVICES)).status)

    assert statuses == [200] * 5 + [202] * 2 + [503] * 2 + [200]
    assert (vendor.gateway.throttled, vendor.gateway.rejected) == (2, 2)
    assert vendor.violations == []


async def test_answers_that_fair_use_made_wait_are_fetched_by_their_ids(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    vendor.gateway.fair_use = FairUse(burst=1)
    assert (await reader.get(DEVICES)).status == 200
    response_id = (await reader.get(DEVICES)).headers["response-id"]

    early = await reader.get(DEVICES, response_id)
    clock.forward(1)
    late = await reader.get(DEVICES, response_id)

    assert (early.status, late.status) == (202, 200)
