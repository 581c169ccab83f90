"""What every request and every answer has to carry."""

from __future__ import annotations

import pytest

from collector.simulator import WithSecureSimulator
from tests.unit.simulator.reader import EVENTS, FORM, TOKEN, Client, SetClock, fill, only_rule


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
    unknown, deprecated = await client.get("/incidents/v1/updates"), await client.get(EVENTS)

    assert (unknown.status, deprecated.status) == (404, 405)
    assert len(sim.violations) == 2
