"""What the simulated vendor accepts, refuses and counts."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from collector.simulator import COMPANY, Account, Mix, Organization, WithSecureSimulator, anchors
from collector.simulator.anchors import AnchorBook
from collector.simulator.rules import RuleBook
from tests.unit.simulator.conftest import Connect
from tests.unit.simulator.reader import AGENT, EVENTS, NOON, TOKEN, Client, SetClock, basic, ids, parameters

FORM = "application/x-www-form-urlencoded"
GOOD_LOGIN = {"grant_type": "client_credentials", "scope": "connect.api.read"}
PLAIN = Mix(harsh=0.0, late=0.0)


def fill(sim: WithSecureSimulator, count: int = 1000) -> list[str]:
    return sim.cloud.fill(count, NOON - timedelta(hours=12), NOON, mix=PLAIN)


def only_rule(sim: WithSecureSimulator) -> str:
    assert len(sim.violations) == 1, sim.violations
    return sim.violations[0]


# -- logging in -----------------------------------------------------------------------------------


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


# -- the front door -------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("POST", TOKEN), ("POST", EVENTS), ("GET", "/whoami/v1/whoami")])
async def test_request_without_a_user_agent_is_refused(
    sim: WithSecureSimulator, client: Client, method: str, path: str
) -> None:
    reply = await client.send(method, path, Content_Type=FORM)

    assert reply.status == 403
    assert only_rule(sim) == "request without a User-Agent"


async def test_every_answer_carries_vendor_time_and_a_transaction(sim: WithSecureSimulator, client: Client) -> None:
    await client.login()
    sim.cloud.time.offset_seconds = -660

    good, bad = await client.page(), await client.page(limit="0")

    assert good.headers["date"] == bad.headers["date"] == "Mon, 02 Mar 2026 11:49:00 GMT"
    assert good.headers["x-transaction"] != bad.headers["x-transaction"]
    assert bad.json["transactionId"] == bad.headers["x-transaction"]


async def test_answers_are_compressed_only_where_that_is_accepted(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim)
    zipped = await client.page()
    client.session.headers["Accept-Encoding"] = "identity"

    plain = await client.page()

    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert plain.body == zipped.body
    assert int(zipped.headers["content-length"]) < len(plain.body) / 2


async def test_requests_over_the_window_get_429_and_break_a_rule(
    client: Client, sim: WithSecureSimulator, clock: SetClock
) -> None:
    sim.gateway.set_limit(3, 60.0)
    statuses = [(await client.page()).status for _ in range(2)]
    clock.forward(20)

    over = await client.page()
    clock.forward(40)
    after = await client.page()

    assert statuses == [200, 200]
    assert over.status == 429
    assert over.headers["retry-after"] == "40"
    assert after.status == 200
    assert sim.violations == ["more than 3 requests in 60 s"]
    assert sim.most_in_window == 4
    assert sim.requests == {f"POST {TOKEN}": 1, f"POST {EVENTS}": 4}


async def test_unknown_paths_and_the_deprecated_get_are_refused(sim: WithSecureSimulator, client: Client) -> None:
    unknown, deprecated = await client.get("/incidents/v1/incidents"), await client.get(EVENTS)

    assert (unknown.status, deprecated.status) == (404, 405)
    assert len(sim.violations) == 2


# -- tokens on data requests ----------------------------------------------------------------------


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


# -- parameters -----------------------------------------------------------------------------------


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


# -- what is found --------------------------------------------------------------------------------


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


# -- paging ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["1", "3", "200"])
async def test_anchors_lead_through_a_tie_of_five_hundred(sim: WithSecureSimulator, client: Client, limit: str) -> None:
    sim.gateway.set_limit(10_000, 60)
    before = sim.cloud.tie(3, NOON - timedelta(minutes=2))
    tied = sim.cloud.tie(500, NOON - timedelta(minutes=1))

    met = ids(await client.walk(limit=limit))

    assert sorted(met) == sorted(before + tied)
    assert sim.violations == []


async def test_anchor_is_a_stateless_position_of_time_and_id(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim, 300)

    first = (await client.page()).json
    last = first["items"][-1]
    position = base64.b64decode(first["nextAnchor"]).decode()
    second = (await client.page(anchor=first["nextAnchor"])).json

    assert position.startswith("[1772")
    assert position.endswith(f',"{last["id"]}"]')
    assert "nextAnchor" not in second
    assert (await client.page(anchor=first["nextAnchor"])).json == second


@pytest.mark.parametrize(
    "changes",
    [
        {"persistenceTimestampStart": "2026-03-02T00:00:01Z"},
        {"persistenceTimestampEnd": "2026-03-02T11:59:59Z"},
        {"persistenceTimestampEnd": None},
        {"order": "desc"},
        {"engineGroup": "epp"},
        {"severity": "info"},
    ],
)
async def test_other_parameters_with_an_anchor_break_a_rule(
    sim: WithSecureSimulator, client: Client, changes: dict[str, str | None]
) -> None:
    fill(sim, 300)
    anchor = (await client.page()).json["nextAnchor"]

    reply = await client.page(anchor=anchor, **changes)

    assert reply.status == 200
    assert only_rule(sim).startswith(f"parameters changed while following an anchor: {next(iter(changes))}")


async def test_smaller_limit_with_an_anchor_is_the_same_query(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim, 300)
    anchor = (await client.page()).json["nextAnchor"]

    reply = await client.page(anchor=anchor, limit="5")

    assert len(reply.json["items"]) == 5
    assert sim.violations == []


async def test_anchor_that_was_never_given_out_breaks_a_rule(sim: WithSecureSimulator, client: Client) -> None:
    anchor = base64.b64encode(b'[1772442907412,"x"]').decode()

    assert (await client.page(anchor=anchor)).status == 200
    assert only_rule(sim).startswith("anchor that was never given out")


def test_memory_of_given_anchors_is_bounded_and_forgotten_ones_break_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "_REMEMBERED", 2)
    rules = RuleBook()
    book = AnchorBook(rules)

    for anchor in ("a", "b", "c"):
        book.gave("client", anchor, (("order", "asc"),))
    for anchor in ("a", "b", "c"):
        book.check("client", anchor, (("order", "desc"),))

    assert len(rules.violations) == 2


# -- credentials and organizations ----------------------------------------------------------------

NORTH = Organization("11111111-1111-4111-8111-111111111111", "North Oy")
SOUTH = Organization("22222222-2222-4222-8222-222222222222", "South Oy")
RESELLER = Organization("33333333-3333-4333-8333-333333333333", "Reseller Oy", "partner")
PARTNER = Account("fusion_partner", "p", RESELLER, (NORTH, SOUTH))
NORTHERN = Account("fusion_north", "n", NORTH)


async def test_partner_sees_all_organizations_and_a_company_its_own(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    everything = fill(sim)
    partner, north = await connect(sim, PARTNER), await connect(sim, NORTHERN)

    of_north = ids(await north.walk())
    of_partner = ids(await partner.walk())
    filtered = ids(await partner.walk(organizationId=NORTH.id))
    foreign = await north.page(organizationId=SOUTH.id)

    assert sorted(of_partner) == sorted(everything)
    assert of_north == filtered
    assert 200 < len(of_north) < 500
    assert foreign.status == 403
    assert sim.violations == []


async def test_ledger_of_a_credential_holds_what_it_may_see(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    fill(sim)
    north = await connect(sim, NORTHERN)

    met = ids(await north.walk())

    ledger = sim.ledger([NORTHERN.client_id])
    assert sorted(ledger) == sorted(met)
    assert all(entry["by_client"] == {NORTHERN.client_id: 1} for entry in ledger.values())
    assert len(sim.ledger()) == 1000


async def test_whoami_names_client_and_organization(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    partner = await connect(sim, PARTNER)

    known, extra = await partner.get("/whoami/v1/whoami"), await partner.get("/whoami/v1/whoami?verbose=1")

    assert known.json == {"clientId": "fusion_partner", "organizationId": RESELLER.id}
    assert extra.status == 400


async def test_organizations_are_listed_in_pages(connect: Connect, clock: SetClock) -> None:
    sim = WithSecureSimulator([PARTNER, NORTHERN], clock=clock)
    partner = await connect(sim, PARTNER)
    path = "/organizations/v1/organizations"

    everything = (await partner.get(path)).json
    first = (await partner.get(f"{path}?limit=2")).json
    rest = (await partner.get(f"{path}?limit=2&anchor={first['nextAnchor']}")).json
    companies = (await partner.get(f"{path}?type=company")).json

    assert everything["items"] == [
        {"id": each.id, "name": each.name, "type": each.type} for each in (NORTH, SOUTH, RESELLER)
    ]
    assert first["items"] + rest["items"] == everything["items"]
    assert "nextAnchor" not in everything | rest
    assert [each["name"] for each in companies["items"]] == ["North Oy", "South Oy"]
    assert (await partner.get(f"{path}?limit=201")).status == 400
    assert (await partner.get(f"{path}?type=planet")).status == 400
