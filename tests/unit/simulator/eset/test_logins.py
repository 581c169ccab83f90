"""Who gets a token, and how long it is good."""

from __future__ import annotations

import pytest

from collector.simulator import Fault
from collector.simulator.eset import HARBOUR, EsetSimulator
from tests.unit.simulator.eset.reader import DEVICES, TOKEN, Reader
from tests.unit.simulator.reader import SetClock


async def test_password_with_unusual_characters_opens_the_api(vendor: EsetSimulator, reader: Reader) -> None:
    reply = await reader.login()

    assert reply.status == 200
    assert reply.json["expires_in"] == 3600
    assert reply.json["token_type"].lower() == "bearer"
    assert "request-id" in reply.headers
    assert (await reader.get(DEVICES)).status == 200
    assert vendor.violations == []


async def test_a_token_request_that_is_no_form_is_415(vendor: EsetSimulator, reader: Reader) -> None:
    body = {"grant_type": "password", "username": HARBOUR.username, "password": HARBOUR.password}

    reply = await reader.send("POST", TOKEN, json=body)

    assert (reply.status, reply.body) == (415, b"")
    assert vendor.violations == ["token request is no form"]


async def test_a_wrong_password_is_400_invalid_grant_and_no_broken_rule(vendor: EsetSimulator, reader: Reader) -> None:
    reply = await reader.ask_token(grant_type="password", username=HARBOUR.username, password="guess")

    assert reply.status == 400
    assert reply.json["error"] == "invalid_grant"
    assert vendor.violations == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"},
        {"grant_type": "password", "username": HARBOUR.username},
        {"grant_type": "refresh_token", "refresh_token": "made-up"},
    ],
    ids=["empty", "client credentials", "no password", "made-up refresh token"],
)
async def test_other_grants_break_a_rule(vendor: EsetSimulator, reader: Reader, fields: dict[str, str]) -> None:
    reply = await reader.ask_token(**fields)

    assert 400 <= reply.status < 500
    assert len(vendor.violations) == 1


async def test_extra_fields_of_a_token_request_are_tolerated(vendor: EsetSimulator, reader: Reader) -> None:
    reply = await reader.ask_token(
        grant_type="password", username=HARBOUR.username, password=HARBOUR.password, client_id="", client_secret="any"
    )

    assert reply.status == 200
    assert vendor.violations == []


async def test_each_refresh_gives_new_tokens_and_ends_the_refresh_token_it_used(
    vendor: EsetSimulator, reader: Reader
) -> None:
    await reader.login()
    access, used = reader.token, reader.refresh

    assert (await reader.renew()).status == 200
    again = await reader.ask_token(grant_type="refresh_token", refresh_token=used)

    assert reader.token != access
    assert reader.refresh != used
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    assert (await reader.renew()).status == 200
    assert vendor.violations == []


async def test_refresh_tokens_may_be_good_more_than_once_and_for_a_while_alone(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    vendor.logins.single_use = False
    vendor.logins.refresh_lives_seconds = 60.0
    await reader.login()
    refresh = {"grant_type": "refresh_token", "refresh_token": reader.refresh}

    statuses = [(await reader.ask_token(**refresh)).status for _ in range(2)]
    clock.forward(61)
    statuses.append((await reader.ask_token(**refresh)).status)

    assert statuses == [200, 200, 400]


async def test_an_expired_token_is_401_and_its_use_long_after_breaks_a_rule(
    vendor: EsetSimulator, reader: Reader, clock: SetClock
) -> None:
    vendor.logins.expires_in = 30
    await reader.login()
    clock.forward(31)
    just_after = await reader.get(DEVICES)
    assert vendor.violations == []
    clock.forward(10)

    long_after = await reader.get(DEVICES)

    assert (just_after.status, long_after.status) == (401, 401)
    assert vendor.violations == ["token used after it expired"]


async def test_a_revoked_token_is_401_until_the_next_login(vendor: EsetSimulator, reader: Reader) -> None:
    await reader.login()
    vendor.faults.switch_on("unauthorized", Fault(count=1))

    statuses = [(await reader.get(DEVICES)).status for _ in range(2)]
    await reader.renew()
    statuses.append((await reader.get(DEVICES)).status)

    assert statuses == [401, 401, 200]
    assert vendor.violations == []


async def test_revoking_may_take_the_refresh_token_too(vendor: EsetSimulator, reader: Reader) -> None:
    await reader.login()
    vendor.logins.revoke(HARBOUR.username, refresh=True)

    reply = await reader.renew()

    assert reply.status == 400


async def test_the_403_that_nobody_explained_has_no_request_id(vendor: EsetSimulator, reader: Reader) -> None:
    vendor.faults.switch_on("login_403", Fault(count=1))

    reply = await reader.login()

    assert reply.status == 403
    assert "request-id" not in reply.headers
    assert (await reader.login()).status == 200


async def test_a_login_may_be_pending(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    vendor.faults.switch_on("login_pending", Fault(count=1, seconds=2.0))
    form = {"grant_type": "password", "username": HARBOUR.username, "password": HARBOUR.password}
    first = await reader.send("POST", TOKEN, data=form)
    again = {"response-id": first.headers["response-id"]}
    early = await reader.send("POST", TOKEN, data=form, headers=again)
    clock.forward(2)

    late = await reader.send("POST", TOKEN, data=form, headers=again)

    assert (first.status, early.status, late.status) == (202, 202, 200)
    assert late.json["access_token"]
    assert vendor.violations == []


@pytest.mark.parametrize(("name", "status"), [("login_500", 500), ("login_503", 503)])
async def test_the_token_endpoint_may_be_down(vendor: EsetSimulator, reader: Reader, name: str, status: int) -> None:
    vendor.faults.switch_on(name, Fault(count=1))

    assert (await reader.login()).status == status
    assert (await reader.login()).status == 200


async def test_a_login_may_be_slow(vendor: EsetSimulator, reader: Reader, clock: SetClock) -> None:
    vendor.faults.switch_on("login_slow", Fault(count=1, seconds=9.0))

    assert (await reader.login()).status == 200
    assert clock.slept == [9.0]


async def test_requests_without_a_token_or_with_one_never_given_out_break_a_rule(
    vendor: EsetSimulator, reader: Reader
) -> None:
    nothing = await reader.send("GET", DEVICES, headers=reader.headers)
    reader.token = "made-up"
    made_up = await reader.get(DEVICES)

    assert (nothing.status, made_up.status) == (401, 401)
    assert made_up.json["code"] == 8
    assert vendor.violations == ["data request without a bearer token", "token that was never given out"]
