"""What a poll leaves behind in status, metrics and the log file."""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog
from structlog.typing import FilteringBoundLogger

from collector.clock import Clock
from collector.errors import CheckpointExpired, NotLicensed, PageRefused, SourceDenied, SourceUnavailable
from collector.metrics import METRICS
from collector.model import Lane, Page
from collector.pipeline.status import SKEW_SECONDS, FeedStatus

log = structlog.get_logger()

_SUMMARY_SECONDS = 3600.0
_TROUBLES_KEPT = 16
# Names that vendors give to requests, and what else looks like one: every answer has its own.
_IDS = re.compile(r" ?\((?:request|transaction) [^()]*\)|(?=[\w.:+-]*\d)[\w.:+-]{8,}")


@dataclass(slots=True)
class _Trouble:
    """A failure of a lane: since when (monotonic), how often, when it was last, when it was last told."""

    since: float
    told_at: float
    times: int = 0
    failed_at: float = 0.0


class PollReport:
    """Tells of one feed's polls.

    A repeated failure is logged at its first occurrence, where another id is no other failure; then once an hour in a
    summary. A lane has recovered when it is caught up, or goes on without a failure for an hour: one that reads
    several things, of which one fails for hours, is not to tell of both at every poll.
    """

    def __init__(self, status: FeedStatus, clock: Clock) -> None:
        self._status = status
        self._clock = clock
        # By the words without ids.
        self._troubles: dict[Lane, dict[str, _Trouble]] = {}

    @property
    def _labels(self) -> dict[str, str]:
        stream = self._status.stream
        return {"tenant": stream.tenant, "source": stream.source, "feed": stream.feed}

    @property
    def _log(self) -> FilteringBoundLogger:
        # Made when there is something to say: of thousands of feeds most never have.
        bound: FilteringBoundLogger = log.bind(**self._labels)
        return bound

    def run_dropped(self, lane: Lane, exc: CheckpointExpired) -> None:
        """The vendor refuses the token of a run."""
        self._log.warning("page token refused, the run goes on without it", lane=lane, error=str(exc))

    def paused(self, *, yes: bool) -> None:
        """The gate holds the feed, or lets it go."""
        self._status.paused = yes
        METRICS.feed_paused.labels(**self._labels).set(yes)

    def asked(self, interval: float | None) -> None:
        """The tip was asked again so many seconds after it was last begun."""
        self._status.interval_seconds = interval
        if interval is not None:
            METRICS.feed_interval.labels(**self._labels).set(interval)

    def success(self, lane: Lane, page: Page, appended: int, duplicates: int) -> None:
        """A page was fetched and committed."""
        status, labels = self._status, self._labels
        status.failing.pop(lane, None)
        self._allowed()
        troubles = self._troubles.get(lane, {}).values()
        is_quiet = all(self._clock.monotonic() - trouble.failed_at >= _SUMMARY_SECONDS for trouble in troubles)
        if troubles and (is_quiet or not page.more):
            self._log.info("feed recovered", lane=lane, after_errors=sum(trouble.times for trouble in troubles))
            del self._troubles[lane]
        if not status.failing:
            status.consecutive_errors = 0
        now = self._clock.now()
        status.last_success = now
        if page.vendor_time is not None:
            status.vendor_time, status.answered_at = page.vendor_time, self._clock.monotonic()
        self._skew(page.clock_skew)
        status.events += appended
        status.duplicates += duplicates
        status.gaps += len(page.gaps)
        for gap in page.gaps:
            self._log.error("gap: a range stays unreadable", start=gap.start, end=gap.end, reason=gap.reason)
        if appended:
            status.last_event = page.fetched_at
            METRICS.feed_last_event.labels(**labels).set(page.fetched_at.timestamp())
        if lane is Lane.TIP and page.checkpoint.watermark is not None:
            status.watermark = page.checkpoint.watermark
            note_lag(status, self._clock.monotonic())
        self._count(lane, page, appended, duplicates)
        METRICS.feed_last_success.labels(**labels).set(now.timestamp())

    def _allowed(self) -> None:
        """Who lets one lane read denies the feed to nobody: the other lane has only to find out."""
        failing = self._status.failing
        failing.update({lane: ("backing_off", text) for lane, (state, text) in failing.items() if state == "denied"})

    def _count(self, lane: Lane, page: Page, appended: int, duplicates: int) -> None:
        labels = self._labels
        METRICS.polls.labels(**labels, lane=lane, outcome="ok").inc()
        METRICS.events_fetched.labels(**labels).inc(len(page.records))
        METRICS.events_stored.labels(**labels).inc(appended)
        METRICS.events_duplicate.labels(**labels).inc(duplicates)
        METRICS.event_bytes_fetched.labels(**labels).inc(sum(len(record.raw) for record in page.records))
        METRICS.pages_committed.inc()
        METRICS.gaps.labels(**labels).inc(len(page.gaps))
        METRICS.feed_denied.labels(**labels).set(self._status.denied)
        METRICS.feed_failures.labels(**labels).set(self._status.consecutive_errors)

    def _skew(self, skew: float) -> None:
        before, self._status.clock_skew = self._status.clock_skew, skew
        METRICS.clock_skew.labels(source=self._status.stream.source).set(skew)
        if abs(skew) > SKEW_SECONDS >= abs(before):
            self._log.warning("this host's clock and the vendor's differ", seconds=round(skew, 1))
        elif abs(before) > SKEW_SECONDS >= abs(skew):
            self._log.info("this host's clock and the vendor's agree again")

    def failure(self, lane: Lane, exc: Exception) -> None:
        """A fetch or a commit failed."""
        status, text = self._status, str(exc)
        denied = isinstance(exc, SourceDenied)
        self._tell(lane, exc, text)
        status.failing[lane] = ("denied" if denied else "backing_off", text)
        status.errors += 1
        status.consecutive_errors += 1
        METRICS.polls.labels(**self._labels, lane=lane, outcome=_outcome(exc)).inc()
        METRICS.feed_denied.labels(**self._labels).set(status.denied)
        METRICS.feed_failures.labels(**self._labels).set(status.consecutive_errors)
        if isinstance(exc, PageRefused):
            METRICS.pages_refused.labels(**self._labels).inc()

    def _tell(self, lane: Lane, exc: Exception, text: str) -> None:
        denied, now = isinstance(exc, SourceDenied), self._clock.monotonic()
        same = f"{type(exc).__name__} {_IDS.sub('', text)}"
        # Whoever leaves all feeds on reads what is licensed: no reason to call somebody every hour.
        grave = (denied and not isinstance(exc, NotLicensed)) or isinstance(exc, PageRefused)
        level = self._log.error if grave else self._log.warning
        troubles = self._troubles.setdefault(lane, {})
        trouble = troubles.get(same)
        if trouble is None:
            if len(troubles) >= _TROUBLES_KEPT:
                troubles.clear()
            troubles[same] = trouble = _Trouble(now, now)
            level("feed denied" if denied else "poll failed", lane=lane, error=text, kind=type(exc).__name__)
        trouble.times, trouble.failed_at = trouble.times + 1, now
        if now - trouble.told_at >= _SUMMARY_SECONDS:
            trouble.told_at = now
            lasted, still = round(now - trouble.since), "feed still denied" if denied else "polls still fail"
            level(still, lane=lane, error=text, times=trouble.times, for_seconds=lasted)


def note_lag(status: FeedStatus, now: float) -> None:
    """Bring the metric up to date; `now`: monotonic."""
    stream = status.stream
    labels = {"tenant": stream.tenant, "source": stream.source, "feed": stream.feed}
    METRICS.feed_lag.labels(**labels).set(status.lag(now) or 0.0)


def _outcome(exc: Exception) -> str:
    """One of `metrics.POLL_OUTCOMES`."""
    if isinstance(exc, SourceDenied):
        return "denied"
    if isinstance(exc, PageRefused):
        return "refused"
    return "unavailable" if isinstance(exc, SourceUnavailable | CheckpointExpired) else "failed"
