"""Every metric of the program, declared once.

Names and labels are a contract with the dashboards and alerts of the users: chosen once, never renamed. Labels are
bounded by the configuration (`tenant`, `source`, `feed`, `sink`) or by this program (`lane`, `outcome`, `reason`,
`loop`); never ids, hosts, URLs or messages. Timestamps are seconds since the epoch, 0 meaning "never"; the age is
computed in the query. Histograms carry no tenant.

`Metrics` holds a registry of its own, so tests make as many as they like; the program uses `METRICS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import product
from math import isnan
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from collector import __version__
from collector.series import Family, Kind, Rows

_M = TypeVar("_M", bound=MetricWrapperBase)

FEED = ("tenant", "source", "feed")
POLL_OUTCOMES = ("ok", "unavailable", "denied", "refused", "failed")
LANES = ("tip", "sweep", "job")

# Tenants by feeds by sinks are more than a Prometheus wants of one process at some providers.
MAX_TENANT_SERIES = 2000
OTHER = "other"

_COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# prometheus_client would add a `_created` series to every counter and histogram; this switch is global to it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves it unannotated


class Metrics:
    """The metrics by name, less the prefix `edr_collector_` and the unit's `_total`.

    `declare_feed` and `declare_sink` make the series of a feed or sink exist from the start, so that a rate over the
    first event is seen; `forget` removes those of what a reload took away.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._declared: list[MetricWrapperBase] = []
        self._feeds = Rows(FEED)
        self._sources()
        self._log()
        self._sinks()
        self._program()
        self.registry.register(self._feeds)

    # -- sources -----------------------------------------------------------------------------

    def _sources(self) -> None:
        count, gauge, feeds = self._counter, self._gauge, self._of_feeds
        self.polls = feeds("polls", "Polls of a feed's lane by outcome", "counter", lane=LANES, outcome=POLL_OUTCOMES)
        self.events_fetched = feeds("events_fetched", "Records the vendor served, repeats included", "counter")
        self.events_stored = feeds("events_stored", "Records that were new and went into the log", "counter")
        self.events_duplicate = feeds("events_duplicate", "Records that were known already", "counter")
        self.events_unparsed = feeds("events_unparsed", "Records delivered as kind unparsed", "counter")
        self.event_bytes_fetched = feeds("event_bytes_fetched", "Bytes of the records the vendor served", "counter")
        self.feed_last_success = feeds(
            "feed_last_success_timestamp_seconds", "When the feed was last polled with success", "gauge"
        )
        self.feed_last_event = feeds(
            "feed_last_event_timestamp_seconds", "When the feed last gave a new event", "gauge"
        )
        self.feed_lag = feeds("feed_lag_seconds", "Age of the time up to which the feed was read completely", "gauge")
        self.feed_interval = feeds("feed_interval_seconds", "Measured time between the last two polls", "gauge")
        self.feed_denied = feeds("feed_denied", "1 while the vendor refuses the credentials or the licence", "gauge")
        self.feed_paused = feeds("feed_paused", "1 while a full backlog pauses the feed", "gauge")
        self.feed_failures = feeds("feed_consecutive_failures", "Failed polls since the last good one", "gauge")
        self.gaps = feeds("gaps", "Ranges recorded as unreadable", "counter")
        self.source_requests = count(
            "source_requests", "Requests to the vendor, logins included", "tenant", "source", "outcome"
        )
        self.source_request_seconds = self._histogram(
            "source_request_seconds", "Time of one request to a vendor, waiting for the budget excluded", "source"
        )
        self.source_throttled = count("source_throttled", "Answers that asked us to slow down", "tenant", "source")
        self.source_logins = count("source_logins", "Logins at the vendor by outcome", "tenant", "source", "outcome")
        self.clock_skew = gauge("clock_skew_seconds", "This host's clock minus the vendor's", "source")
        self.unknown_fields = feeds("unknown_fields", "Vendor fields and values that no table knows", "counter")
        self.events_without_tenant = feeds(
            "events_without_tenant", "Events of organizations that no tenant is mapped to", "counter"
        )
        self.events_owner_unknown = feeds(
            "events_owner_unknown", "Events of devices whose owner could not be told in time", "counter"
        )
        self.organizations_without_tenant = gauge(
            "organizations_without_tenant", "Organizations seen that no tenant is mapped to", "tenant", "source"
        )
        self.budget_waiting = gauge("budget_waiting", "Requests that wait for their turn", "lane")

    # -- the log -----------------------------------------------------------------------------

    def _log(self) -> None:
        count, gauge, feeds = self._counter, self._gauge, self._of_feeds
        self.log_bytes = gauge("log_bytes", "Size of the state: log, write-ahead log and dead letters")
        self.log_max_bytes = gauge("log_max_bytes", "The configured limit of that size")
        self.log_free_bytes = gauge("log_free_bytes", "Free space of the volume the state is on")
        self.replay_horizon = gauge(
            "replay_horizon_timestamp_seconds", "Time of the oldest event that can still be delivered again"
        )
        self.polling_paused = gauge("polling_paused", "1 while all polling is paused, by reason", "reason")
        self.commit_seconds = self._histogram(
            "commit_seconds", "Time of one commit to the log", buckets=_COMMIT_BUCKETS
        )
        self.pages_committed = count("pages_committed", "Pages committed to the log")
        self.pages_refused = feeds("pages_refused", "Pages the store could not take", "counter")
        self.pruned_pages = count("pruned_pages", "Pages whose bodies were removed from the log")

    # -- sinks -------------------------------------------------------------------------------

    def _sinks(self) -> None:
        count, gauge = self._counter, self._gauge
        self.events_delivered = count("events_delivered", "Events the sink accepted", "sink")
        self.events_rejected = count("events_rejected", "Events that became dead letters", "sink")
        self.events_skipped = count("events_skipped", "Events a sink that is not required was moved past", "sink")
        self.dead_letters = gauge("dead_letters", "Dead letters that wait for a decision", "sink")
        self.sink_backlog_events = gauge("sink_backlog_events", "Events that wait for the sink, at most", "sink")
        self.sink_backlog_bytes = gauge("sink_backlog_bytes", "Bytes in the log that wait for the sink", "sink")
        self.sink_oldest_unsent = gauge(
            "sink_oldest_unsent_timestamp_seconds", "When the oldest event that waits was fetched, 0 if none", "sink"
        )
        self.sink_last_success = gauge("sink_last_success_timestamp_seconds", "When the sink last accepted", "sink")
        self.sink_held = gauge("sink_held", "1 while nothing is sent because the sink refuses everything", "sink")
        self.sink_errors = count("sink_errors", "Batches that failed as a whole, by reason", "sink", "reason")
        self.tenant_events = count(
            "tenant_events", "Events a sink accepted, by the tenant they carry", "tenant", "feed", "sink"
        )
        self.tenant_event_bytes = count(
            "tenant_event_bytes", "Bytes of the events a sink accepted, as sent", "tenant", "feed", "sink"
        )
        self._tenant_series: set[tuple[str, str, str]] = set()
        self.tenant_series_full = False
        self.sink_deliver_seconds = self._histogram("sink_deliver_seconds", "Time of one delivered batch", "sink")

    # -- the program -------------------------------------------------------------------------

    def _program(self) -> None:
        self.loop_restarts = self._counter("loop_restarts", "Loops restarted after an unexpected error", "loop")
        self.config_reloads = self._counter("config_reloads", "Reloads of the configuration by outcome", "outcome")
        self.config_last_reload = self._gauge(
            "config_last_reload_timestamp_seconds", "When the configuration in force was loaded"
        )
        self.build = Info("edr_collector_build", "The version that runs", registry=self.registry)
        self.build.info({"version": __version__})
        ProcessCollector(registry=self.registry)

    def count_delivered(self, tenant: str, feed: str, sink: str, events: int, size: int) -> None:
        """Count what a sink accepted; behind `MAX_TENANT_SERIES` label sets, all that is new is one `other`."""
        labels = (tenant, feed, sink)
        if labels not in self._tenant_series:
            if len(self._tenant_series) >= MAX_TENANT_SERIES:
                self.tenant_series_full, labels = True, (OTHER, OTHER, OTHER)
            else:
                self._tenant_series.add(labels)
        self.tenant_events.labels(*labels).inc(events)
        self.tenant_event_bytes.labels(*labels).inc(size)

    def declare_feed(self, tenant: str, source: str, feed: str, lanes: Sequence[str] = ("tip", "sweep")) -> None:
        """Let every series of this feed exist, at 0."""
        row = self._feeds.row(tenant=tenant, source=source, feed=feed)
        wanted = {(), *product(lanes, POLL_OUTCOMES)}
        for family in self._feeds.families:
            for further, column in family.columns.items():
                if further in wanted and isnan(row[column]):
                    row[column] = 0.0

    def declare_sink(self, sink: str) -> None:
        """Let every series of this sink exist, at 0."""
        for metric in self._declared:
            if metric._labelnames == ("sink",):  # noqa: SLF001 -- as above
                metric.labels(sink=sink)

    def forget(self, **labels: str) -> None:
        """Remove every series that carries all of these labels: what they speak of is no longer configured."""
        if not labels:
            return
        if set(labels) <= set(FEED):
            self._feeds.forget(**labels)
        given = [labels.get(name) for name in ("tenant", "feed", "sink")]
        if set(labels) <= {"tenant", "feed", "sink"}:
            self._tenant_series = {
                one for one in self._tenant_series if any(a not in {None, b} for a, b in zip(given, one, strict=True))
            }
            self.tenant_series_full = self.tenant_series_full and len(self._tenant_series) >= MAX_TENANT_SERIES
        for metric in self._declared:
            if set(labels) <= set(metric._labelnames):  # noqa: SLF001 -- as above
                metric.remove_by_labels(labels)

    # -- declaring ---------------------------------------------------------------------------

    def _of_feeds(self, name: str, documentation: str, kind: Kind, **further: Sequence[str]) -> Family:
        return self._feeds.family(f"edr_collector_{name}", documentation, kind, further)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return self._keep(Counter(f"edr_collector_{name}", documentation, labels, registry=self.registry))

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return self._keep(Gauge(f"edr_collector_{name}", documentation, labels, registry=self.registry))

    def _histogram(
        self, name: str, documentation: str, *labels: str, buckets: Sequence[float] = _REQUEST_BUCKETS
    ) -> Histogram:
        name = f"edr_collector_{name}"
        return self._keep(Histogram(name, documentation, labels, buckets=buckets, registry=self.registry))

    def _keep(self, metric: _M) -> _M:
        self._declared.append(metric)
        return metric


METRICS = Metrics()


class Rendering:
    """The metrics as text, in the dialect that the asker's `Accept` header names.

    Rendered in a thread, since thousands of series take long enough to hold up the loop; one text serves everyone who
    asks within `max_age` seconds.
    """

    def __init__(self, metrics: Metrics, max_age: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._registry = metrics.registry
        self._max_age = max_age
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, bytes]] = {}
        self._lock = asyncio.Lock()

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The text with its content type."""
        encode, content_type = choose_encoder(accept)
        async with self._lock:
            made_at, text = self._cache.get(content_type, (float("-inf"), b""))
            if self._monotonic() - made_at >= self._max_age:
                text = await asyncio.to_thread(encode, self._registry)
                # One entry: askers differ in their dialect rarely, and what they may name is not bounded.
                self._cache = {content_type: (self._monotonic(), text)}
        return text, content_type
