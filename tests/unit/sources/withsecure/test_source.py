from __future__ import annotations

from datetime import timedelta

import pytest

from collector.errors import SourceDenied, SourceProtocolError
from collector.http import HttpClients
from collector.model import Checkpoint, Lane, Window
from collector.sources.base import BudgetKey, SourceContext
from collector.sources.config import SourceConfig, SweepConfig
from collector.sources.withsecure import PLUGIN
from tests.unit.sources.withsecure.incident_vendor import IncidentVendor, incidents
from tests.unit.sources.withsecure.vendor import DATA, WHOAMI, Asked, CountingBudget, Say, bench, error

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DAY, MILLISECOND = timedelta(days=1), timedelta(milliseconds=1)


async def test_check_reads_a_little_and_remarks_on_an_empty_list() -> None:
    async with bench() as it:
        assert await it.source.check() == [
            "security_events: logged in, but the rights give an empty list for the last 24 hours"
        ]
        it.vendor.put(it.vendor.now - HOUR, "a")
        assert await it.source.check() == []

    assert [asked.path for asked in it.vendor.asked[1:3]] == [WHOAMI, DATA]


async def test_check_remarks_on_clocks() -> None:
    async with bench() as it:
        it.vendor.ahead = -11 * MINUTE
        it.vendor.put(it.vendor.now - HOUR, "a")
        (remark,) = await it.source.check()
        assert "+660 s off" in remark or "+661 s off" in remark

    async with bench() as it:
        it.vendor.tells_time = False
        it.vendor.put(it.vendor.now - HOUR, "a")
        assert "do not tell its time" in (await it.source.check())[0]


async def test_check_raises_what_is_wrong() -> None:
    async with bench() as it:
        it.vendor.login_says.append(error(401, "unknown client"))
        with pytest.raises(SourceDenied, match="unknown client"):
            await it.source.check()


async def test_check_does_without_whoami() -> None:
    async with bench() as it:
        it.vendor.put(it.vendor.now - HOUR, "a")
        usual = it.vendor._respond
        it.vendor._respond = lambda said: usual(  # type: ignore[method-assign]
            error(404) if it.vendor.asked[-1].path == WHOAMI else said
        )
        assert await it.source.check() == []


async def test_a_sweep_whose_anchors_die_after_three_pages_comes_to_its_end() -> None:
    async with bench() as it:
        names = it.vendor.fill(1500, it.vendor.now - 9 * MINUTE, 300 * MILLISECOND)
        usual, pages = it.vendor._page, 0

        def short_lived(asked: Asked) -> Say:
            nonlocal pages
            pages = pages + 1 if asked["anchor"] else 1
            return usual(asked) if pages <= 3 else error(400, "anchor expired")

        it.vendor._page = short_lived  # type: ignore[method-assign]
        window = Window(it.vendor.now - DAY)
        sweep = await it.read(Checkpoint(it.vendor.now), Lane.SWEEP, window, most=30)

    assert set(sweep.names) == set(names)
    assert sweep.expired


async def test_an_unknown_feed_is_refused() -> None:
    async with bench() as it:
        with pytest.raises(SourceProtocolError, match="no feed incidents"):
            await it.source.fetch("incidents", Lane.TIP, None, None)


async def test_both_feeds_are_read_unless_one_is_listed() -> None:
    config = PLUGIN.config.model_validate({"client_id": "a", "client_secret": "b"})

    assert config.model_dump()["feeds"] == PLUGIN.feeds == ("security_events", "incidents")


@pytest.mark.parametrize("said", [error(403, "no subscription"), error(404)], ids=["forbidden", "unknown"])
async def test_check_remarks_on_incidents_without_licence(said: Say) -> None:
    async with bench(vendor_type=IncidentVendor, feeds=["security_events", "incidents"]) as it:
        it.vendor.put(it.vendor.now - HOUR, "a")
        it.vendor.says.append(said)
        (remark,) = await it.source.check()

    assert remark.startswith("incidents: not licensed, or the credentials lack the right")


async def test_check_fails_where_incidents_alone_are_read_and_denied() -> None:
    async with incidents() as it:
        it.vendor.says.append(error(403))
        with pytest.raises(SourceDenied, match="not licensed"):
            await it.source.check()


async def test_check_remarks_on_detections_that_are_denied() -> None:
    async with incidents() as it:
        it.vendor.open("i", it.vendor.now - HOUR)
        it.vendor.refuses_all = error(403, "no right")
        (remark,) = await it.source.check()

    assert remark.startswith("incidents: their detections are denied")


async def test_check_is_content_with_incidents_where_there_are_none() -> None:
    async with incidents() as it:
        assert await it.source.check() == []


def test_requests_count_together_by_host_and_way_out_whatever_the_account() -> None:
    def key(**more: str) -> BudgetKey:
        return PLUGIN.budget_key(PLUGIN.config.model_validate({"client_id": "a", "client_secret": "b", **more}))

    assert key() == key(client_id="other") == BudgetKey("api.connect.withsecure.com", "", "")
    assert key(base_url="https://staging.example") != key()
    assert key(proxy="http://user:pw@proxy.example:3128") == BudgetKey(
        "api.connect.withsecure.com", "", "proxy.example:3128"
    )


async def test_another_vendors_configuration_is_a_bug() -> None:
    sweep = SweepConfig(every=MINUTE, window=HOUR)
    other = SourceConfig.model_validate({"type": "other", "sweep": sweep, "rate_limit": {"requests": 1, "per": "1s"}})

    with pytest.raises(TypeError, match="WithSecureConfig"):
        PLUGIN.budget_key(other)
    async with HttpClients() as http, bench() as it:
        context = SourceContext("acme", "withsecure", http, CountingBudget(it.clock), it.clock)
        with pytest.raises(TypeError, match="WithSecureConfig"):
            async with PLUGIN.open(other, context):
                pass
