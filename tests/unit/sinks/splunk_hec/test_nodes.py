"""Several URLs, cookies, bodies, templates: the way to the receivers."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from collector.errors import SinkDenied, SinkUnavailable
from collector.sinks.base import Receipt
from collector.sinks.splunk_hec.bodies import Piece, body_of, pack
from collector.testing import FakeClock
from tests.unit.sinks.splunk_hec.emulator import Emulator
from tests.unit.sinks.splunk_hec.opening import Site, events, receiving, uids


async def test_urls_take_turns() -> None:
    async with receiving() as one, receiving() as two:
        site = Site(one.url, two.url)
        async with site.open() as sink:
            for event in events(6):
                await sink.deliver(site.batch([event]))

    assert len(one.events) == len(two.events) == 3


async def test_what_one_url_can_not_take_goes_to_the_next_and_it_is_left_alone_for_a_while() -> None:
    dead = Emulator()
    async with dead.serve():
        pass
    async with receiving() as busy, receiving() as well:
        busy.script.extend([9] * 9)
        site = Site(dead.url, busy.url, well.url, clock=FakeClock())
        async with site.open() as sink:
            for event in events(6):
                assert await sink.deliver(site.batch([event])) == Receipt()

    assert well.uids() == uids(events(6))
    assert len(busy.script) == 8


async def test_a_url_that_refuses_us_does_not_stop_the_others() -> None:
    async with receiving() as one, receiving() as two:
        one.script.append(4)
        assert await Site(one.url, two.url).deliver(events(3)) == Receipt()

    assert len(two.events) == 3


async def test_only_when_all_urls_refuse_us_the_sink_is_held() -> None:
    async with receiving() as one, receiving() as two:
        one.script.append(4)
        two.script.append(9)
        with pytest.raises(SinkUnavailable, match="Invalid token"):
            await Site(one.url, two.url).deliver(events(3))
        one.script.append(4)
        two.script.append(1)
        with pytest.raises(SinkDenied, match="Token disabled"):
            await Site(one.url, two.url).deliver(events(3))


async def test_one_url_that_would_take_events_is_enough_for_the_probe() -> None:
    async with receiving() as one, receiving() as two:
        two.url = "http://127.0.0.1:1"
        await Site(one.url, two.url).probe()


async def test_acknowledgements_are_asked_for_where_the_batch_was_taken() -> None:
    async with receiving(acks=True) as one, receiving(acks=True) as two:
        site = Site(one.url, two.url, acknowledge=True)
        one.now = two.now = site.clock.monotonic
        async with site.open() as sink:
            await sink.deliver(site.batch(events(1)))
            assert (one.polls, two.polls) == (1, 0)
            await sink.deliver(site.batch(events(1)))

    assert (one.polls, two.polls) == (1, 1)


async def test_cookies_of_a_balancer_come_back_to_it_alone() -> None:
    def sticky(request: web.Request) -> web.Response:
        response = web.json_response({"text": "Success", "code": 0})
        response.set_cookie("node", "idx-3", path="/", httponly=True)
        response.set_cookie("gone", "x", max_age=0)
        return response

    async with receiving() as one, receiving() as two:
        one.script.append(sticky)
        site = Site(one.url, two.url)
        async with site.open() as sink:
            for event in events(4):
                await sink.deliver(site.batch([event]))

    assert [headers.get("Cookie") for _, headers in one.requests] == [None, "node=idx-3"]
    assert [headers.get("Cookie") for _, headers in two.requests] == [None, None]


async def test_bodies_are_packed_and_may_go_as_they_are() -> None:
    async with receiving() as splunk:
        await Site(splunk.url, compression="none").deliver(events(3))
        await Site(splunk.url).deliver(events(3))

    assert [headers.get("Content-Encoding") for _, headers in splunk.requests] == [None, "gzip"]
    assert all(headers["Authorization"].startswith("Splunk ") for _, headers in splunk.requests)
    assert splunk.uids() == uids(events(3)) * 2


@pytest.mark.parametrize("size", [100, 1_000_000], ids=["small", "large"])
async def test_gzip_is_read_back_equal(size: int) -> None:
    part = [Piece(0, b"x" * size), Piece(1, b"y")]

    assert gzip.decompress(await body_of(part, compress=True)) == b"x" * size + b"\ny"


def test_bodies_hold_what_fits_and_one_that_does_not_goes_alone() -> None:
    pieces = [Piece(number, b"x" * length) for number, length in enumerate([4, 4, 4, 50, 9, 1])]

    parts = pack(pieces, 10)

    assert [[len(piece.content) for piece in part] for part in parts] == [[4, 4], [4], [50], [9], [1]]
    assert pack([], 10) == []


async def test_an_index_follows_its_template() -> None:
    async with receiving() as splunk:
        site = Site(splunk.url, index="edr_{tenant}")
        await site.deliver(events(1))
        await site.deliver(events(1, tenant="globex"))

    assert [event["index"] for event in splunk.events] == ["edr_acme", "edr_globex"]


async def test_an_index_template_that_gives_nothing_never_writes_to_the_index_of_the_token() -> None:
    async with receiving() as splunk:
        with pytest.raises(SinkDenied, match="gives nothing for events of acme"):
            await Site(splunk.url, index="{label.index}").deliver(events(1))

    assert splunk.requests == []


async def test_url_and_token_follow_their_templates() -> None:
    async with receiving() as splunk:
        port = splunk.url.rpartition(":")[2]
        site = Site("http://{label.where}:" + port, token="{label.hec}")
        labels = {"where": "127.0.0.1", "hec": "7d3e5a1c-0000-4000-8000-3f1c2b9a8d70"}
        await site.deliver(events(2, labels=labels))
        await site.probe()
        with pytest.raises(SinkDenied, match="Invalid token"):
            await site.deliver(events(2, labels={**labels, "hec": "other"}))

    assert len(splunk.events) == 2


async def test_a_receiver_that_answers_nothing_is_not_waited_for_long() -> None:
    async with receiving() as splunk, AsyncExitStack() as stack:
        ended = asyncio.Event()
        stack.callback(ended.set)
        splunk.script.append(lambda _: ended.wait())
        with pytest.raises(SinkUnavailable, match="no answer in time"):
            await Site(splunk.url, timeout="100ms").deliver(events(1))


async def test_troubles_of_one_batch_beside_others_put_it_off() -> None:
    async with receiving() as splunk, AsyncExitStack() as stack:
        go_on = asyncio.Event()
        stack.callback(go_on.set)

        came = asyncio.Event()

        async def slowly(request: web.Request) -> None:
            came.set()
            await go_on.wait()

        splunk.script.append(slowly)
        splunk.script.append(9)
        site = Site(splunk.url)
        async with site.open() as sink, asyncio.TaskGroup() as group:
            first = group.create_task(sink.deliver(site.batch(events(1))))
            await came.wait()
            second = await sink.deliver(site.batch(events(2)[1:]))
            go_on.set()

    assert second.deferred == {0}
    assert first.result() == Receipt()


async def test_a_receiver_that_fails_everybody_makes_the_sink_fail() -> None:
    async with receiving() as splunk:
        splunk.script.extend([9] * 100)
        site = Site(splunk.url)
        async with site.open() as sink:
            found = await asyncio.gather(
                *[sink.deliver(site.batch([event])) for event in events(4)], return_exceptions=True
            )

    assert any(isinstance(one, SinkUnavailable) for one in found)
    assert all(isinstance(one, SinkUnavailable) or one == Receipt(deferred=frozenset({0})) for one in found)


async def test_a_receiver_that_takes_nothing_fails_though_some_batch_is_always_on_its_way() -> None:
    async with receiving() as splunk, AsyncExitStack() as stack:
        ended, came = asyncio.Event(), asyncio.Event()
        stack.callback(ended.set)

        async def never(request: web.Request) -> None:
            came.set()
            await ended.wait()

        splunk.script.append(never)
        splunk.script.extend([9] * 100)
        site = Site(splunk.url, timeout="20s")
        async with site.open() as sink:
            hanging = asyncio.create_task(sink.deliver(site.batch(events(1))))
            await came.wait()
            for _ in range(sink.max_in_flight - 1):
                assert (await sink.deliver(site.batch(events(1)))).deferred == {0}
            with pytest.raises(SinkUnavailable, match="busy"):
                await sink.deliver(site.batch(events(1)))
            hanging.cancel()
            await asyncio.wait([hanging])


async def test_a_busy_receiver_never_costs_batches_that_wait_for_their_acknowledgement() -> None:
    async with receiving(acks=True, ack_after=5.0) as splunk:
        clock = FakeClock()
        splunk.now = clock.monotonic
        site = Site(splunk.url, acknowledge=True, clock=clock)
        async with site.open() as sink:
            waiting = asyncio.create_task(sink.deliver(site.batch(events(1))))
            while not clock.sleepers:  # noqa: ASYNC110 -- it is received when the asking begins
                await asyncio.sleep(0)
            splunk.script.extend([9] * 3 * sink.max_in_flight)
            for _ in range(3 * sink.max_in_flight):
                assert (await sink.deliver(site.batch(events(1)))).deferred == {0}
            waiting.cancel()
            await asyncio.wait([waiting])
