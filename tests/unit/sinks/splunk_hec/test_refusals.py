"""What the receiver refuses, and what of it was taken."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from aiohttp import web

from collector.errors import SinkDenied, SinkUnavailable
from collector.model import Event
from collector.sinks.base import Receipt
from tests.unit.sinks.splunk_hec.emulator import Emulator
from tests.unit.sinks.splunk_hec.opening import Site, events, receiving, uids


def refusing(code: int, *numbers: int) -> Any:
    refused = {f"event-{number}" for number in numbers}
    return lambda document: code if document["fields"]["id"] in refused else None


def without(all_events: list[Event], *numbers: int) -> list[str]:
    return uids([event for number, event in enumerate(all_events) if number not in numbers])


@pytest.mark.parametrize("code", [6, 12, 13, 15])
@pytest.mark.parametrize("bad", [(0,), (4,), (9,), (0, 1, 5, 9)], ids=str)
async def test_refused_events_are_rejected_and_all_others_arrive_once(code: int, bad: tuple[int, ...]) -> None:
    async with receiving(bad=refusing(code, *bad)) as splunk:
        receipt = await Site(splunk.url).deliver(batch := events(10))

    assert splunk.uids() == without(batch, *bad)
    assert set(receipt.rejected) == set(bad)
    assert not receipt.deferred
    assert all(f"(code {code})" in reason for reason in receipt.rejected.values())


@pytest.mark.parametrize("bad", [(0,), (4,), (9,), (2, 7)], ids=str)
async def test_without_a_number_nothing_was_taken_and_the_body_is_halved(bad: tuple[int, ...]) -> None:
    async with receiving(bad=refusing(6, *bad), numbered=False) as splunk:
        receipt = await Site(splunk.url).deliver(batch := events(10))

    assert splunk.uids() == without(batch, *bad)
    assert set(receipt.rejected) == set(bad)


@pytest.mark.parametrize("number", [-1, 10, 10**30, "three", None, [1]], ids=repr)
async def test_a_number_that_makes_no_sense_counts_as_none(number: object) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: splunk.reply(6, **{"invalid-event-number": number}))
        receipt = await Site(splunk.url).deliver(batch := events(10))

    assert splunk.uids() == uids(batch)
    assert receipt == Receipt()


async def test_asking_stops_when_fifty_events_in_a_row_are_refused() -> None:
    async with receiving(bad=lambda _: 6) as splunk:
        receipt = await Site(splunk.url).deliver(events(500))

    assert set(receipt.rejected) == set(range(50))
    assert receipt.deferred == frozenset(range(50, 500))
    assert len(splunk.requests) == 50


async def test_what_stood_before_a_wrong_index_is_in_and_then_the_sink_is_held() -> None:
    async with receiving(bad=refusing(7, 3)) as splunk:
        site = Site(splunk.url, index="edr")
        first = await site.deliver(batch := events(6))
        with pytest.raises(SinkDenied, match=r"index edr: Incorrect index \(code 7\)"):
            await site.deliver(batch[3:])

    assert first.deferred == frozenset({3, 4, 5})
    assert not first.rejected
    assert splunk.uids() == uids(batch[:3])


@pytest.mark.parametrize("more", [{}, {"invalid-event-number": 0}, {"invalid-event-number": 9}], ids=str)
async def test_a_wrong_index_without_a_number_that_makes_sense_has_taken_nothing(more: dict[str, int]) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: splunk.reply(7, **more))
        with pytest.raises(SinkDenied, match="Incorrect index"):
            await Site(splunk.url).deliver(events(3))


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 10, 11, 16, 21, 22, 28])
async def test_a_refusal_of_us_is_no_refusal_of_events(code: int) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: web.json_response({"text": "No", "code": code}, status=400))
        with pytest.raises(SinkDenied, match=rf"code {code}"):
            await Site(splunk.url).deliver(events(3))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 415, 418])
async def test_a_status_without_a_code_is_a_refusal_of_us(status: int) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: web.Response(status=status, text="<html>no</html>"))
        with pytest.raises(SinkDenied, match=f"status {status}"):
            await Site(splunk.url).deliver(events(3))


@pytest.mark.parametrize("code", [8, 9, 18, 19, 20, 23, 26, 27])
@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_a_busy_receiver_is_tried_again(code: int, status: int) -> None:
    async with receiving() as splunk:
        splunk.script.append(
            lambda _: web.json_response({"text": "Later", "code": code}, status=status, headers={"Retry-After": "7"})
        )
        with pytest.raises(SinkUnavailable, match=rf"Later \(code {code}\)") as raised:
            await Site(splunk.url).deliver(events(3))

    assert raised.value.retry_after == 7.0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
async def test_a_busy_status_is_tried_again_whatever_stands_in_it(status: int) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: web.json_response({"text": "?", "code": 6}, status=status))
        with pytest.raises(SinkUnavailable):
            await Site(splunk.url).deliver(events(3))


@pytest.mark.parametrize(
    "body",
    ["", "OK", "[]", "{}", '{"text":"Success"}', '{"code":null}', '{"code":true}', '{"code":9}', '{"code":0', '"0"'],
)
async def test_a_200_that_is_none_of_an_event_collector_proves_nothing(body: str) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: web.Response(text=body, content_type="application/json"))
        with pytest.raises(SinkUnavailable, match="not one of an event collector"):
            await Site(splunk.url).deliver(events(3))


@pytest.mark.parametrize("body", ['{"text":"Success","code":0}', '{"code":"0"}', '{"code":0.0,"text":5}'])
async def test_a_success_is_taken_for_one_in_any_spelling(body: str) -> None:
    async with receiving() as splunk:
        splunk.script.append(lambda _: web.Response(text=body))
        assert await Site(splunk.url).deliver(events(3)) == Receipt()


async def test_bodies_that_are_too_large_are_made_smaller_and_so_are_all_that_follow() -> None:
    async with receiving(max_bytes=3000) as splunk:
        site = Site(splunk.url, max_body="64KiB")
        await site.deliver(batch := events(30))
        refused = len(splunk.requests) - len(splunk.bodies)
        await site.deliver(batch)

    assert splunk.uids() == uids(batch) * 2
    assert len(splunk.requests) - len(splunk.bodies) == refused > 0


async def test_an_event_that_is_too_large_alone_goes_reduced() -> None:
    async with receiving(max_bytes=3000) as splunk:
        receipt = await Site(splunk.url).deliver(batch := events(2, raw=b'{"a":"%s"}' % (b"x" * 20_000)))

    assert splunk.uids() == uids(batch)
    assert receipt == Receipt()
    assert all(event["event"]["flags"] == ["truncated"] for event in splunk.events)


async def test_an_event_that_is_too_large_alone_is_a_dead_letter_where_that_is_wanted() -> None:
    async with receiving(max_bytes=3000) as splunk:
        site = Site(splunk.url, oversize="dead_letter")
        receipt = await site.deliver([*events(1, raw=b'{"a":"%s"}' % (b"x" * 20_000)), *events(3)[1:]])

    assert receipt.rejected == {0: "status 413"}
    assert len(splunk.events) == 2


@pytest.mark.parametrize("form", ["json", "raw", "cef"])
async def test_an_event_over_the_configured_limit_is_reduced_before_it_goes(form: str) -> None:
    async with receiving() as splunk:
        site = Site(splunk.url, max_body="4KiB", form=form)
        await site.deliver(batch := events(3, raw=b'{"a":"%s"}' % (b"x" * 20_000), title="y" * 5000))

    assert splunk.uids() == uids(batch)
    assert max(splunk.bodies) <= 4096


async def test_an_event_over_the_configured_limit_can_be_a_dead_letter() -> None:
    async with receiving() as splunk:
        site = Site(splunk.url, max_body="4KiB", oversize="dead_letter")
        receipt = await site.deliver([*events(2), *events(3, raw=b'{"a":"%s"}' % (b"x" * 20_000))[2:]])

    assert "over the 4096 bytes of a body" in receipt.rejected[2]
    assert len(splunk.events) == 2


async def test_what_is_left_of_a_batch_is_put_off_when_the_receiver_fails_in_the_middle() -> None:
    async with receiving(bad=refusing(6, 2)) as splunk:
        splunk.script = deque([lambda _: None, 9])
        receipt = await Site(splunk.url).deliver(batch := events(6))

    assert receipt.rejected.keys() == {2}
    assert receipt.deferred == frozenset({3, 4, 5})
    assert splunk.uids() == uids(batch[:2])


async def test_the_token_is_in_no_error_even_if_the_receiver_repeats_it() -> None:
    async with receiving() as splunk:
        token = "hush-hush"
        splunk.script.append(lambda _: web.json_response({"text": f"Bad {token}\x1b[2J", "code": 4}, status=403))
        with pytest.raises(SinkDenied, match=r"Bad \*\*\*\?\[2J \(code 4\)"):
            await Site(splunk.url, token=token).deliver(events(1))


async def test_a_token_that_is_right_again_is_seen_by_the_probe() -> None:
    async with receiving() as splunk:
        await Site(splunk.url).probe()
        with pytest.raises(SinkDenied, match="Invalid token"):
            await Site(splunk.url, token="other").probe()

    assert splunk.events == []


async def test_the_probe_says_that_nobody_listens() -> None:
    emulator = Emulator()
    async with emulator.serve():
        pass
    with pytest.raises(SinkUnavailable, match="no connection"):
        await Site(emulator.url).probe()


async def test_a_receiver_near_its_capacity_gets_bodies_more_slowly() -> None:
    async with receiving() as splunk:
        site = Site(splunk.url)
        splunk.script = deque([24, 25, 24])
        async with site.open() as sink:
            for event in events(5):
                assert await sink.deliver(site.batch([event])) == Receipt()

    assert site.clock.slept == [0.5, 1.0, 2.0]  # type: ignore[attr-defined]  # a FakeClock
