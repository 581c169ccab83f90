"""The parameters of a security-events request, and what they find."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from collector.simulator import WithSecureSimulator
from tests.unit.simulator.reader import AGENT, EVENTS, FORM, NOON, Client, SetClock, fill, ids, only_rule


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"persistenceTimestampStart": None}, 400_000),
        ({"persistenceTimestampStart": None, "persistenceTimestampEnd": None}, 400_000),
        ({"persistenceTimestampStart": "yesterday"}, 400_001),
        ({"persistenceTimestampStart": "2026-03-02T00:00:00"}, 400_001),
        ({"persistenceTimestampStart": ""}, 400_001),
        ({"persistenceTimestampEnd": "2026-03-02"}, 400_001),
        ({"persistenceTimestampStart": "2026-03-03T00:00:00Z"}, 400_000),
        ({"persistenceTimestampStart": "2026-01-31T11:59:59.999999Z"}, 400_000),
        ({"persistenceTimestampStart": "2026-01-01T00:00:00Z", "persistenceTimestampEnd": None}, 400_000),
        ({"limit": "0"}, 400_001),
        ({"limit": "201"}, 400_001),
        ({"limit": "-1"}, 400_001),
        ({"limit": "two"}, 400_001),
        ({"order": "ascending"}, 400_001),
        ({"exclusiveStart": "yes"}, 400_001),
        ({"acknowledged": "1"}, 400_001),
        ({"language": "tlh"}, 400_001),
        ({"severity": "fatal"}, 400_001),
        ({"engineGroup": "epp,edr"}, 400_001),
        ({"engineGroup": "all"}, 400_001),
        ({"engineGroup": None}, 400_000),
        ({"engine": "edr", "engineGroup": "edr"}, 400_000),
        ({"engine": "manualScanning"}, 400_001),
        ({"anchor": "nonsense"}, 400_001),
        ({"anchor": base64.b64encode(b'{"a":1}').decode()}, 400_001),
        ({"anchor": base64.b64encode(b'["1","x"]').decode()}, 400_001),
        ({"anchor": base64.b64encode(b"[1,").decode()}, 400_001),
        ({"organizationId": "contoso"}, 400_001),
        ({"count": "engine"}, 400_000),
        ({"serverTimestampStart": "2026-03-02T00:00:00Z"}, 400_000),
        ({"eventId": "x"}, 400_000),
    ],
)
async def test_parameter_against_the_rules_gets_400_in_the_vendors_envelope(
    sim: WithSecureSimulator, client: Client, changes: dict[str, str | None], code: int
) -> None:
    reply = await client.page(**changes)

    assert reply.status == 400
    assert reply.json["code"] == code
    assert reply.json["transactionId"] == reply.headers["x-transaction"]
    assert reply.json["message"]
    if code == 400_001:
        name = next(reversed(changes))
        assert reply.json["details"] == {"invalidParam": name, "invalidValue": changes[name]}
    assert len(sim.violations) == 1


async def test_single_parameter_given_twice_is_refused(sim: WithSecureSimulator, client: Client) -> None:
    reply = await client.page(("limit", "100"))

    assert reply.status == 400
    assert only_rule(sim) == "repeated limit"


async def test_unencoded_plus_in_an_offset_is_refused(sim: WithSecureSimulator, client: Client) -> None:
    await client.login()
    body = b"engineGroup=edr&persistenceTimestampStart=2026-03-02T02:00:00+02:00"
    headers = {"Authorization": f"Bearer {client.token}", "User_Agent": AGENT, "Content_Type": FORM}

    raw = await client.send("POST", EVENTS, body=body, **headers)
    encoded = await client.send("POST", EVENTS, body=body.replace(b"+", b"%2B"), **headers)

    assert (raw.status, encoded.status) == (400, 200)


@pytest.mark.parametrize("body", [b"limit", b"a=%ff", b"\xff=1"])
async def test_malformed_form_is_refused(sim: WithSecureSimulator, client: Client, body: bytes) -> None:
    await client.login()

    reply = await client.send(
        "POST", EVENTS, body=body, Authorization=f"Bearer {client.token}", User_Agent=AGENT, Content_Type=FORM
    )

    assert reply.status == 400
    assert only_rule(sim) == "malformed form"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (EVENTS, {"Content_Type": "application/json"}, 415),
        (EVENTS + "?limit=5", {"Content_Type": FORM}, 400),
        (EVENTS, {"Content_Type": FORM, "Accept": "application/vnd.withsecure.aggr+json"}, 406),
    ],
)
async def test_events_are_asked_for_by_form_and_for_json_alone(
    sim: WithSecureSimulator, client: Client, path: str, headers: dict[str, str], status: int
) -> None:
    await client.login()

    reply = await client.send(
        "POST", path, body=b"", Authorization=f"Bearer {client.token}", User_Agent=AGENT, **headers
    )

    assert reply.status == status
    assert len(sim.violations) == 1


async def test_thirty_days_to_the_microsecond_are_allowed(sim: WithSecureSimulator, client: Client) -> None:
    reply = await client.page(persistenceTimestampStart="2026-01-31T12:00:00Z")

    assert reply.status == 200
    assert sim.violations == []


async def test_start_is_inclusive_unless_asked_otherwise_and_end_exclusive(
    sim: WithSecureSimulator, client: Client
) -> None:
    for second in (0, 1, 2):
        sim.cloud.tie(1, NOON - timedelta(seconds=10 - second), seed=second)
    bounds = {"persistenceTimestampStart": "2026-03-02T11:59:50Z", "persistenceTimestampEnd": "2026-03-02T11:59:52Z"}

    stamps = [
        [
            item["persistenceTimestamp"][17:19]
            for item in (await client.page(**bounds, exclusiveStart=flag)).json["items"]
        ]
        for flag in (None, "false", "true")
    ]

    assert stamps == [["50", "51"], ["50", "51"], ["51"]]


@pytest.mark.parametrize(
    ("start", "end", "exclusive", "found"),
    [
        ("50.001", "50.003", "false", ["1", "2"]),
        ("50.001", "50.003", "true", ["2"]),
        ("50.0005", "50.0020", "false", ["1"]),
        ("50.0005", "50.002001", "true", ["1", "2"]),
        ("50.002", "50.002", "false", []),
    ],
)
async def test_bounds_are_exact_to_the_microsecond(
    sim: WithSecureSimulator, client: Client, start: str, end: str, exclusive: str, found: list[str]
) -> None:
    for ms in range(4):
        sim.cloud.tie(1, NOON - timedelta(seconds=10, milliseconds=-ms), seed=ms)

    reply = await client.page(
        persistenceTimestampStart=f"2026-03-02T11:59:{start}Z",
        persistenceTimestampEnd=f"2026-03-02T11:59:{end}Z",
        exclusiveStart=exclusive,
    )

    assert [sim.ledger()[item["id"]]["stamp"][22] for item in reply.json["items"]] == found


async def test_end_is_now_by_default(sim: WithSecureSimulator, client: Client, clock: SetClock) -> None:
    sim.cloud.tie(1, NOON)

    at_noon = await client.page(persistenceTimestampEnd=None)
    clock.forward(1)
    later = await client.page(persistenceTimestampEnd=None)

    assert [len(reply.json["items"]) for reply in (at_noon, later)] == [0, 1]


async def test_order_is_newest_first_unless_asked_otherwise(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim)

    newest = ids(await client.walk(order=None))
    oldest = ids(await client.walk(order="asc"))

    assert newest == oldest[::-1]
    assert len(set(oldest)) == 1000


async def test_limit_is_a_hundred_unless_asked_otherwise(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim)

    assert [len(page) for page in await client.walk(limit=None)] == [100] * 10
    assert [len(page) for page in await client.walk(limit="7")] == [7] * 142 + [6]


async def test_filters_are_applied(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim)
    everything = [item for page in await client.walk() for item in page]

    edr = [item for page in await client.walk(engineGroup="edr") for item in page]
    by_engine = ids(await client.walk(engine="AMSI"))
    critical = ids(await client.walk(severity="critical"))
    device = next(item["target"]["id"] for item in everything if "device" in item)
    of_device = ids(await client.walk(targetId=device))
    acknowledged = ids(await client.walk(acknowledged="true"))

    assert edr
    assert {item["engine"] for item in edr} == {"edr"}
    assert by_engine == [item["id"] for item in everything if item["engine"].lower() == "amsi"]
    assert critical == [item["id"] for item in everything if item["severity"] == "critical"]
    assert of_device == [item["id"] for item in everything if item.get("target", {}).get("id") == device]
    assert acknowledged == []


async def test_all_four_groups_find_every_engine(sim: WithSecureSimulator, client: Client) -> None:
    filled = fill(sim, 3000)

    assert sorted(ids(await client.walk())) == sorted(filled)
    assert sim.violations == []
