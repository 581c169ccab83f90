"""Logging in, and what becomes of tokens."""

from __future__ import annotations

import base64

import pytest

from collector.simulator import COMPANY, Account, WithSecureSimulator
from tests.unit.simulator.reader import (
    AGENT,
    EVENTS,
    FORM,
    TOKEN,
    Client,
    SetClock,
    basic,
    only_rule,
    parameters,
)

GOOD_LOGIN = {"grant_type": "client_credentials", "scope": "connect.api.read"}


async def test_login_gives_an_opaque_token_with_a_slash_for_the_configured_time(
    sim: WithSecureSimulator, client: Client
) -> None:
    sim.logins.expires_in = 1799

    reply = await client.send("POST", TOKEN, body=GOOD_LOGIN, Authorization=basic(COMPANY), User_Agent=AGENT)

    assert reply.status == 200
    assert reply.json["token_type"] == "Bearer"
    assert reply.json["expires_in"] == 1799
    assert "/" in reply.json["access_token"]
    assert sim.violations == []
    assert sim.logins.granted == {COMPANY.client_id: 1}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({**GOOD_LOGIN, "client_id": "x", "client_secret": "y"}, 400, "invalid_request"),
        ({**GOOD_LOGIN, "audience": "x"}, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 400, "invalid_request"),
        ({"scope": "connect.api.read"}, 400, "invalid_request"),
        ({**GOOD_LOGIN, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ({**GOOD_LOGIN, "scope": "everything"}, 400, "invalid_scope"),
        ([*GOOD_LOGIN.items(), ("scope", "connect.api.read")], 400, "invalid_request"),
    ],
)
async def test_token_form_other_than_the_two_fields_breaks_a_rule(
    sim: WithSecureSimulator, client: Client, form: dict[str, str], status: int, error: str
) -> None:
    reply = await client.send("POST", TOKEN, body=form, Authorization=basic(COMPANY), User_Agent=AGENT)

    assert reply.status == status
    assert reply.json["error"] == error
    assert "x-transaction" not in reply.headers
    assert len(sim.violations) == 1
    assert not sim.logins.granted


@pytest.mark.parametrize(("query", "body"), [("?scope=x", b"grant_type=x&scope=y"), ("", b"grant_type")])
async def test_token_request_with_a_query_string_or_a_malformed_form_is_refused(
    sim: WithSecureSimulator, client: Client, query: str, body: bytes
) -> None:
    reply = await client.send(
        "POST", TOKEN + query, body=body, Authorization=basic(COMPANY), User_Agent=AGENT, Content_Type=FORM
    )

    assert reply.status == 400
    assert len(sim.violations) == 1


async def test_token_request_must_be_a_form(sim: WithSecureSimulator, client: Client) -> None:
    reply = await client.send(
        "POST", TOKEN, body=b"{}", Authorization=basic(COMPANY), User_Agent=AGENT, Content_Type="application/json"
    )

    assert reply.status == 400
    assert only_rule(sim) == "token request is no form"


@pytest.mark.parametrize(
    "authorization", [None, "Bearer abc", "Basic ???", "Basic " + base64.b64encode(b"\xff").decode()]
)
async def test_token_request_needs_basic_authentication(
    sim: WithSecureSimulator, client: Client, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}

    reply = await client.send("POST", TOKEN, body=GOOD_LOGIN, User_Agent=AGENT, **headers)

    assert reply.status == 401
    assert len(sim.violations) == 1


@pytest.mark.parametrize(
    "account", [Account("fusion_0", "x", COMPANY.organization), Account(COMPANY.client_id, "x", COMPANY.organization)]
)
async def test_wrong_credentials_are_refused_but_break_no_rule(
    sim: WithSecureSimulator, client: Client, account: Account
) -> None:
    reply = await client.send("POST", TOKEN, body=GOOD_LOGIN, Authorization=basic(account), User_Agent=AGENT)

    assert reply.status == 401
    assert reply.json["error"] == "invalid_client"
    assert sim.violations == []
    assert sim.rules.refused == {"401 unknown client or wrong secret": 1}


async def test_data_request_without_a_token_breaks_a_rule(sim: WithSecureSimulator, client: Client) -> None:
    reply = await client.send("POST", EVENTS, body=parameters(), User_Agent=AGENT)

    assert reply.status == 401
    assert reply.json["code"] == 401_000
    assert only_rule(sim) == "data request without a bearer token"


async def test_made_up_token_breaks_a_rule(sim: WithSecureSimulator, client: Client) -> None:
    client.token = "made/up"

    assert (await client.page()).status == 401
    assert only_rule(sim) == "token that was never given out"


async def test_token_ends_after_its_time(sim: WithSecureSimulator, client: Client, clock: SetClock) -> None:
    sim.logins.expires_in = 100
    await client.login()

    clock.forward(99)
    before = await client.page()
    clock.forward(1)
    after = await client.page()

    assert (before.status, after.status) == (200, 401)
    assert only_rule(sim) == "token used after it expired"


async def test_token_that_was_taken_back_is_refused_but_breaks_no_rule(
    sim: WithSecureSimulator, client: Client
) -> None:
    await client.login()
    sim.logins.revoke(COMPANY.client_id)

    refused = await client.page()
    await client.login()
    served = await client.page()

    assert (refused.status, served.status) == (401, 200)
    assert sim.violations == []
