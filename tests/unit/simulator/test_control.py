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

from collector.simulator import COMPANY, WithSecureSimulator
from tests.unit.simulator.reader import Client, Reply, SetClock, ids

DAY = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T12:00:00Z"}
CALM = {"harsh": 0, "late": 0, "engines": ["edr"]}


async def command(client: Client, name: str, **body: Any) -> Reply:
    return await client.send("POST", f"/_sim/{name}", body=orjson.dumps(body), Content_Type="application/json")


async def state(client: Client) -> Any:
    return (await client.send("GET", "/_sim/state")).json


async def ledger(client: Client, query: str = "") -> dict[str, Any]:
    reply = await client.send("GET", f"/_sim/ledger{query}")
    return {line["id"]: line for line in map(orjson.loads, reply.body.splitlines())}


async def test_events_are_generated_served_and_entered_in_the_ledger(client: Client) -> None:
    filled = (await command(client, "fill", count=250, seed=3, mix=CALM, **DAY)).json["ids"]
    tied = (await command(client, "tie", count=5, at="2026-03-02T11:59:59.999Z")).json["ids"]

    pages = await client.walk()

    assert sorted(ids(pages)) == sorted(filled + tied)
    entries = await ledger(client)
    assert sorted(entries) == sorted(filled + tied)
    assert base64.b64decode(entries[filled[0]]["raw"]).startswith(b'{"id":"' + filled[0].encode())
    assert entries[filled[0]]["times"] == 1
    assert "sha256" in entries[filled[0]]
    assert "sha256" not in (await ledger(client, "?hashes=0"))[filled[0]]
    assert (await state(client))["events"] == {"known": 255, "visible": 255, "served": 255, "items": 255}
    assert len(await ledger(client, f"?client_id={COMPANY.client_id}")) == 255


async def test_exact_bytes_can_be_added(client: Client) -> None:
    raw = b'{"id":"x", "persistenceTimestamp" : "2026-03-02T11:00:00Z", "n\xff":"\\ud800"}'
    event = {
        "id": "x",
        "raw": base64.b64encode(raw).decode(),
        "stamp": "2026-03-02T11:00:00Z",
        "visible_at": "2026-03-02T11:00:05Z",
        "organization_id": COMPANY.organization.id,
    }

    assert (await command(client, "events", events=[event])).json == {"ids": ["x"]}

    assert (await client.page()).body == b'{"items":[' + raw + b"]}"
    assert (await ledger(client))["x"]["visible_at"] == "2026-03-02T11:00:05.000Z"


async def test_counters_tell_requests_refusals_broken_rules_and_faults(client: Client) -> None:
    await command(client, "faults", on={"http_503": {"count": 1}})

    for _ in range(2):
        await client.page(limit="0")

    counters = await state(client)
    assert counters["requests"] == {"POST /as/token.oauth2": 1, "POST /security-events/v1/security-events": 2}
    assert counters["violations"] == ["wrong value of limit: limit 0"]
    assert counters["broken"] == {"wrong value of limit": 1}
    assert counters["refused"] == {"400 Parameter limit has a wrong format": 1}
    assert counters["faults_served"] == {"http_503": 1}
    assert counters["logins"] == {COMPANY.client_id: 1}
    assert counters["most_in_window"] == 3
    assert counters["vendor_now"] == "2026-03-02T12:00:00.000Z"


async def test_faults_are_switched_off_by_name_and_all_at_once(sim: WithSecureSimulator, client: Client) -> None:
    await command(client, "faults", on={"cut": {}, "slow": {"client_ids": ["a"]}, "reset": {}})

    await command(client, "faults", off=["cut"])
    one_off = [sim.faults.is_on(name) for name in ("cut", "slow", "reset")]
    await command(client, "faults", off="all")

    assert one_off == [False, True, True]
    assert not any(sim.faults.is_on(name) for name in ("cut", "slow", "reset"))


async def test_an_unreadable_event_is_named_and_released(client: Client) -> None:
    keys = (await command(client, "fill", count=3, mix=CALM, **DAY)).json["ids"]

    await command(client, "unreadable", ids=[keys[1]])
    garbage = (await client.page()).body
    await command(client, "unreadable", ids=[keys[1]], times=0)

    assert not garbage.endswith(b"}")
    assert len((await client.page()).json["items"]) == 3


async def test_events_are_served_again_and_live_ones_made(client: Client, clock: SetClock) -> None:
    keys = (await command(client, "fill", count=2, mix=CALM, **DAY)).json["ids"]

    await command(client, "serve_again", ids=keys, after_seconds=5)
    await command(client, "drip", rate=2, limit=7, again=0.1, again_seconds=[1, 2], mix=CALM)
    clock.forward(60)
    await command(client, "drip", rate=0)
    clock.forward(60)

    entries = await ledger(client)
    assert len(entries) == 2 + 7
    assert all(len(entries[key]["versions"]) == 2 for key in keys)


async def test_vendor_clock_token_life_and_limit_can_be_set(sim: WithSecureSimulator, client: Client) -> None:
    settings = {"offset_seconds": 660, "expires_in": 30, "limit": {"requests": 2, "per_seconds": 1.5}}

    assert (await command(client, "settings", **settings)).json == {}
    statuses = [(await client.page()).status for _ in range(2)]

    assert (await state(client))["vendor_now"] == "2026-03-02T12:11:00.000Z"
    assert sim.logins.expires_in == 30
    assert statuses == [200, 429]


async def test_tokens_are_taken_back_and_credentials_let_in(client: Client) -> None:
    await client.login()
    north = {"id": "11111111-1111-4111-8111-111111111111", "name": "North Oy"}

    await command(client, "revoke", client_id=COMPANY.client_id)
    await command(client, "accounts", client_id="fusion_north", client_secret="n", organization=north)

    assert (await client.page()).status == 401
    assert len((await command(client, "fill", count=40, **DAY)).json["ids"]) == 40
    assert 5 < len(await ledger(client, "?client_id=fusion_north")) < 35


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("fill", {"count": 1}, "KeyError: 'start'"),
        ("fill", {"count": 1, "start": "noon", "end": "noon"}, "ValueError: noon"),
        ("faults", {"on": {"flood": {}}}, "ValueError: no fault is called flood"),
        ("faults", {"on": {"cut": {"chance": 1}}}, "TypeError: "),
        ("serve_again", {"ids": ["nobody"]}, "KeyError: 'nobody'"),
    ],
)
async def test_senseless_commands_are_answered_with_the_reason(
    client: Client, name: str, body: dict[str, Any], message: str
) -> None:
    reply = await command(client, name, **body)

    assert reply.status == 400
    assert reply.json["error"].startswith(message)


async def test_it_runs_as_a_process_of_its_own_until_a_signal() -> None:
    arguments = ["--events", "300", "--accounts", "2", "--expires-in", "99", "--rate", "5", "--bad-day"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "collector.simulator", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        started = orjson.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as session:
            client = Client(started["base_url"], session)
            await command(client, "faults", off="all")
            await command(client, "drip", rate=0)
            entries = await ledger(client)
            login = await client.login()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()

    assert process.returncode == 0
    assert "/" in login
    assert len(entries) >= 300
    assert len({entry["organization_id"] for entry in entries.values()}) == 2
    assert started["accounts"][0]["client_id"] == COMPANY.client_id
    assert len(started["accounts"]) == 2
