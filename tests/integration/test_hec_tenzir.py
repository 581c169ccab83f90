"""A real event collector takes what we send, and refuses it in ways of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.clock import Clock
from collector.errors import SinkDenied, SinkUnavailable
from collector.formats import FORMATS
from collector.sinks.base import Receipt
from tests.integration import tenzir
from tests.integration.servers import json_lines
from tests.unit.formats.hostile import HOSTILE
from tests.unit.sinks.splunk_hec.emulator import TOKEN
from tests.unit.sinks.splunk_hec.opening import Site, events, uids

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Receiver:
    """Tenzir, running; `url` is its own."""

    def __init__(self, folder: Path, options: str) -> None:
        self.server, self.url = tenzir.hec_receiver(folder, TOKEN, options)

    async def received(self, count: int) -> list[Any]:
        """What it has, as soon as that are so many."""
        found: list[Any] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                await asyncio.sleep(0.05)
                found = [line for line in json_lines(self.server.log) if "event" in line]
        return found


@pytest.fixture
def receiver(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path, getattr(request, "param", ""))
    try:
        receiver.server.start()
        yield receiver
    finally:
        receiver.server.stop()


@pytest.mark.parametrize("form", sorted(FORMATS))
async def test_it_takes_every_format_with_its_metadata(receiver: Receiver, form: str) -> None:
    batch = [event for text in HOSTILE.values() for event in events(1, title=text, fields={"host.name": "ws-1"})]

    receipt = await Site(receiver.url, form=form, index="edr").deliver(batch)

    assert receipt == Receipt()
    found = await receiver.received(len(batch))
    assert [event["fields"]["uid"] for event in found] == uids(batch)
    assert {(event["host"], event["index"], event["source"]) for event in found} == {
        ("ws-1", "edr", "acme/withsecure/security_events")
    }
    assert found[0]["time"].startswith("2026-11-22T10:11:10.345")


async def test_large_batches_arrive_whole(receiver: Receiver) -> None:
    batch = events(500, raw=b'{"x":"%s"}' % (b"x" * 3000))

    assert await Site(receiver.url).deliver(batch) == Receipt()

    assert [event["fields"]["uid"] for event in await receiver.received(500)] == uids(batch)


async def test_the_probe_tells_a_good_token_from_a_bad_one(receiver: Receiver) -> None:
    await Site(receiver.url).probe()
    with pytest.raises(SinkDenied, match="Invalid token"):
        await Site(receiver.url, token="other").probe()
    with pytest.raises(SinkDenied, match="no indexer acknowledgement"):
        await Site(receiver.url, acknowledge=True).probe()


@pytest.mark.parametrize("receiver", [", ack=true, max_pending_acks=3"], indirect=True, ids=["acks"])
async def test_its_pending_acknowledgements_are_waited_for(receiver: Receiver) -> None:
    """It says true in no run of its own, so that every batch is sent again."""
    site = Site(receiver.url, acknowledge=True, ack_timeout="2s", clock=Clock())
    await site.probe()

    async with site.open() as sink:
        tasks = [sink.deliver(site.batch([event])) for event in events(5)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(one, SinkUnavailable) or one == Receipt(deferred=frozenset({0})) for one in outcomes)
    assert len(await receiver.received(3)) == 3


@pytest.mark.parametrize("receiver", [", max_request_size=2000"], indirect=True, ids=["small"])
async def test_what_is_too_large_for_it_goes_in_smaller_bodies(receiver: Receiver) -> None:
    assert await Site(receiver.url, compression="none").deliver(batch := events(9)) == Receipt()

    assert [event["fields"]["uid"] for event in await receiver.received(9)] == uids(batch)


async def test_it_gets_everything_after_it_was_killed(receiver: Receiver) -> None:
    site = Site(receiver.url)
    await site.deliver(events(3))
    await asyncio.to_thread(receiver.server.kill)
    with pytest.raises(SinkUnavailable):
        await site.deliver(events(6)[3:])

    await asyncio.to_thread(receiver.server.start)
    assert await site.deliver(events(6)[3:]) == Receipt()

    assert set(uids(events(6)[3:])) <= {event["fields"]["uid"] for event in await receiver.received(3)}
