from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from collector.errors import SinkDenied, SinkUnavailable, StoreFull
from collector.metrics import METRICS
from collector.pipeline.sink_report import SinkReport
from collector.pipeline.status import SinkStatus
from collector.testing import FakeClock
from collector.testing.clock import START


def metric(name: str, **labels: str) -> float:
    return METRICS.registry.get_sample_value(f"edr_collector_{name}", {"sink": "archive"} | labels) or 0.0


@pytest.fixture
def status() -> Iterator[SinkStatus]:
    METRICS.forget(sink="archive")
    yield SinkStatus("archive", "")
    METRICS.forget(sink="archive")


@pytest.fixture
def report(status: SinkStatus, clock: FakeClock) -> SinkReport:
    return SinkReport(status, clock)


def test_settled_batch_shows_in_status_and_metrics(report: SinkReport, status: SinkStatus) -> None:
    report.settled(3, 2)

    assert (status.state, status.delivered, status.rejected, status.dead_letters) == ("ok", 3, 2, 2)
    assert status.last_success == START
    assert (metric("events_delivered_total"), metric("events_rejected_total"), metric("dead_letters")) == (3, 2, 2)
    assert metric("sink_last_success_timestamp_seconds") == START.timestamp()


def test_batch_of_refusals_is_no_success(report: SinkReport, status: SinkStatus) -> None:
    report.failure(SinkUnavailable("down"), "backing_off")
    report.settled(0, 2)

    assert (status.state, status.last_success, status.dead_letters) == ("backing_off", None, 2)


def test_dead_letter_that_is_taken_after_all_is_one_less(report: SinkReport, status: SinkStatus) -> None:
    report.settled(0, 2)
    for _ in range(3):
        report.resolved()

    assert (status.dead_letters, status.delivered) == (0, 3)
    assert metric("dead_letters") == 0


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(SinkDenied("x"), "denied"), (SinkUnavailable("x"), "unavailable"), (StoreFull("x"), "store")],
)
def test_failures_count_by_what_they_are(report: SinkReport, failure: Exception, reason: str) -> None:
    report.failure(failure, "backing_off")

    assert metric("sink_errors_total", reason=reason) == 1


def test_held_is_an_error_and_ends_with_recovery(report: SinkReport, status: SinkStatus) -> None:
    with structlog.testing.capture_logs() as logs:
        report.failure(SinkUnavailable("down"), "backing_off")
        report.failure(SinkUnavailable("down"), "held")
        assert metric("sink_held") == 1
        report.failure(SinkUnavailable("down"), "held")
        report.recovered()
        report.recovered()

    assert metric("sink_held") == 0
    assert (status.state, status.last_error, status.errors) == ("ok", None, 3)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("sink unavailable", "warning"),
        ("sink held", "error"),
        ("sink recovered", "info"),
    ]


def test_skipped_events_are_counted(report: SinkReport, status: SinkStatus) -> None:
    report.skipped(7)

    assert (status.skipped, metric("events_skipped_total")) == (7, 7)
