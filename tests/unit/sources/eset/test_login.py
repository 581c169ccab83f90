from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from collector.errors import SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.model import Lane
from tests.unit.sources.eset.vendor import HTML, LOGIN, PASSWORD, USERNAME, Say, bench, empty, error, pending

BY_PASSWORD, BY_REFRESH = "password", "refresh_token"


async def test_the_login_is_a_form_of_the_password_grant_with_every_character_encoded() -> None:
    async with bench() as it:
        await it.get()

    login = it.vendor.asked[0]
    assert (login.method, login.path) == ("POST", LOGIN)
    assert login.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert login.form == {"grant_type": "password", "username": USERNAME, "password": PASSWORD}
    assert b"password=p%26ss%3Dw%2Frd%2B1+%25%C3%BC" in login.body
    assert "Authorization" not in login.headers


async def test_every_request_names_the_integration_and_its_version() -> None:
    async with bench() as it:
        await it.get()

    assert len(it.vendor.asked) == 2
    for asked in it.vendor.asked:
        assert asked.headers["3rd-integration"] == "edr-collector"
        assert asked.headers["Version"]
        assert asked.headers["User-Agent"].startswith("edr-collector/")
        assert asked.headers["Accept"] == "application/json"


async def test_every_login_takes_a_turn_and_the_request_another() -> None:
    async with bench() as it:
        await it.get()
        it.vendor.takes_refresh = False
        it.vendor.revoked = True
        await it.get(lane=Lane.SWEEP)

    # login, data; data refused, renewal refused, login, data
    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_PASSWORD]
    assert len(it.vendor.asked) == 6
    assert it.budget.turns == [Lane.TIP] * 2 + [Lane.SWEEP] * 4


async def test_a_token_is_renewed_a_minute_before_its_end_each_time_with_the_newest_refresh_token() -> None:
    async with bench() as it:
        await it.get()
        await it.clock.advance(3600 - 61)
        await it.get()
        assert it.vendor.grants == [BY_PASSWORD]

        for _ in range(3):
            await it.clock.advance(3600 - 59)
            await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_REFRESH, BY_REFRESH]
    sent = [asked.form["refresh_token"] for asked in it.vendor.asked if asked.form.get("grant_type") == BY_REFRESH]
    assert sent == ["r-1&/+=", "r-2&/+=", "r-3&/+="]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415, 422])
async def test_a_refused_renewal_is_followed_by_one_login_with_the_password(status: int) -> None:
    async with bench() as it:
        await it.get()
        await it.clock.advance(3600)
        it.vendor.login_says.append(empty(status))
        await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_PASSWORD]
    assert len(it.vendor.data) == 2


async def test_a_refused_password_after_a_refused_renewal_is_denied_and_not_repeated() -> None:
    async with bench() as it:
        await it.get()
        await it.clock.advance(3600)
        it.vendor.login_says.extend([empty(400), empty(400)])
        with pytest.raises(SourceDenied, match="login is refused: status 400"):
            await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_PASSWORD]


@pytest.mark.parametrize(
    ("said", "following"),
    [(error(500), BY_PASSWORD), (error(503), BY_REFRESH), (error(429), BY_REFRESH), (error(408), BY_PASSWORD)],
    ids=str,
)
async def test_a_refresh_token_is_sent_again_only_where_nobody_looked_at_it(said: Say, following: str) -> None:
    async with bench() as it:
        await it.get()
        await it.clock.advance(3600)
        it.vendor.login_says.append(said)
        with pytest.raises(SourceUnavailable):
            await it.get()
        await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, following]


async def test_without_a_new_refresh_token_the_password_comes_next() -> None:
    async with bench() as it:
        await it.get()
        it.vendor.gives_refresh = False
        await it.clock.advance(3600)
        await it.get()
        await it.clock.advance(3600)
        await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_PASSWORD]


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (None, 3600),
        ("x", 3600),
        (True, 3600),
        (0, 3600),
        (-5, 3600),
        ([], 3600),
        ("nan", 3600),
        ("1799", 1799),
        (20, 20),
        ("inf", 86400),
        (10**15, 86400),
    ],
    ids=["null", "text", "bool", "zero", "negative", "list", "nan", "digits", "short", "infinite", "huge"],
)
async def test_an_odd_lifetime_neither_hammers_the_login_nor_lasts_for_ever(expires_in: Any, lifetime: int) -> None:
    async with bench() as it:
        it.vendor.expires_in = expires_in
        for _ in range(3):
            await it.get()
        await it.clock.advance(lifetime / 2 - 1)
        await it.get()
        assert len(it.vendor.grants) == 1

        await it.clock.advance(lifetime / 2 + 1)
        await it.get()
        assert len(it.vendor.grants) == 2


async def test_all_that_wait_share_one_renewal() -> None:
    async with bench() as it:
        await it.get()
        it.vendor.revoked = True

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(it.get())

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH]


async def until(done: Any) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 -- the other side is a server
            await asyncio.sleep(0.001)


async def test_all_that_wait_share_a_failed_login_too() -> None:
    async with bench() as it:
        it.vendor.login_gate.clear()
        it.vendor.login_says.append(HTML)
        tasks = [asyncio.create_task(it.get()) for _ in range(3)]
        await until(lambda: it.vendor.asked)
        it.vendor.login_gate.set()
        await asyncio.wait(tasks)

        assert [type(task.exception()) for task in tasks] == [SourceUnavailable] * 3
        assert len(it.vendor.asked) == 1
        await it.get()


async def test_if_the_one_that_logs_in_gives_up_the_next_does_it() -> None:
    async with bench() as it:
        it.vendor.login_gate.clear()
        tasks = [asyncio.create_task(it.get()) for _ in range(3)]
        await until(lambda: it.vendor.asked)

        tasks[0].cancel()
        await until(lambda: len(it.vendor.asked) == 2)
        it.vendor.login_gate.set()
        await asyncio.wait(tasks)

    assert [task.cancelled() for task in tasks] == [True, False, False]
    assert it.vendor.grants == [BY_PASSWORD, BY_PASSWORD]


async def test_a_renewal_that_was_cut_off_is_followed_by_the_password() -> None:
    async with bench() as it:
        await it.get()
        await it.clock.advance(3600)
        it.vendor.login_gate.clear()
        task = asyncio.create_task(it.get())
        await until(lambda: len(it.vendor.grants) == 2)
        task.cancel()
        await asyncio.wait([task])
        it.vendor.login_gate.set()
        await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_REFRESH, BY_PASSWORD]


async def test_a_pending_login_is_asked_for_again_by_its_response_id() -> None:
    async with bench(hurry=True) as it:
        it.vendor.login_says.extend([pending("one"), pending("two"), pending(None, {"Retry-After": "9"})])
        await it.get()

    logins = [asked for asked in it.vendor.asked if asked.path == LOGIN]
    assert [asked.response_id for asked in logins] == [None, "one", "two", "two"]
    assert len({asked.body for asked in logins}) == 1
    assert it.clock.slept == [1.0, 1.5, 9.0]
    assert len(it.budget.turns) == len(it.vendor.asked)


@pytest.mark.parametrize(
    ("said", "words"),
    [([pending()] * 6, "still pending"), ([pending(), empty(404)], "pending login is gone")],
    ids=["for ever", "gone"],
)
async def test_a_login_that_stays_pending_is_tried_anew_later(said: list[Say], words: str) -> None:
    async with bench(hurry=True) as it:
        it.vendor.login_says.extend(said)
        with pytest.raises(SourceUnavailable, match=words) as caught:
            await it.get()
        assert caught.value.retry_after
        await it.get()

    assert it.vendor.asked[-2].response_id is None


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (Say(400, b'{"error":"invalid_grant"}'), SourceDenied, "login is refused: status 400: invalid_grant"),
        (empty(400), SourceDenied, "login is refused: status 400 "),
        (error(401), SourceDenied, "status 401: 7 no"),
        (Say(403, b"", request_id=None), SourceDenied, "status 403$"),
        (Say(403, b"<html>"), SourceDenied, "status 403"),
        (empty(415), SourceDenied, "status 415"),
        (empty(404), SourceProtocolError, "there is no login here: status 404"),
        (error(500), SourceUnavailable, "status 500"),
        (error(503), SourceUnavailable, "status 503"),
        (HTML, SourceUnavailable, "status 502"),
        (Say(429, b""), SourceUnavailable, "status 429"),
        (Say(302, b"", {"Location": "https://elsewhere.example/"}), SourceUnavailable, "a redirect"),
        (Say(204, b""), SourceUnavailable, "status 204"),
        (Say(200, b"<html>"), SourceUnavailable, "no token"),
        (Say(200, b"[]"), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":5}'), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":"a\\r\\nb"}'), SourceUnavailable, "no token"),
        (Say(200, b'{"access_token":""}'), SourceUnavailable, "no token"),
    ],
    ids=str,
)
async def test_logins_fail_in_words_for_the_operator(said: Say, kind: type[SourceError], words: str) -> None:
    async with bench() as it:
        it.vendor.login_says.append(said)

        with pytest.raises(kind, match=words) as caught:
            await it.get()

    assert str(caught.value).startswith(LOGIN)
    assert type(caught.value) is kind
    assert ("request 77aa-req" in str(caught.value)) == (said.request_id is not None)


@pytest.mark.parametrize("refresh", [5, None, "", "a b", ["r"]], ids=str)
async def test_an_odd_refresh_token_is_none(refresh: Any) -> None:
    async with bench() as it:
        pair = {"access_token": it.vendor.access, "expires_in": 3600, "refresh_token": refresh}
        it.vendor.login_says.append(Say(body=json.dumps(pair).encode()))
        await it.get()
        await it.clock.advance(3600)
        await it.get()

    assert it.vendor.grants == [BY_PASSWORD, BY_PASSWORD]
