from __future__ import annotations

from datetime import timedelta

import pytest

from collector.errors import (
    CheckpointExpired,
    NotLicensed,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
)
from collector.http import HttpClients
from collector.model import Checkpoint, Lane, Page, Window
from collector.sources.base import HasWarnings, SourceContext
from collector.sources.config import SourceConfig, SweepConfig
from collector.sources.eset import PLUGIN
from collector.sources.eset.source import EsetSource
from tests.unit.sources.eset.vendor import DETECTIONS, INCIDENTS, LOGIN, Bench, CountingBudget, Say, bench, empty, error

DEVICES = "/v1/devices"
EMPTY_DETECTIONS = "detections: logged in, but the rights give an empty list for the last 24 hours"
EMPTY_INCIDENTS = "incidents: logged in, but the rights give an empty list"


def fill(it: Bench, *paths: str) -> None:
    for path in paths or (DETECTIONS, INCIDENTS):
        key = path.rpartition("/")[2]
        it.vendor.filled[path] = b'{"%s":[{"uuid":"a"}],"nextPageToken":"x"}' % key.encode()


async def test_check_logs_in_and_reads_one_record_of_each_feed() -> None:
    async with bench() as it:
        fill(it)
        assert await it.source.check() == []

    assert [asked.path for asked in it.vendor.asked] == [LOGIN, DETECTIONS, INCIDENTS, DEVICES]
    detections, incidents, devices = (dict(asked.query) for asked in it.vendor.data)
    assert detections == {
        "pageSize": "1",
        "startTime": "2026-11-21T10:11:12.000Z",
        "endTime": "2026-11-22T10:11:12.000Z",
    }
    assert incidents == {"pageSize": "1", "orderBy": "update_time desc"}
    assert devices == {"pageSize": "1"}


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_check_remarks_on_device_names_that_can_not_be_read(status: int) -> None:
    async with bench() as it:
        fill(it)
        it.vendor.says.extend([None, None, error(status), error(status)])
        (remark,) = await it.source.check()

    assert remark.startswith(f"device names are not available, events go without them: {DEVICES}: status {status}")


async def test_check_takes_no_list_of_devices_for_no_trouble_and_asks_nobody_where_there_is_no_address() -> None:
    async with bench() as it:
        fill(it)
        it.vendor.says.extend([None, None, error(404)])
        assert await it.source.check() == []

    async with bench(device_url=None) as it:
        fill(it)
        assert await it.source.check() == []
    assert DEVICES not in [asked.path for asked in it.vendor.asked]


async def test_source_warns_of_device_names_that_can_not_be_had() -> None:
    async with bench() as it:
        assert isinstance(it.source, EsetSource)
        assert isinstance(it.source, HasWarnings)
        assert it.source.warnings() == []
        it.vendor.says.append(error(503))
        await it.source._devices.names(["u-1"], Lane.TIP)
        (warning,) = it.source.warnings()

    assert warning.startswith("device names are not available since 2026-11-22T10:11:12")
    assert "503" in warning


@pytest.mark.parametrize(
    "body", [b"{}", b'{"detections":null,"incidents":null}', b'{"detections":[],"incidents":[]}', b"[]"], ids=str
)
async def test_check_remarks_on_lists_that_are_empty(body: bytes) -> None:
    async with bench() as it:
        it.vendor.says.extend([Say(body=body)] * 2)

        assert await it.source.check() == [EMPTY_DETECTIONS, EMPTY_INCIDENTS]


async def test_check_reads_only_the_feeds_that_are_configured() -> None:
    async with bench(feeds=["incidents"]) as it:
        fill(it)
        assert it.source.feeds == ("incidents",)
        assert await it.source.check() == []

    assert [asked.path for asked in it.vendor.data] == [INCIDENTS, DEVICES]


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "incidents: denied: "), (404, "incidents: not licensed or not offered: "), (501, "incidents: not licensed")],
)
async def test_check_remarks_on_a_feed_that_is_not_offered(status: int, words: str) -> None:
    async with bench() as it:
        fill(it)
        it.vendor.says.extend([None, empty(status), empty(status)])
        (remark,) = await it.source.check()

    assert remark.startswith(words)
    assert f"{INCIDENTS}: status {status} (request 77aa-req)" in remark


async def test_check_tries_the_second_version_where_the_first_is_not_offered() -> None:
    async with bench() as it:
        fill(it, "/v2/detections", INCIDENTS)
        it.vendor.says.append(empty(501))
        assert await it.source.check() == []

    assert [asked.path for asked in it.vendor.data] == [DETECTIONS, "/v2/detections", INCIDENTS, DEVICES]


async def test_check_raises_where_nothing_at_all_is_offered() -> None:
    async with bench() as it:
        it.vendor.says.extend([empty(501), empty(404), empty(404)])
        with pytest.raises(SourceDenied, match="/v1/detections: status 501"):
            await it.source.check()


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (Say(400, b'{"error":"invalid_grant"}'), SourceDenied, "login is refused: status 400: invalid_grant"),
        (empty(403), SourceDenied, "status 403"),
        (error(503), SourceUnavailable, "status 503"),
    ],
    ids=str,
)
async def test_check_raises_what_is_wrong_with_the_login(said: Say, kind: type[SourceError], words: str) -> None:
    async with bench() as it:
        it.vendor.login_says.append(said)
        with pytest.raises(kind, match=words) as caught:
            await it.source.check()
    assert not isinstance(caught.value, NotLicensed)


@pytest.mark.parametrize("status", [403, 404, 501])
async def test_detections_that_no_version_gives_are_not_licensed_each_time_they_are_asked_for(status: int) -> None:
    async with bench() as it:
        for _ in range(4):
            it.vendor.says.extend([empty(status)] * 20)
            with pytest.raises(NotLicensed):
                await until_refused(it)
            it.vendor.says.clear()


async def until_refused(it: Bench) -> None:
    at = None
    for _ in range(20):
        at = (await it.source.fetch("detections", Lane.TIP, at, None)).checkpoint


async def test_check_waits_for_answers_that_are_not_ready() -> None:
    async with bench(hurry=True) as it:
        fill(it)
        it.vendor.says.extend([Say(202, b"", {"response-id": "one"}), None, None])
        assert await it.source.check() == []
    assert [asked.response_id for asked in it.vendor.data] == [None, "one", None, None]

    async with bench(hurry=True) as it:
        it.vendor.says.extend([Say(202, b"", {"response-id": "one"})] * 6)
        with pytest.raises(SourceUnavailable, match="takes its time"):
            await it.source.check()


async def test_check_remarks_on_clocks() -> None:
    async with bench() as it:
        fill(it)
        it.vendor.ahead = timedelta(minutes=-11)
        (remark,) = await it.source.check()
        assert "+660 s off" in remark or "+661 s off" in remark

    async with bench() as it:
        fill(it)
        it.vendor.tells_time = False
        assert "do not tell its time" in (await it.source.check())[0]


async def test_an_unknown_feed_is_refused() -> None:
    async with bench(feeds=["detections"]) as it:
        for feed in ("incidents", "no such feed"):
            with pytest.raises(SourceProtocolError, match=f"no feed {feed}"):
                await it.source.fetch(feed, Lane.TIP, None, None)


class Expiring:
    """A feed whose token is refused."""

    def __init__(self, resume: Checkpoint | None) -> None:
        self.resume = resume

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        raise CheckpointExpired(f"{lane} {after} {window}", self.resume)


@pytest.mark.parametrize("resume", [None, Checkpoint(state={"token": "latest"})], ids=["none", "some"])
async def test_a_refused_token_says_from_where_to_go_on(resume: Checkpoint | None) -> None:
    async with bench() as it:
        assert isinstance(it.source, EsetSource)
        it.source._readers = {"detections": Expiring(resume)}
        with pytest.raises(CheckpointExpired) as caught:
            await it.source.fetch("detections", Lane.TIP, Checkpoint(run={"another": "shape"}), None)

    assert caught.value.resume == resume


async def test_another_vendors_configuration_is_a_bug() -> None:
    sweep = SweepConfig(every=timedelta(minutes=1), window=timedelta(hours=1))
    other = SourceConfig.model_validate({"type": "other", "sweep": sweep, "rate_limit": {"requests": 1, "per": "1s"}})

    with pytest.raises(TypeError, match="EsetConfig"):
        PLUGIN.budget_key(other)
    async with HttpClients() as http, bench() as it:
        context = SourceContext("acme", "eset", http, CountingBudget(it.clock), it.clock)
        with pytest.raises(TypeError, match="EsetConfig"):
            async with PLUGIN.open(other, context):
                pass
