from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from structlog.typing import EventDict

from collector.errors import (
    CheckpointExpired,
    NotLicensed,
    PageRefused,
    SourceDenied,
    SourceProtocolError,
    SourceUnavailable,
    StoreFull,
)
from collector.metrics import METRICS
from collector.model import Checkpoint, Gap, Lane, Page
from collector.pipeline.poll_report import PollReport
from collector.pipeline.status import FeedStatus
from collector.testing import FakeClock, make_record
from collector.testing.clock import START
from tests.unit.pipeline.workbench import ACME

FEED = {"tenant": "acme", "source": "withsecure", "feed": "security_events"}
PAGE = Page([make_record(0), make_record(1)], Checkpoint(START), more=False, fetched_at=START)


def metric(name: str, **labels: str) -> float:
    return METRICS.registry.get_sample_value(f"edr_collector_{name}", FEED | labels) or 0.0


@pytest.fixture
def status() -> Iterator[FeedStatus]:
    METRICS.forget(**FEED)
    yield FeedStatus(ACME)
    METRICS.forget(**FEED)


@pytest.fixture
def report(status: FeedStatus, clock: FakeClock) -> PollReport:
    return PollReport(status, clock)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_good_poll_shows_in_status_and_metrics(report: PollReport, status: FeedStatus) -> None:
    report.success(Lane.TIP, replace(PAGE, vendor_time=START + timedelta(seconds=9)), 1, 1)

    assert status.state == "ok"
    assert (status.events, status.duplicates, status.last_event) == (1, 1, START)
    assert (status.watermark, status.lag_seconds) == (START, 9.0)
    assert metric("polls_total", lane="tip", outcome="ok") == 1
    assert (metric("events_fetched_total"), metric("events_stored_total"), metric("events_duplicate_total")) == (
        2,
        1,
        1,
    )
    assert metric("feed_lag_seconds") == 9.0
    assert metric("feed_last_success_timestamp_seconds") == START.timestamp()


def test_page_of_known_events_is_no_new_event(report: PollReport, status: FeedStatus) -> None:
    report.success(Lane.SWEEP, PAGE, 0, 2)

    assert status.last_event is None
    assert status.watermark is None
    assert status.lag_seconds is None


@pytest.mark.parametrize(("skew", "lag"), [(20.0, 9.0), (3600.0, 3609.0), (-3600.0, 9.0)])
def test_lag_counts_to_the_later_clock_where_they_are_apart(status: FeedStatus, skew: float, lag: float) -> None:
    report = PollReport(status, FakeClock())

    report.success(Lane.TIP, replace(PAGE, vendor_time=START + timedelta(seconds=9), clock_skew=skew), 0, 0)

    assert status.lag_seconds == metric("feed_lag_seconds") == lag


@pytest.mark.parametrize("why", ["denied", "failing", "paused", "silent"])
def test_lag_of_a_feed_that_is_not_read_grows(why: str, report: PollReport, status: FeedStatus) -> None:
    read_at = FakeClock().monotonic()
    report.success(Lane.TIP, replace(PAGE, vendor_time=START + timedelta(seconds=9)), 0, 0)
    assert status.lag(read_at + 60.0) == 9.0
    match why:
        case "denied":
            report.failure(Lane.TIP, SourceDenied("no licence"))
        case "failing":
            report.failure(Lane.TIP, SourceUnavailable("503"))
        case "paused":
            report.paused(yes=True)
    later = 3600.0 if why == "silent" else 60.0

    assert status.lag(read_at + later) == 9.0 + later


def test_success_of_a_lane_ends_the_denial_of_the_other_which_still_fails(
    report: PollReport, status: FeedStatus
) -> None:
    report.failure(Lane.TIP, SourceDenied("no licence"))
    report.success(Lane.SWEEP, PAGE, 0, 0)

    assert (status.state, status.denied, status.last_error) == ("backing_off", False, "no licence")
    assert metric("feed_denied") == 0


def test_failure_of_one_lane_shows_until_that_lane_succeeds(report: PollReport, status: FeedStatus) -> None:
    report.failure(Lane.SWEEP, SourceUnavailable("503"))
    report.success(Lane.TIP, PAGE, 0, 0)
    assert (status.state, status.last_error, status.consecutive_errors) == ("backing_off", "503", 1)

    report.success(Lane.SWEEP, PAGE, 0, 0)
    assert (status.state, status.last_error, status.consecutive_errors) == ("ok", None, 0)


def test_denied_is_graver_than_backing_off(report: PollReport, status: FeedStatus) -> None:
    report.failure(Lane.SWEEP, SourceDenied("no licence"))
    report.failure(Lane.TIP, SourceUnavailable("503"))

    assert status.state == "denied"
    assert metric("feed_denied") == 1
    assert metric("feed_consecutive_failures") == 2


def test_denied_feed_that_is_paused_as_well_still_counts_as_denied(report: PollReport, status: FeedStatus) -> None:
    report.failure(Lane.SWEEP, SourceDenied("no licence"))
    report.paused(yes=True)
    report.failure(Lane.TIP, SourceUnavailable("503"))
    assert (status.state, metric("feed_denied"), metric("feed_paused")) == ("paused", 1, 1)

    report.paused(yes=False)
    report.success(Lane.SWEEP, PAGE, 0, 0)
    assert (status.state, metric("feed_denied"), metric("feed_paused")) == ("backing_off", 0, 0)


@pytest.mark.parametrize(
    ("failure", "outcome", "level"),
    [
        (SourceUnavailable("x"), "unavailable", "warning"),
        (CheckpointExpired("x"), "unavailable", "warning"),
        (SourceDenied("x"), "denied", "error"),
        (NotLicensed("x"), "denied", "warning"),
        (PageRefused("x"), "refused", "error"),
        (SourceProtocolError("x"), "failed", "warning"),
        (StoreFull("x"), "failed", "warning"),
    ],
)
def test_failures_count_by_what_they_are(
    report: PollReport, logs: list[EventDict], failure: Exception, outcome: str, level: str
) -> None:
    report.failure(Lane.TIP, failure)

    assert metric("polls_total", lane="tip", outcome=outcome) == 1
    assert metric("pages_refused_total") == (outcome == "refused")
    assert [line["log_level"] for line in logs] == [level]


def test_repeated_failure_is_logged_at_its_first_occurrence_and_each_change(
    report: PollReport, logs: list[EventDict]
) -> None:
    for text in ("503", "503", "504", "504"):
        report.failure(Lane.TIP, SourceUnavailable(text))
    report.success(Lane.TIP, PAGE, 0, 0)
    report.success(Lane.TIP, PAGE, 0, 0)

    assert [(line["event"], line.get("error"), line.get("after_errors")) for line in logs] == [
        ("poll failed", "503", None),
        ("poll failed", "504", None),
        ("feed recovered", None, 4),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "/v1/x: status 500: broken (request 0b9d2f0e-{0})",
        "/v1/x: status 500 (transaction {0})",
        "/v1/x: status 500: transactionId 0000-1a2b3c4d5e60{0} failed (transaction 0000-1a2b3c4d5e60{0})",
        "/v1/x: status 500: see support, 2026-03-02T09:14:{0}Z",
    ],
    ids=["request", "transaction", "in the words", "a time"],
)
def test_repeated_failure_with_another_id_each_time_is_logged_once(
    report: PollReport, status: FeedStatus, logs: list[EventDict], text: str
) -> None:
    for number in range(10, 15):
        report.failure(Lane.TIP, SourceUnavailable(text.format(number)))
    report.failure(Lane.TIP, SourceUnavailable(text.format(15).replace("500", "502")))

    assert [line["error"] for line in logs] == [text.format(10), text.format(15).replace("500", "502")]
    assert status.last_error == logs[-1]["error"]


async def test_lane_of_which_one_part_fails_for_hours_is_told_like_one_that_fails(
    report: PollReport, logs: list[EventDict], clock: FakeClock
) -> None:
    some = replace(PAGE, more=True)
    for _ in range(59):
        report.failure(Lane.TIP, SourceUnavailable("/v2/x:listDelta: status 500"))
        report.success(Lane.TIP, some, 1, 0)
        report.failure(Lane.TIP, SourceUnavailable("/v2/x: status 500"))
        await clock.advance(60)
        report.success(Lane.TIP, some, 1, 0)
    report.success(Lane.TIP, PAGE, 0, 0)

    assert [(line["event"], line.get("error"), line.get("after_errors")) for line in logs] == [
        ("poll failed", "/v2/x:listDelta: status 500", None),
        ("poll failed", "/v2/x: status 500", None),
        ("feed recovered", None, 118),
    ]


async def test_lane_that_goes_on_for_an_hour_without_a_failure_has_recovered(
    report: PollReport, logs: list[EventDict], clock: FakeClock
) -> None:
    report.failure(Lane.TIP, SourceUnavailable("503"))
    for _ in range(61):
        report.success(Lane.TIP, replace(PAGE, more=True), 1, 0)
        await clock.advance(60)

    assert [line["event"] for line in logs] == ["poll failed", "feed recovered"]


async def test_failure_that_lasts_is_summed_up_every_hour(
    report: PollReport, logs: list[EventDict], clock: FakeClock
) -> None:
    for _ in range(150):
        report.failure(Lane.TIP, SourceDenied("no licence"))
        await clock.advance(60)

    assert [(line["event"], line.get("times"), line.get("for_seconds")) for line in logs] == [
        ("feed denied", None, None),
        ("feed still denied", 61, 3600),
        ("feed still denied", 121, 7200),
    ]


def test_gaps_are_counted_and_said_aloud(report: PollReport, status: FeedStatus, logs: list[EventDict]) -> None:
    gap = Gap(START, START + timedelta(seconds=1), "a record that can't be read")
    report.success(Lane.TIP, replace(PAGE, gaps=[gap]), 2, 0)

    assert status.gaps == 1
    assert metric("gaps_total") == 1
    assert [(line["log_level"], line["reason"]) for line in logs] == [("error", "a record that can't be read")]


def test_clock_that_differs_is_said_when_it_begins_and_when_it_ends(
    report: PollReport, status: FeedStatus, logs: list[EventDict]
) -> None:
    for skew in (0.0, 30.0, 31.0, 400.0, -31.0, 30.0, 0.0):
        report.success(Lane.TIP, replace(PAGE, clock_skew=skew), 0, 0)

    assert [line["event"] for line in logs] == [
        "this host's clock and the vendor's differ",
        "this host's clock and the vendor's agree again",
    ]
    assert status.clock_skew == 0.0
    assert METRICS.registry.get_sample_value("edr_collector_clock_skew_seconds", {"source": "withsecure"}) == 0.0


def test_feed_is_starting_until_it_was_read(status: FeedStatus) -> None:
    assert status.state == "starting"
    assert status.last_error is None
