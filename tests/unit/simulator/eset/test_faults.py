"""Each fault, as a client meets it."""

from __future__ import annotations

from datetime import timedelta

import aiohttp
import orjson
import pytest

from collector.simulator import Fault
from collector.simulator.eset import BAD_DAY, EsetSimulator
from collector.simulator.eset.faults import NAMES, OUTAGES
from tests.unit.simulator.eset.reader import DAY, DEVICES, INCIDENTS, V1, Reader, fill
from tests.unit.simulator.reader import NOON, SetClock


def test_a_bad_day_knows_its_faults_and_others_are_refused(vendor: EsetSimulator) -> None:
    vendor.faults.switch_on_all(BAD_DAY)

    assert set(BAD_DAY) < NAMES
    with pytest.raises(ValueError, match="stale_anchor"):
        vendor.faults.switch_on("stale_anchor")


@pytest.mark.parametrize(
    ("name", "status", "start"),
    [
        ("http_500", 500, b"<html>"),
        ("http_502", 502, b"<html>"),
        ("http_503", 503, b"<html>"),
        ("http_504", 504, b""),
        ("json_500", 500, b'{"code":13'),
        ("html_200", 200, b"<html>"),
        ("throttled_bare", 429, b""),
    ],
)
async def test_outages_have_bodies_of_every_kind(
    vendor: EsetSimulator, reader: Reader, name: str, status: int, start: bytes
) -> None:
    await reader.login()
    vendor.faults.switch_on(name, Fault(count=1))

    reply = await reader.get(DEVICES)

    assert reply.status == status
    assert reply.body.startswith(start)
    assert bool(reply.body) == bool(start)
    assert (await reader.get(DEVICES)).status == 200
    assert vendor.faults_served == {name: 1}
    assert vendor.violations == []


@pytest.mark.parametrize(
    ("name", "retry_after"),
    [("throttled_seconds", "7"), ("throttled_date", "Mon, 02 Mar 2026 12:00:07 GMT"), ("throttled_bare", None)],
)
async def test_429_comes_in_three_forms(
    vendor: EsetSimulator, reader: Reader, name: str, retry_after: str | None
) -> None:
    await reader.login()
    vendor.faults.switch_on(name, Fault(count=1, seconds=7))

    assert (await reader.get(DEVICES)).headers.get("retry-after") == retry_after


@pytest.mark.parametrize(("name", "slept"), [("reset", 0.0), ("hung", 90.0)])
async def test_a_connection_may_be_reset_at_once_or_after_a_long_silence(
    vendor: EsetSimulator, reader: Reader, clock: SetClock, name: str, slept: float
) -> None:
    await reader.login()
    vendor.faults.switch_on(name, Fault(seconds=90.0))  # the client library tries once more by itself

    with pytest.raises(aiohttp.ClientError):
        await reader.get(DEVICES)

    assert set(clock.slept) == {slept}


@pytest.mark.parametrize("name", sorted(OUTAGES))
async def test_outages_spare_the_login_unless_they_are_told_not_to(
    vendor: EsetSimulator, reader: Reader, name: str
) -> None:
    vendor.faults.switch_on(name)
    assert (await reader.login()).status == 200

    vendor.faults.switch_on(name, Fault(on_login=True))

    if name in {"reset", "hung"}:
        with pytest.raises(aiohttp.ClientError):
            await reader.login()
    else:
        reply = await reader.login() if name != "html_200" else await reader.ask_token(grant_type="password")
        assert reply.status != 200 or reply.body.startswith(b"<html>")


async def test_a_truncated_body_agrees_with_its_length_and_counts_as_never_served(
    vendor: EsetSimulator, reader: Reader
) -> None:
    fill(vendor)
    vendor.faults.switch_on("truncated", Fault(count=1))

    reply = await reader.get(V1, **DAY)

    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(reply.body)
    assert all(entry["times"] == 0 for entry in vendor.ledger().values())


async def test_a_cut_body_is_shorter_than_it_promised_and_counts_as_never_served(
    vendor: EsetSimulator, reader: Reader
) -> None:
    fill(vendor)
    vendor.faults.switch_on("cut", Fault(count=1))

    with pytest.raises(aiohttp.ClientPayloadError):
        await reader.get(V1, **DAY)

    assert all(entry["times"] == 0 for entry in vendor.ledger().values())


async def test_one_unreadable_record_spoils_every_page_that_holds_it(vendor: EsetSimulator, reader: Reader) -> None:
    known = fill(vendor, 30)
    vendor.faults.make_unreadable(known[0])

    page, single = await reader.get(V1, **DAY), await reader.get(f"{V1}/{known[1]}")
    vendor.faults.make_readable(known[0])
    after = await reader.get(V1, **DAY)

    assert page.status == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(page.body)
    assert single.json["detection"]["uuid"] == known[1]
    assert len(after.json["detections"]) == 30


async def test_an_unreadable_incident_is_so_in_the_list_and_alone(vendor: EsetSimulator, reader: Reader) -> None:
    key = vendor.incidents.open(at=NOON - timedelta(hours=1))
    vendor.faults.make_unreadable(key, 2)

    bodies = [(await reader.get(path)).body for path in (INCIDENTS, f"{INCIDENTS}/{key}", f"{INCIDENTS}/{key}")]

    for body in bodies[:2]:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)
    assert orjson.loads(bodies[2])["incident"]["uuid"] == key


async def test_the_vendors_clock_may_be_wrong_or_silent(vendor: EsetSimulator, reader: Reader) -> None:
    await reader.login()
    vendor.faults.switch_on("date_wrong", Fault(count=1, seconds=-3600))
    wrong = await reader.get(DEVICES)
    vendor.faults.switch_on("date_missing", Fault(count=1))

    missing = await reader.get(DEVICES)

    assert wrong.headers["date"] == "Mon, 02 Mar 2026 11:00:00 GMT"
    assert "date" not in missing.headers


async def test_forbidden_is_403_with_the_body_of_a_grpc_status(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.faults.switch_on("forbidden", Fault(count=1))

    reply = await reader.get(DEVICES)

    assert (reply.status, reply.json["code"]) == (403, 7)


async def test_slow_answers_take_their_time(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    await reader.login()
    vendor.faults.switch_on("slow", Fault(count=1, seconds=4.0))

    assert (await reader.get(DEVICES)).status == 200
    assert clock.slept == [4.0]
