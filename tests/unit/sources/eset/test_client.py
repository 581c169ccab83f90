from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, quote_plus

import pytest

from collector.errors import (
    CheckpointExpired,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
)
from collector.http import Answer, AnswerTooLarge
from collector.model import Lane
from collector.sources.eset.client import NotOffered, ResponseGone, TookTooLong
from collector.sources.eset.complaints import request_id_of
from collector.sources.eset.pending import Pending, PendingAnswer
from tests.unit.sources.eset.vendor import (
    DETECTIONS,
    HTML,
    INCIDENTS,
    LOGIN,
    PASSWORD,
    Bench,
    Say,
    bench,
    empty,
    error,
    pending,
)

QUERY = [("pageSize", "1000"), ("pageToken", "b2Zm+/=&%20"), ("filter", 'incident.update_time >= timestamp("x")')]


async def test_a_query_arrives_as_it_was_meant() -> None:
    async with bench() as it:
        answer = await it.get(INCIDENTS, query=QUERY)

    assert it.vendor.data[0].method == "GET"
    assert it.vendor.data[0].query == QUERY
    assert answer.status == 200
    assert request_id_of(answer) == "77aa-req"


async def test_each_service_has_its_own_host() -> None:
    async with bench(device_url="http://127.0.0.1:9") as it:
        await it.get()
        with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9/v1/devices"):
            await it.get("/v1/devices", service="device")


async def test_a_service_nobody_says_where_it_is_is_not_offered() -> None:
    async with bench(device_url=None) as it:
        with pytest.raises(NotOffered, match="does not say where"):
            await it.get("/v1/devices", service="device")

    assert it.vendor.asked == []


async def test_the_vendors_time_costs_one_login_and_then_nothing() -> None:
    async with bench() as it:
        it.vendor.ahead = timedelta(minutes=5)
        first = await it.client.vendor_time(Lane.TIP)
        await it.client.vendor_time(Lane.TIP)
        await it.get()

    assert first.known
    assert first.skewed
    assert len(it.vendor.grants) == 1
    assert it.budget.turns == [Lane.TIP] * 2


async def test_lanes_that_begin_together_log_in_once() -> None:
    async with bench() as it:
        told = await asyncio.gather(*(it.client.vendor_time(Lane.TIP) for _ in range(4)))
        assert len(it.vendor.grants) == 1
        it.client.doubt_time()

        async def later() -> None:
            await it.client._budget.take(Lane.TIP)
            it.client.vendor_clock.note(it.vendor.now)

        await asyncio.gather(later(), it.client.vendor_time(Lane.TIP))

    assert all(time.known for time in told)
    assert len(it.vendor.grants) == 1


async def test_doubted_time_is_asked_for_anew() -> None:
    async with bench() as it:
        await it.client.vendor_time(Lane.TIP)
        it.client.doubt_time()
        await it.client.vendor_time(Lane.TIP)

    assert len(it.vendor.grants) == 2


async def test_a_vendor_that_does_not_tell_its_time_is_asked_once() -> None:
    async with bench() as it:
        it.vendor.tells_time = False
        for _ in range(3):
            assert not (await it.client.vendor_time(Lane.TIP)).known

    assert len(it.vendor.grants) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_costs_one_renewal_and_the_same_request_again(status: int) -> None:
    async with bench() as it:
        await it.get()
        it.vendor.says.append(empty(status))
        await it.get(query=QUERY, response_id="3f0c")

    assert it.vendor.grants == ["password", "refresh_token"]
    refused, again = it.vendor.data[1:]
    assert refused.raw == again.raw
    assert refused.response_id == again.response_id == "3f0c"
    assert refused.token != again.token


async def test_a_401_on_a_renewed_token_makes_the_next_login_one_by_password() -> None:
    async with bench() as it:
        await it.get()
        it.vendor.says.extend([empty(401), empty(401)])
        with pytest.raises(SourceUnavailable, match=r"new token is refused as well: status 401"):
            await it.get()
        await it.get()

    assert it.vendor.grants == ["password", "refresh_token", "password"]


async def test_tokens_refused_again_and_again_are_a_denial_until_one_is_taken() -> None:
    async with bench() as it:
        it.vendor.says.extend([empty(401)] * 5)
        with pytest.raises(SourceUnavailable, match="as well"):
            await it.get()
        with pytest.raises(SourceDenied, match=r"status 401 \(request 77aa-req\)"):
            await it.get()
        for _ in range(2):
            await it.get()
            it.vendor.says.extend([empty(401)] * 2)
            with pytest.raises(SourceUnavailable, match="as well"):
                await it.get()


async def test_a_401_on_a_token_grown_too_old_is_no_denial() -> None:
    async with bench() as it:
        it.vendor.gives_refresh = False

        def late() -> Say:
            it.clock._move(3600.0)
            return empty(401)

        it.vendor.says.extend([late, late])
        with pytest.raises(SourceUnavailable, match="too old on its way"):
            await it.get()


async def test_a_service_that_refuses_a_new_token_is_not_worth_a_login_each_time() -> None:
    async with bench() as it:
        for number in range(4):
            it.vendor.says.extend([empty(403)] * (2 if number == 0 else 1))
            with pytest.raises(SourceDenied, match="status 403"):
                await it.get(f"{INCIDENTS}/i-{number}")
        assert len(it.vendor.grants) == 2

        await it.clock.advance(601)
        it.vendor.says.append(empty(403))
        await it.get(f"{INCIDENTS}/i-5")
        assert len(it.vendor.grants) == 3


async def test_a_service_that_answers_again_is_worth_a_login_again() -> None:
    async with bench() as it:
        it.vendor.says.extend([empty(403), empty(403)])
        with pytest.raises(SourceDenied):
            await it.get(INCIDENTS)
        await it.get(INCIDENTS)
        it.vendor.says.append(empty(403))
        await it.get(INCIDENTS)

    assert len(it.vendor.grants) == 3


async def test_another_service_of_the_same_user_still_gets_its_renewal() -> None:
    async with bench() as it:
        it.vendor.says.extend([empty(403), empty(403)])
        with pytest.raises(SourceDenied):
            await it.get(INCIDENTS)
        it.vendor.says.append(empty(403))
        await it.get(DETECTIONS)

    assert len(it.vendor.grants) == 3


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (empty(400), SourceProtocolError, "status 400"),
        (error(400, "bad filter"), SourceProtocolError, "status 400: 7 bad filter"),
        (Say(400, b"<html>"), SourceUnavailable, "status 400"),
        (empty(404), NotOffered, "status 404"),
        (Say(404, b"<html>"), NotOffered, "status 404"),
        (empty(405), NotOffered, "status 405"),
        (error(501), NotOffered, "status 501"),
        (empty(408), SourceUnavailable, "status 408"),
        (empty(409), SourceProtocolError, "status 409"),
        (empty(500), SourceUnavailable, "status 500"),
        (error(503), SourceUnavailable, "status 503"),
        (HTML, SourceUnavailable, "status 502"),
        (empty(504), TookTooLong, "status 504"),
        (empty(204), SourceUnavailable, "status 204"),
        (Say(307, b"", {"Location": "/x"}), SourceUnavailable, "redirect"),
        (Say(500, b"\xff\xfe\x00"), SourceUnavailable, "status 500"),
        (Say(500, b'{"code":'), SourceUnavailable, "status 500"),
        (Say(500, b'{"error":{"code":13,"message":"deep"}}'), SourceUnavailable, "status 500: 13 deep"),
        (Say(500, b'{"message":' + b'"x"' * 50000 + b"}"), SourceUnavailable, "status 500"),
    ],
    ids=str,
)
async def test_requests_fail_by_their_status_with_path_words_and_request_id(
    said: Say, kind: type[SourceError], words: str
) -> None:
    async with bench() as it:
        it.vendor.says.append(said)

        with pytest.raises(kind, match=words) as caught:
            await it.get(query=[("pageToken", "secret-of-a-kind")])

    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{DETECTIONS}: ")
    assert "request 77aa-req" in str(caught.value)
    assert "secret-of-a-kind" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_refused_request_with_a_stored_token_means_that_the_token_is_no_longer_good(status: int) -> None:
    async with bench() as it:
        it.vendor.says.append(empty(status))

        with pytest.raises(CheckpointExpired, match=f"token is refused: status {status}"):
            await it.get(tokened=True)


@pytest.mark.parametrize("login", [False, True], ids=["request", "login"])
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
            await it.get()

    assert caught.value.throttled
    assert caught.value.retry_after == wait
    assert it.budget.pauses == [5.0 if wait is None else wait]


@pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "40"}, 40.0), ({}, None)], ids=["said", "unsaid"])
async def test_a_503_may_say_when_to_come_back_and_holds_up_nobody_else(
    headers: dict[str, str], wait: float | None
) -> None:
    async with bench() as it:
        it.vendor.says.append(error(503, headers=headers))

        with pytest.raises(SourceUnavailable) as caught:
            await it.get()

    assert caught.value.retry_after == wait
    assert not caught.value.throttled
    assert it.budget.pauses == []


# -- pending answers ---------------------------------------------------------------------------


async def test_a_202_raises_what_is_needed_to_ask_again() -> None:
    async with bench() as it:
        it.vendor.says.extend([pending("one", {"Retry-After": "3"}), pending("two"), pending(None), pending(None)])
        seen = []
        for response_id in (None, "one", "two", None):
            with pytest.raises(Pending) as caught:
                await it.get(response_id=response_id)
            seen.append((caught.value.response_id, caught.value.wish))

    assert seen == [("one", 3.0), ("two", None), ("two", None), ("", None)]
    assert [asked.response_id for asked in it.vendor.data] == [None, "one", "two", None]


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_response_id_the_vendor_does_not_know_is_no_verdict_on_the_token(status: int) -> None:
    async with bench() as it:
        it.vendor.says.append(empty(status))
        with pytest.raises(ResponseGone):
            await it.get(response_id="old", tokened=True)


@pytest.mark.parametrize("said", [Say(), empty(504), empty(404)], ids=str)
async def test_a_spent_response_id_is_never_sent_again(said: Say) -> None:
    async with bench() as it:
        it.vendor.says.append(said)
        try:
            await it.get(response_id="3f0c")
        except SourceUnavailable:
            assert said.status != 200
        await it.get(response_id="3f0c")

    assert [asked.response_id for asked in it.vendor.data] == ["3f0c", None]


async def test_a_response_id_whose_answer_is_too_large_is_spent() -> None:
    async with bench(max_bytes=1000) as it:
        it.vendor.says.append(Say(body=b"x" * 2000))
        with pytest.raises(AnswerTooLarge):
            await it.get(response_id="3f0c")
        await it.get(response_id="3f0c")

    assert [asked.response_id for asked in it.vendor.data] == ["3f0c", None]


@pytest.mark.parametrize("said", [HTML, error(429), error(503)], ids=str)
async def test_a_response_id_outlives_trouble_on_the_way(said: Say) -> None:
    async with bench() as it:
        it.vendor.says.append(said)
        with pytest.raises(SourceUnavailable):
            await it.get(response_id="3f0c")
        await it.get(response_id="3f0c")

    assert [asked.response_id for asked in it.vendor.data] == ["3f0c", "3f0c"]


async def ask(
    it: Bench, kept: PendingAnswer | None, *, page: str = "1", tokened: bool = False
) -> Answer | PendingAnswer:
    """As a lane does, what is kept going through a checkpoint's JSON."""
    kept = None if kept is None else PendingAnswer.from_json(json.loads(json.dumps(kept.to_json())))
    return await it.client.ask("incident", DETECTIONS, [("page", page)], Lane.TIP, kept, tokened=tokened)


async def keep(it: Bench, kept: PendingAnswer | None = None, *, tokened: bool = False) -> PendingAnswer:
    outcome = await ask(it, kept, tokened=tokened)
    assert isinstance(outcome, PendingAnswer)
    return outcome


async def test_a_pending_answer_is_waited_for_with_the_identical_request() -> None:
    async with bench() as it:
        it.vendor.says.extend([pending("one"), pending("two"), pending(None), None])
        kept = await keep(it)
        waits = [kept.wait()]
        for _ in range(2):
            await it.clock.advance(kept.wait())
            kept = await keep(it, kept)
            waits.append(kept.wait())
        answer = await ask(it, kept)

    assert isinstance(answer, Answer)
    assert [asked.response_id for asked in it.vendor.data] == [None, "one", "two", "two"]
    assert len({asked.raw for asked in it.vendor.data}) == 1
    assert waits == [1.5, 2.25, 3.375]


async def test_the_token_may_be_renewed_while_waiting() -> None:
    async with bench() as it:
        it.vendor.says.append(pending("one"))
        kept = await keep(it)
        it.vendor.revoked = True
        assert isinstance(await ask(it, kept), Answer)

    assert [asked.response_id for asked in it.vendor.data] == [None, "one", "one"]
    assert it.vendor.grants == ["password", "refresh_token"]


async def test_what_is_gone_is_asked_for_from_scratch_at_once() -> None:
    async with bench() as it:
        it.vendor.says.extend([pending("one"), empty(404), pending("new")])
        kept = await keep(it, await keep(it))

    assert (kept.response_id, kept.tries) == ("new", 1)
    assert [asked.response_id for asked in it.vendor.data] == [None, "one", None]


@pytest.mark.parametrize(
    ("status", "tokened", "refusal"),
    [(400, True, CheckpointExpired), (404, True, CheckpointExpired), (404, False, NotOffered)],
    ids=["dead token", "dead token not found", "not offered"],
)
async def test_a_request_whose_every_pending_answer_is_gone_is_refused(
    status: int, tokened: bool, refusal: type[Exception]
) -> None:
    async with bench() as it:
        it.vendor.says.extend([pending("a"), empty(status), pending("b"), empty(status), pending("c"), empty(status)])
        kept = await keep(it, tokened=tokened)
        kept = await keep(it, await keep(it, kept, tokened=tokened), tokened=tokened)
        with pytest.raises(refusal):
            await ask(it, kept, tokened=tokened)

    assert [asked.response_id for asked in it.vendor.data] == [None, "a", None, "b", None, "c"]


async def test_an_id_never_goes_with_another_request() -> None:
    async with bench() as it:
        it.vendor.says.append(pending("one"))
        kept = await keep(it)
        await ask(it, kept, page="2")

    assert [asked.response_id for asked in it.vendor.data] == [None, None]


async def test_an_answer_that_is_not_ready_in_ten_minutes_took_too_long_and_is_asked_for_anew() -> None:
    async with bench() as it:
        it.vendor.says.append(pending("one"))
        kept = await keep(it)
        await it.clock.advance(601)
        with pytest.raises(TookTooLong, match="ten minutes"):
            await ask(it, kept)
        assert isinstance(await ask(it, kept), Answer)

    assert [asked.response_id for asked in it.vendor.data] == [None, None]


async def test_a_202_without_an_id_is_asked_for_anew() -> None:
    async with bench() as it:
        it.vendor.says.extend([pending(None), pending(None)])
        kept = await keep(it, await keep(it))
        await ask(it, kept)

    assert kept.tries == 2
    assert [asked.response_id for asked in it.vendor.data] == [None, None, None]


# -- secrets -----------------------------------------------------------------------------------


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "quoted": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "base64": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_no_secret_is_ever_in_an_error(encoding: str) -> None:
    encode = ENCODINGS[encoding]
    async with bench() as it:
        for _ in range(3):
            await it.get()
            await it.clock.advance(3600)
        told = [PASSWORD, *(f"eyJ.access-{n}/+=.x" for n in (1, 2, 3, 4)), *(f"r-{n}&/+=" for n in (3, 4))]
        it.vendor.says.append(error(500, " ".join(encode(secret) for secret in told)))
        it.vendor.login_says.append(error(500, " ".join(encode(secret) for secret in told if "4" not in secret)))
        messages = []
        for _ in range(2):
            with pytest.raises(SourceUnavailable) as caught:
                await it.get()
            messages.append(str(caught.value))
            it.vendor.revoked = True

    assert messages[0].startswith(f"{LOGIN}: status 500: 7 ")
    assert messages[1].startswith(f"{DETECTIONS}: status 500: 7 ")
    for message in messages:
        assert "***" in message
        for secret in told:
            if encoding != "base64":
                assert encode(secret) not in message
        assert PASSWORD not in message
        assert base64.b64encode(PASSWORD.encode()).decode()[2:-4] not in message


async def test_a_vendor_can_not_forge_a_line_of_the_log() -> None:
    async with bench() as it:
        it.vendor.says.append(error(500, "lost\r\nforged \u2028line\x1b[2J"))
        with pytest.raises(SourceUnavailable) as caught:
            await it.get()

    assert "lost forged  line [2J" in str(caught.value)
