from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from collector.errors import (
    CheckpointExpired,
    NotLicensed,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
)
from collector.model import Lane, Page
from tests.unit.sources.withsecure.incident_vendor import INCIDENTS, IncidentVendor
from tests.unit.sources.withsecure.vendor import CLIENT_ID, DATA, LOGIN, SECRET, Bench, Say, bench, error

HTML = Say(502, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})


async def test_the_login_is_basic_with_a_form_of_two_fields() -> None:
    async with bench() as it:
        await it.fetch()

    login = it.vendor.asked[0]
    assert login.path == LOGIN
    assert login.body == b"grant_type=client_credentials&scope=connect.api.read"
    assert login.headers["Authorization"] == f"Basic {base64.b64encode(f'{CLIENT_ID}:{SECRET}'.encode()).decode()}"
    assert login.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_every_request_says_who_we_are_and_wants_json() -> None:
    async with bench() as it:
        await it.source.check()

    assert len(it.vendor.asked) == 3
    for asked in it.vendor.asked:
        assert asked.headers["User-Agent"].startswith("edr-collector/")
        assert asked.headers["Accept"] == "application/json"


async def test_every_request_logins_included_takes_a_turn() -> None:
    async with bench() as it:
        await it.fetch()
        it.vendor.revoked.add("opaque/token+1")
        await it.fetch(lane=Lane.SWEEP)

    assert it.budget.turns == [Lane.TIP] * 2 + [Lane.SWEEP] * 3
    assert len(it.vendor.asked) == 5


async def test_one_token_serves_until_a_minute_before_its_end() -> None:
    async with bench() as it:
        await it.fetch()
        await it.clock.advance(1797 - 61)
        await it.fetch()
        assert it.vendor.logins == 1

        await it.clock.advance(2)
        await it.fetch()
        assert it.vendor.logins == 2


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (None, 1797),
        ("x", 1797),
        (0, 1797),
        (-5, 1797),
        ([], 1797),
        ("1799", 1799),
        (20, 20),
        ("inf", 86400),
        (1e12, 86400),
    ],
)
async def test_an_odd_lifetime_neither_hammers_the_login_nor_lasts_for_ever(expires_in: Any, lifetime: int) -> None:
    async with bench() as it:
        it.vendor.expires_in = expires_in
        for _ in range(3):
            await it.fetch()
        assert it.vendor.logins == 1

        await it.clock.advance(lifetime)
        await it.fetch()
        assert it.vendor.logins == 2


async def test_a_token_revoked_in_mid_run_costs_one_login_and_the_same_page_again() -> None:
    async with bench() as it:
        names = it.vendor.fill(450, it.vendor.now - timedelta(hours=1), timedelta(seconds=1))
        first = await it.fetch()
        it.vendor.revoked.add("opaque/token+1")
        rest = await it.read(first.checkpoint)

    assert [record.id for record in first.records] + rest.names == names
    assert it.vendor.logins == 2
    assert it.vendor.data[1].form == it.vendor.data[2].form


async def test_one_new_token_that_is_refused_is_no_denial_and_the_next_attempt_logs_in_anew() -> None:
    async with bench() as it:
        for _ in range(2):  # what works in between begins the count anew
            it.vendor.says.extend([error(401), error(401)])
            with pytest.raises(SourceUnavailable, match=r"new token is refused.*status 401.*transaction 0000-abc"):
                await it.fetch()
            await it.fetch()

    assert it.vendor.logins == 5


async def test_two_new_tokens_that_are_refused_mean_denied() -> None:
    async with bench() as it:
        it.vendor.says.extend([error(401)] * 4)
        with pytest.raises(SourceUnavailable):
            await it.fetch()
        with pytest.raises(SourceDenied, match=r"status 401.*transaction 0000-abc") as denied:
            await it.fetch()
        assert type(denied.value) is SourceDenied

        await it.fetch()


async def test_lanes_that_meet_the_same_refused_token_are_not_denied() -> None:
    async with bench() as it:
        await it.fetch()
        it.vendor.says.extend([error(401)] * 4)
        tasks = [asyncio.create_task(it.fetch(lane=lane)) for lane in (Lane.TIP, Lane.TIP)]
        await asyncio.wait(tasks)

    assert {type(task.exception()) for task in tasks} <= {SourceUnavailable, type(None)}


class ResettingVendor(IncidentVendor):
    """Resets the connection at each second request for incidents."""

    async def handle(self, request: web.Request) -> web.Response:
        said = await super().handle(request)
        if request.path == INCIDENTS and len(self.asked_incidents) % 2 == 0:
            assert request.transport is not None
            request.transport.abort()
        return said


async def test_a_connection_that_is_reset_is_tried_again_by_the_poller_alone_in_turn() -> None:
    async with bench(vendor_type=ResettingVendor, feed="incidents") as it:
        for _ in range(3):
            page = await it.fetch()
            with pytest.raises(SourceUnavailable, match="connection was lost"):
                await it.fetch(page.checkpoint)

    assert len(it.vendor.asked) == len(it.budget.turns) == 1 + 6  # a login


async def through_the_queue(it: Bench, wait: float, lane: Lane = Lane.TIP) -> Page:
    """Fetch while each turn takes so long to come; time stands still while requests are under way."""
    it.budget.queue_seconds = wait
    task = asyncio.create_task(it.fetch(lane=lane))
    while not task.done():
        if it.clock.sleepers:
            await it.clock.advance(wait)
        await asyncio.sleep(0.001)
    return task.result()


async def test_tokens_that_live_shorter_than_the_budgets_queue_still_read() -> None:
    async with bench() as it:
        it.vendor.expires_in, it.vendor.tokens_age = 20, True
        for _ in range(3):
            await through_the_queue(it, 30.0)

    assert len(it.vendor.data) == 3
    assert it.vendor.logins == 4  # one for the vendor's time


async def test_a_login_that_gives_the_refused_token_again_is_not_repeated() -> None:
    async with bench() as it:
        await it.fetch()
        same = Say(body=b'{"access_token":"opaque/token+1","expires_in":1797}', transaction=None)
        it.vendor.says.append(error(401))
        it.vendor.login_says.append(same)
        await it.fetch()

    assert sum(asked.path == LOGIN for asked in it.vendor.asked) == 2


async def test_a_second_401_on_a_token_grown_too_old_is_no_denial() -> None:
    async with bench() as it:

        def late() -> Say:
            it.clock._move(1800.0)
            return error(401)

        it.vendor.says.extend([late, late])
        with pytest.raises(SourceUnavailable, match=r"too old on its way: status 401"):
            await it.fetch()
        await it.fetch()

    assert it.vendor.logins == 3


async def test_all_that_wait_share_one_login() -> None:
    async with bench() as it:
        await it.fetch()
        it.vendor.revoked.add("opaque/token+1")

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(it.fetch())

    assert it.vendor.logins == 2


async def until(done: Any) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 -- the other side is a server
            await asyncio.sleep(0.001)


async def test_one_that_gives_up_waiting_does_not_disturb_the_login_of_the_others() -> None:
    async with bench() as it:
        it.vendor.login_gate.clear()
        tasks = [asyncio.create_task(it.fetch()) for _ in range(3)]
        await until(lambda: it.vendor.asked)

        tasks[1].cancel()
        it.vendor.login_gate.set()
        await asyncio.wait(tasks)

    assert [task.cancelled() for task in tasks] == [False, True, False]
    assert it.vendor.logins == 1


async def test_if_the_one_that_logs_in_gives_up_the_next_does_it() -> None:
    async with bench() as it:
        it.vendor.login_gate.clear()
        tasks = [asyncio.create_task(it.fetch()) for _ in range(3)]
        await until(lambda: it.vendor.asked)

        tasks[0].cancel()
        await until(lambda: len(it.vendor.asked) == 2)
        it.vendor.login_gate.set()
        await asyncio.wait(tasks)

    assert [task.cancelled() for task in tasks] == [True, False, False]
    assert sum(asked.path == LOGIN for asked in it.vendor.asked) == 2


async def test_all_that_wait_share_a_failed_login_too() -> None:
    async with bench() as it:
        it.vendor.login_gate.clear()
        it.vendor.login_says.append(HTML)
        tasks = [asyncio.create_task(it.fetch()) for _ in range(3)]
        await until(lambda: it.vendor.asked)
        it.vendor.login_gate.set()
        await asyncio.wait(tasks)

        assert [type(task.exception()) for task in tasks] == [SourceUnavailable] * 3
        assert len(it.vendor.asked) == 1
        await it.fetch()


BAD_LOGIN = Say(401, b'{"error":"invalid_client","error_description":"Client authentication failed"}', transaction=None)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (BAD_LOGIN, SourceDenied, "invalid_client Client authentication failed"),
        (
            Say(400, b'{"error":"invalid_scope","error_description":"no"}'),
            SourceDenied,
            "login is refused.*invalid_scope",
        ),
        (error(403, "no scope"), SourceDenied, "status 403: 403000 no scope"),
        (error(404), SourceProtocolError, "status 404"),
        (error(500), SourceUnavailable, "status 500"),
        (HTML, SourceUnavailable, "status 502"),
        (
            Say(302, b"", {"Location": "https://elsewhere.example/"}),
            SourceUnavailable,
            "a redirect, which is not followed",
        ),
        (Say(200, b"<html>"), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":5}'), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":"a\\r\\nb"}'), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":""}'), SourceUnavailable, "no token"),
    ],
)
async def test_logins_fail_in_words_for_the_operator(said: Say, kind: type[SourceError], words: str) -> None:
    async with bench() as it:
        it.vendor.login_says.append(said)

        with pytest.raises(kind, match=words) as caught:
            await it.fetch()

    assert LOGIN in str(caught.value)
    assert not isinstance(caught.value, NotLicensed)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (error(400, "bad parameters", 400001), SourceProtocolError, "status 400: 400001 bad parameters"),
        (error(403, "no licence"), NotLicensed, "403000 no licence"),
        (error(501), NotLicensed, "status 501"),
        (error(404), SourceProtocolError, "status 404"),
        (error(408), SourceUnavailable, "status 408"),
        (error(500), SourceUnavailable, "status 500"),
        (error(503), SourceUnavailable, "status 503"),
        (HTML, SourceUnavailable, "status 502"),
        (Say(400, b"<html>"), SourceUnavailable, "status 400"),
        (Say(307, b"", {"Location": "/x"}), SourceUnavailable, "redirect"),
        (Say(200, b"<html>maintenance</html>"), SourceUnavailable, "no JSON"),
        (Say(200, b""), SourceUnavailable, "no JSON"),
    ],
)
async def test_requests_fail_with_status_words_and_transaction(said: Say, kind: type[SourceError], words: str) -> None:
    async with bench() as it:
        it.vendor.says.append(said)

        with pytest.raises(kind, match=words) as caught:
            await it.fetch()

    assert type(caught.value) is kind
    assert DATA in str(caught.value)
    assert "0000-abc" in str(caught.value)


async def test_the_transaction_of_the_body_serves_where_the_header_is_missing() -> None:
    async with bench() as it:
        said = error(500)
        it.vendor.says.append(Say(said.status, said.body, transaction=None))

        with pytest.raises(SourceUnavailable, match="transaction 0000-abc"):
            await it.fetch()


async def test_a_400_on_an_anchor_means_the_token_is_no_longer_good() -> None:
    async with bench() as it:
        it.vendor.fill(300, it.vendor.now - timedelta(hours=1), timedelta(seconds=1))
        page = await it.fetch()
        it.vendor.says.append(error(400, "stale anchor", 400001))

        with pytest.raises(CheckpointExpired, match="anchor is refused: status 400: 400001 stale anchor"):
            await it.fetch(page.checkpoint)


@pytest.mark.parametrize("login", [False, True])
@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7.0), ("999999", 3600.0), ("date", 90.0), (None, None), ("soon", None)],
)
async def test_a_429_pauses_the_whole_budget(header: str | None, wait: float | None, *, login: bool) -> None:
    async with bench() as it:
        value = header
        if header == "date":
            value = (it.vendor.now.replace(microsecond=0) + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        said = error(429, headers={} if value is None else {"Retry-After": value})
        (it.vendor.login_says if login else it.vendor.says).append(said)

        with pytest.raises(SourceUnavailable) as caught:
            await it.fetch()

    assert caught.value.throttled
    assert caught.value.retry_after == wait
    assert it.budget.pauses == [5.0 if wait is None else min(wait, 60.0)]


async def test_a_wait_the_vendor_asked_of_one_lane_holds_for_all_of_the_account() -> None:
    async with bench() as it:
        await it.fetch()
        it.vendor.says.append(error(429, headers={"Retry-After": "600"}))
        with pytest.raises(SourceUnavailable):
            await it.fetch()
        asked, turns = len(it.vendor.asked), len(it.budget.turns)
        await it.clock.advance(599)
        with pytest.raises(SourceUnavailable, match="asked to wait") as caught:
            await it.fetch()
        assert (len(it.vendor.asked), len(it.budget.turns)) == (asked, turns)
        assert caught.value.retry_after == 1.0

        await it.clock.advance(1)
        await it.fetch()


@pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "40"}, 40.0), ({}, None)])
async def test_a_503_may_say_when_to_come_back_and_holds_up_nobody_else(
    headers: dict[str, str], wait: float | None
) -> None:
    async with bench() as it:
        it.vendor.says.append(error(503, headers=headers))

        with pytest.raises(SourceUnavailable) as caught:
            await it.fetch()

    assert caught.value.retry_after == wait
    assert not caught.value.throttled
    assert it.budget.pauses == []


async def test_no_secret_is_ever_in_an_error() -> None:
    async with bench() as it:
        it.vendor.login_says.append(error(401, f"client {CLIENT_ID} with {SECRET} is unknown"))
        with pytest.raises(SourceDenied, match=r"with \*\*\* is unknown"):
            await it.fetch()
        it.vendor.says.append(error(403, "opaque/token+1 lacks the scope\r\nforged line"))
        with pytest.raises(SourceDenied, match=r"\*\*\* lacks the scope forged line"):
            await it.fetch()


async def test_feeds_of_one_account_that_begin_together_spend_one_turn_on_its_login() -> None:
    async with bench() as it:
        await asyncio.gather(it.fetch(), it.fetch())

        assert [asked.path for asked in it.vendor.asked].count("/as/token.oauth2") == 1
        assert len(it.budget.turns) == 1 + 2


async def test_feeds_of_one_account_whose_login_is_refused_spend_one_turn_on_it() -> None:
    async with bench() as it:
        it.vendor.login_says.append(error(401, "unknown client"))
        outcomes = await asyncio.gather(it.fetch(), it.fetch(), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [SourceDenied] * 2
        assert len(it.budget.turns) == len(it.vendor.asked) == 1
