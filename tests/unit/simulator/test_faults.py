"""Each fault, as a client meets it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import aiohttp
import orjson
import pytest

from collector.simulator import BAD_DAY, COMPANY, Account, Fault, Mix, Organization, WithSecureSimulator
from collector.simulator.faults import NAMES, OUTAGES, Faults
from tests.unit.simulator.conftest import Connect
from tests.unit.simulator.reader import AGENT, NOON, TOKEN, Client, SetClock, basic, ids


@pytest.fixture
def keys(sim: WithSecureSimulator) -> list[str]:
    sim.gateway.set_limit(10_000, 60.0)
    return sim.cloud.fill(500, NOON - timedelta(hours=12), NOON, mix=Mix(harsh=0.0, late=0.0))


def switch(sim: WithSecureSimulator, name: str, seconds: float = 1.0) -> None:
    sim.faults.switch_on(name, Fault(count=1, seconds=seconds))


async def test_401_takes_every_token_back_until_a_new_login(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    await client.login()
    earlier = client.token
    await client.login()
    switch(sim, "unauthorized")

    statuses = [(await client.page()).status for _ in range(2)]
    client.token = earlier
    statuses.append((await client.page()).status)
    await client.login()
    statuses.append((await client.page()).status)

    assert statuses == [401, 401, 401, 200]
    assert sim.faults_served == {"unauthorized": 1}
    assert sim.violations == []


@pytest.mark.parametrize(
    ("name", "retry_after"),
    [("throttled_seconds", "7"), ("throttled_date", "Mon, 02 Mar 2026 12:00:07 GMT"), ("throttled_bare", None)],
)
async def test_429_comes_in_three_forms_and_is_no_broken_rule(
    sim: WithSecureSimulator, client: Client, name: str, retry_after: str | None
) -> None:
    await client.login()
    switch(sim, name, seconds=7)

    reply = await client.page()

    assert reply.status == 429
    assert reply.headers.get("retry-after") == retry_after
    assert (await client.page()).status == 200
    assert sim.faults_served == {name: 1}
    assert sim.violations == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 200])
async def test_gateway_errors_have_a_body_of_html(sim: WithSecureSimulator, client: Client, status: int) -> None:
    await client.login()
    name = "html_200" if status == 200 else f"http_{status}"
    switch(sim, name)

    reply = await client.page()

    assert reply.status == status
    assert reply.body.startswith(b"<html>")
    assert reply.headers["content-type"] == "text/html"
    assert (await client.page()).json["items"] == []
    assert sim.faults_served == {name: 1}


async def test_truncated_body_agrees_with_its_length_and_does_not_count_as_served(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    await client.login()
    switch(sim, "truncated")

    reply = await client.page()

    assert reply.status == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(reply.body)
    assert all(entry["times"] == 0 for entry in sim.ledger().values())
    assert sim.faults_served == {"truncated": 1}


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_cut_body_is_shorter_than_it_promised_and_does_not_count_as_served(
    sim: WithSecureSimulator, client: Client, keys: list[str], encoding: str
) -> None:
    await client.login()
    client.session.headers["Accept-Encoding"] = encoding
    switch(sim, "cut")

    with pytest.raises(aiohttp.ClientPayloadError):
        await client.page()

    assert all(entry["times"] == 0 for entry in sim.ledger().values())
    assert len((await client.page()).json["items"]) == 200
    assert sim.faults_served == {"cut": 1}


async def test_reset_ends_the_connection_before_an_answer(sim: WithSecureSimulator, client: Client) -> None:
    await client.login()
    switch(sim, "reset")

    with pytest.raises(aiohttp.ClientOSError):
        await client.page()

    assert (await client.page()).status == 200
    assert sim.faults_served == {"reset": 1}


async def test_slow_answer_takes_the_given_seconds(sim: WithSecureSimulator, client: Client, clock: SetClock) -> None:
    await client.login()
    switch(sim, "slow", seconds=12.5)

    assert (await client.page()).status == 200
    assert clock.slept == [12.5]


@pytest.mark.parametrize("limit", ["200", "10", "3", "2"])
async def test_items_stand_twice_in_a_page_without_making_it_too_long(
    sim: WithSecureSimulator, client: Client, keys: list[str], limit: str
) -> None:
    sim.faults.switch_on("duplicate_in_page", Fault())

    pages = await client.walk(limit=limit)

    assert sorted(set(ids(pages))) == sorted(keys)
    assert all(len(page) <= int(limit) for page in pages)
    assert sim.faults_served["duplicate_in_page"] == len(pages)
    assert all(len({item["id"] for item in page}) < len(page) for page in pages)
    assert sim.violations == []


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_page_begins_with_items_of_the_page_before(
    sim: WithSecureSimulator, client: Client, keys: list[str], order: str
) -> None:
    sim.faults.switch_on("duplicate_across_pages", Fault())

    pages = await client.walk(limit="100", order=order)

    assert sorted(set(ids(pages))) == sorted(keys)
    assert all(len(page) <= 100 for page in pages)
    for earlier, later in pairwise(pages):
        assert [item["id"] for item in later[:3]] == [item["id"] for item in earlier[-3:]]
    assert sim.faults_served["duplicate_across_pages"] == len(pages) - 1


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_empty_page_has_an_anchor_that_loses_nothing(
    sim: WithSecureSimulator, client: Client, keys: list[str], order: str
) -> None:
    sim.faults.switch_on("empty_page", Fault(count=3))

    first = (await client.page(order=order)).json
    second = (await client.page(order=order, anchor=first["nextAnchor"])).json
    pages = await client.walk(order=order)

    assert first["items"] == second["items"] == []
    assert first["nextAnchor"] != second["nextAnchor"]
    assert [len(page) for page in pages] == [0, 200, 200, 100]
    assert sorted(ids(pages)) == sorted(keys)
    assert sim.violations == []


async def test_empty_page_in_mid_run_goes_on_where_it_was(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    sim.faults.switch_on("empty_page", Fault(count=1, skip=2))

    pages = await client.walk()

    assert [len(page) for page in pages] == [200, 200, 0, 100]
    assert sorted(ids(pages)) == sorted(keys)


async def test_repeated_anchor_is_the_one_that_was_sent(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    sim.faults.switch_on("repeated_anchor", Fault(count=1))
    anchor = (await client.page()).json["nextAnchor"]

    repeated = (await client.page(anchor=anchor)).json
    again = (await client.page(anchor=anchor)).json

    assert repeated["nextAnchor"] == anchor
    assert again["items"] == repeated["items"]
    assert again["nextAnchor"] != anchor
    assert sim.violations == []


async def test_stale_anchor_is_refused_without_a_broken_rule(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    sim.faults.switch_on("stale_anchor", Fault(count=1))
    anchor = (await client.page()).json["nextAnchor"]

    refused = await client.page(anchor=anchor)

    assert refused.status == 400
    assert refused.json["code"] == 400_001
    assert refused.json["details"]["invalidParam"] == "anchor"
    assert sim.violations == []


@pytest.mark.parametrize("limit", [200, 50, 1])
async def test_page_with_an_unreadable_event_is_garbage_however_it_is_asked_for(
    sim: WithSecureSimulator, client: Client, keys: list[str], limit: int
) -> None:
    bad = keys[230]
    sim.faults.make_unreadable(bad)
    readable: list[str] = []
    garbage = 0
    anchor = None
    for _ in range(500):
        reply = await client.page(limit=str(limit), anchor=anchor)
        try:
            page = reply.json
        except orjson.JSONDecodeError:
            garbage += 1
            break
        readable += [item["id"] for item in page["items"]]
        anchor = page["nextAnchor"]

    assert garbage == 1
    assert bad not in readable
    assert len(readable) == 230 // limit * limit
    assert sim.ledger()[bad]["times"] == 0
    assert sim.faults_served == {"unreadable": 1}


async def test_unreadable_event_can_recover(sim: WithSecureSimulator, client: Client, keys: list[str]) -> None:
    sim.faults.make_unreadable(keys[0], times=2)
    sim.faults.make_unreadable(keys[-1])
    sim.faults.make_readable(keys[-1])

    bodies = [(await client.page()).body for _ in range(3)]

    assert [body.endswith(b"}") for body in bodies] == [False, False, True]
    assert sorted(ids(await client.walk())) == sorted(keys)
    assert sim.faults_served == {"unreadable": 2}


async def test_date_header_can_be_wrong_or_missing(sim: WithSecureSimulator, client: Client) -> None:
    await client.login()
    switch(sim, "date_wrong", seconds=3600)
    wrong = await client.page()
    switch(sim, "date_missing")
    missing = await client.page()
    right = await client.page()

    assert wrong.headers["date"] == "Mon, 02 Mar 2026 13:00:00 GMT"
    assert "date" not in missing.headers
    assert right.headers["date"] == "Mon, 02 Mar 2026 12:00:00 GMT"


async def test_403_can_be_aimed_at_one_credential(connect: Connect, clock: SetClock) -> None:
    other = Account("fusion_other", "o", Organization("44444444-4444-4444-8444-444444444444", "Other Oy"))
    sim = WithSecureSimulator([COMPANY, other], clock=clock)
    first, second = await connect(sim), await connect(sim, other)
    sim.faults.switch_on("forbidden", Fault(client_ids=frozenset({other.client_id})))

    statuses = [(await each.page()).status for each in (first, second, first, second)]

    assert statuses == [200, 403, 200, 403]
    assert sim.faults_served == {"forbidden": 2}
    assert sim.violations == []


@pytest.mark.parametrize("name", [name for name in OUTAGES if name != "reset"])
async def test_outage_strikes_logins_only_when_asked_to(sim: WithSecureSimulator, client: Client, name: str) -> None:
    form = {"grant_type": "client_credentials", "scope": "connect.api.read"}
    sim.faults.switch_on(name, Fault())
    spared = await client.send("POST", TOKEN, body=form, Authorization=basic(COMPANY), User_Agent=AGENT)
    sim.faults.switch_on(name, Fault(on_login=True))

    struck = await client.send("POST", TOKEN, body=form, Authorization=basic(COMPANY), User_Agent=AGENT)

    assert "access_token" in spared.json
    assert struck.headers["content-type"] == "text/html"
    assert sim.faults_served == {name: 1}


def test_faults_are_drawn_by_probability_from_the_seed() -> None:
    def draw(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.switch_on("cut", Fault(probability=0.3))
        return [faults.strikes("cut") is not None for _ in range(1000)]

    assert draw(1) == draw(1) != draw(2)
    assert 250 < sum(draw(1)) < 350


def test_fault_strikes_after_its_skips_as_often_as_its_count() -> None:
    faults = Faults(1)
    faults.switch_on("cut", Fault(skip=2, count=3))

    assert [faults.strikes("cut") is not None for _ in range(8)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert faults.served == {"cut": 3}


def test_switched_off_faults_strike_no_more() -> None:
    faults = Faults(1)
    faults.switch_on_all(BAD_DAY)
    faults.switch_on("cut")
    faults.switch_on("truncated")

    faults.switch_off("cut")
    after_one = (faults.strikes("cut"), faults.strikes("truncated") is not None)
    faults.switch_off()

    assert after_one == (None, True)
    assert not any(faults.strikes(name) for name in NAMES)


def test_unknown_fault_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no fault is called flood; there are cut, date_missing"):
        Faults(1).switch_on("flood")


async def test_patient_client_gets_everything_through_a_bad_day(
    sim: WithSecureSimulator, client: Client, keys: list[str]
) -> None:
    for name, probability in BAD_DAY.items():
        sim.faults.switch_on(name, Fault(probability=probability * 3, seconds=0.0))
    met: Counter[str] = Counter()
    anchor = None

    for _ in range(3000):
        try:
            reply = await client.page(limit="10", anchor=anchor)
            page = reply.json if reply.status == 200 else {}
        except (aiohttp.ClientError, orjson.JSONDecodeError):
            continue
        if reply.status == 401:
            await client.login()
        elif reply.status == 400:
            anchor = None
        elif "items" in page:
            met.update(item["id"] for item in page["items"])
            anchor = page.get("nextAnchor")
            if anchor is None:
                break

    assert set(met) == set(keys)
    assert sim.violations == []
    assert set(sim.faults_served) == set(BAD_DAY)
    ledger = sim.ledger()
    assert all(ledger[key]["times"] >= times for key, times in met.items())
