"""The simulator's own API, through which tests steer it as a process of its own."""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from typing import Any

import aiohttp
import orjson
import pytest

from collector.simulator.eset import HARBOUR, EsetAccount, EsetSimulator, FairUse
from tests.unit.simulator.eset.reader import DEVICES, INCIDENTS, V1, V2, Reader, uuids
from tests.unit.simulator.reader import Reply, SetClock

DAY = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T12:00:00Z"}
CALM = {"harsh": 0, "late": 0, "future": 0}


async def command(reader: Reader, name: str, /, **body: Any) -> Reply:
    return await reader.send("POST", f"/_sim/{name}", data=orjson.dumps(body))


async def told(reader: Reader, name: str) -> Any:
    return (await reader.send("GET", f"/_sim/{name}")).json


async def ledger(reader: Reader, query: str = "") -> dict[str, Any]:
    reply = await reader.send("GET", f"/_sim/ledger{query}")
    return {line["id"]: line for line in map(orjson.loads, reply.body.splitlines())}


async def test_detections_are_generated_served_and_entered_in_the_ledger(reader: Reader) -> None:
    filled = (await command(reader, "fill", count=80, seed=3, mix=CALM, **DAY)).json["ids"]
    tied = (await command(reader, "tie", count=5, at="2026-03-02T11:59:59.999Z")).json["ids"]
    late = (await command(reader, "straggle", count=3, late_seconds=86400)).json["ids"]

    found = uuids(await reader.walk(V1, "detections"))

    entries = await ledger(reader)
    assert sorted(found) == sorted(filled + tied + late) == sorted(entries)
    assert entries[filled[0]]["times"] == 1
    assert filled[0].encode() in base64.b64decode(entries[filled[0]]["raw"])
    assert (await told(reader, "state"))["events"] == {"known": 88, "visible": 88, "served": 88, "items": 88}
    assert await ledger(reader, "?client_id=nobody") == {}


async def test_exact_bytes_can_be_added(vendor: EsetSimulator, reader: Reader) -> None:
    raw = b'{"uuid":"x", "occurTime" : 17, "n\xff":"\\ud800"}'
    detection = {
        "id": "x",
        "username": HARBOUR.username,
        "v1": base64.b64encode(raw).decode(),
        "occurred": "2026-03-02T11:00:00Z",
    }

    await command(reader, "detections", detections=[detection])

    assert raw in (await reader.get(V1)).body
    assert vendor.ledger()["x"]["raw"] == raw
    nothing = await command(reader, "detections", detections=[{**detection, "v1": ""}])
    assert nothing.json == {"error": "ValueError: neither v1 nor v2"}


async def test_live_detections_begin_and_end(reader: Reader, clock: SetClock) -> None:
    await command(reader, "drip", rate=4, mix=CALM)
    clock.forward(3)
    during = len(await ledger(reader))
    await command(reader, "drip", rate=0)
    clock.forward(3)

    assert (during, len(await ledger(reader))) == (12, 12)


async def test_incidents_are_opened_and_changed(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    vendor.incidents.lag_ms = 0
    key = (await command(reader, "incident_open", at="2026-03-02T11:00:00Z", fields={"displayName": "x"})).json["id"]
    await command(reader, "incident_change", id=key, to={"severity": "INCIDENT_SEVERITY_LEVEL_HIGH"})
    changed = (await reader.get(f"{INCIDENTS}/{key}")).json["incident"]
    await command(reader, "incident_comment", id=key, text="seen", after_seconds=5)
    await command(reader, "incident_join", id=key, detection="d-1", device="dev-1", after_seconds=6)
    filled = (await command(reader, "incident_fill", count=3, **DAY)).json["ids"]
    await command(reader, "incident_stir", count=10, within_seconds=5)
    assert (await told(reader, "state"))["incidents"]["pending"] >= 2
    clock.forward(10)

    one = (await reader.get(f"{INCIDENTS}/{key}")).json["incident"]
    report = await told(reader, "incidents")

    assert changed["severity"] == "INCIDENT_SEVERITY_LEVEL_HIGH"
    assert one["displayName"] == "x"
    assert "d-1" in one["detectionUuids"]
    assert sorted(report) == sorted([key, *filled])
    assert orjson.loads(base64.b64decode(report[key][-1]["raw"])) == one
    assert report[key][-1]["comments"]


async def test_faults_unreadable_records_and_tokens_are_steered(vendor: EsetSimulator, reader: Reader) -> None:
    key = (await command(reader, "tie", count=1, at="2026-03-02T11:00:00Z")).json["ids"][0]
    _, delta = await reader.follow(V1, "latest")

    await command(reader, "faults", on={"forbidden": {"count": 1, "client_ids": [HARBOUR.username]}})
    forbidden = await reader.get(V1)
    await command(reader, "unreadable", ids=[key], times=1)
    garbage = await reader.get(V1)
    await command(reader, "kill_deltas")
    dead = await reader.get(f"{V1}:listDelta", deltaToken=delta)
    await command(reader, "revoke", username=HARBOUR.username, refresh=True)
    revoked = await reader.get(V1)

    assert (forbidden.status, dead.status, revoked.status) == (403, 400, 401)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(garbage.body)
    assert (await reader.renew()).status == 400
    assert vendor.violations == []


async def test_what_the_vendor_has_and_how_it_behaves_can_be_set(vendor: EsetSimulator, reader: Reader) -> None:
    settings = {
        "offset_seconds": 660,
        "expires_in": 30,
        "single_use": False,
        "delta_lives_seconds": 5,
        "page_lives_seconds": 6,
        "shifting": True,
        "ordered": True,
        "retry_after": False,
        "require_integration": True,
        "fair_use": {"burst": 7},
        "limit": {"requests": 3, "per_seconds": 2.0},
    }

    assert (await command(reader, "settings", **settings)).json == {}
    await command(reader, "offer", v2=200, v1_delta=404)

    assert (await told(reader, "state"))["vendor_now"] == "2026-03-02T12:11:00.000Z"
    assert (vendor.logins.expires_in, vendor.logins.single_use) == (30, False)
    assert (vendor.deltas.lives_seconds, vendor.pager.lives_seconds) == (5, 6)
    assert vendor.pager.shifting
    assert vendor.detections.ordered
    assert vendor.endpoints.require_integration
    assert vendor.gateway.fair_use == FairUse(burst=7)
    statuses = [(await reader.get(path)).status for path in (V2, f"{V1}:listDelta", DEVICES)]
    assert statuses == [200, 404, 429]


async def test_one_more_user_is_let_in(vendor: EsetSimulator, reader: Reader) -> None:
    await command(reader, "accounts", username="new", password="p", name="New Ltd", customers=["o-1"])
    reader.account = EsetAccount("new", "p", "New Ltd")

    assert (await reader.get(DEVICES)).json["devices"][0]["ownerUuid"] == "o-1"


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("fill", {"count": 1}, "KeyError: 'start'"),
        ("settings", {"speed": 1}, "KeyError: 'speed'"),
        ("offer", {"v3": 200}, "TypeError: "),
        ("faults", {"on": {"stale_anchor": {}}}, "ValueError: no fault is called stale_anchor"),
        ("incident_change", {"id": "nobody"}, "KeyError: 'nobody'"),
    ],
)
async def test_senseless_commands_are_answered_with_the_reason(
    reader: Reader, name: str, body: dict[str, Any], message: str
) -> None:
    reply = await command(reader, name, **body)

    assert reply.status == 400
    assert reply.json["error"].startswith(message)


@pytest.mark.parametrize("which", ["eset", "both"])
async def test_it_runs_as_a_process_of_its_own_alone_or_beside_the_other_vendor(which: str) -> None:
    arguments = ["--vendor", which, "--events", "30", "--incidents", "4", "--changes", "2", "--accounts", "2"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "collector.simulator", *arguments, "--rate", "5", "--bad-day",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        started = orjson.loads(await process.stdout.readline())
        eset = started if which == "eset" else started["eset"]
        async with aiohttp.ClientSession() as session:
            reader = Reader(eset["base_url"], session)
            await command(reader, "faults", off="all")
            entries = await ledger(reader)
            incidents = await told(reader, "incidents")
            login = await reader.login()
            others = None if which == "eset" else await reader.session.get(f"{started['base_url']}/_sim/incidents")
            known = None if others is None else await others.json()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()

    assert process.returncode == 0
    assert login.status == 200
    assert len(entries) >= 30
    assert len(incidents) == 4
    assert eset["accounts"][0]["username"] == HARBOUR.username
    assert len(eset["accounts"]) == 2
    assert known is None or len(known) >= 4
