from __future__ import annotations

import re
import threading
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from collector import __version__
from collector.metrics import LANES, METRICS, POLL_OUTCOMES, Metrics, Rendering

BASE_UNITS = ("seconds", "bytes", "events", "info")


async def text_of(metrics: Metrics) -> str:
    text, _ = await Rendering(metrics).render("")
    return text.decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_names_and_help_follow_the_conventions() -> None:
    families = list(text_string_to_metric_families(await text_of(Metrics())))

    ours = [family for family in families if not family.name.startswith("process_")]
    assert len(ours) > 40
    for family in ours:
        assert re.fullmatch(r"edr_collector_[a-z][a-z0-9_]*", family.name)
        assert family.documentation
        assert not family.documentation.endswith(".")
        assert not re.search(r"_(total|count|sum|bucket|milliseconds|kb|minutes|created)$", family.name)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_tenants_are_counted_by_themselves_up_to_a_number_and_together_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.metrics.MAX_TENANT_SERIES", 2)
    metrics = Metrics()
    for tenant in ("a", "b", "a", "c", "d"):
        assert not metrics.tenant_series_full or tenant == "d"
        metrics.count_delivered(tenant, "incidents", "siem", 1, 10)

    def counted(tenant: str, feed: str = "incidents", sink: str = "siem") -> tuple[float | None, float | None]:
        labels = {"tenant": tenant, "feed": feed, "sink": sink}
        names = ("edr_collector_tenant_events_total", "edr_collector_tenant_event_bytes_total")
        return value(metrics, names[0], **labels), value(metrics, names[1], **labels)

    assert [counted(tenant) for tenant in "abc"] == [(2, 20), (1, 10), (None, None)]
    assert counted("other", "other", "other") == (2, 20)
    assert metrics.tenant_series_full

    metrics.forget(tenant="a", source="withsecure")  # the tenant may have others
    assert counted("a") == (2, 20)
    metrics.forget(tenant="a")
    assert (counted("a"), metrics.tenant_series_full) == ((None, None), False)
    metrics.count_delivered("c", "incidents", "siem", 1, 10)
    assert counted("c") == (1, 10)
    metrics.forget(sink="siem")
    metrics.count_delivered("a", "incidents", "archive", 1, 10)
    assert (counted("b"), counted("a", sink="archive")) == ((None, None), (1, 10))


async def test_no_created_series_are_served() -> None:
    metrics = Metrics()
    metrics.pages_committed.inc()
    metrics.commit_seconds.observe(0.1)

    assert "_created" not in await text_of(metrics)


async def test_labels_are_bounded_and_histograms_carry_no_tenant() -> None:
    allowed = {"tenant", "source", "feed", "lane", "outcome", "sink", "reason", "loop"}

    metrics = Metrics()
    assert all(set(family.labelnames) <= allowed for family in metrics._feeds.families)
    for metric in metrics._declared:
        assert set(metric._labelnames) <= allowed
        if metric._type == "histogram":
            assert "tenant" not in metric._labelnames


def test_series_of_a_feed_exist_before_its_first_event() -> None:
    metrics = Metrics()

    metrics.declare_feed("acme", "withsecure", "security_events")

    feed = {"tenant": "acme", "source": "withsecure", "feed": "security_events"}
    assert value(metrics, "edr_collector_events_fetched_total", **feed) == 0
    assert value(metrics, "edr_collector_feed_denied", **feed) == 0
    for outcome in POLL_OUTCOMES:
        assert value(metrics, "edr_collector_polls_total", **feed, lane=LANES[1], outcome=outcome) == 0


def test_series_of_a_sink_exist_before_its_first_event() -> None:
    metrics = Metrics()

    metrics.declare_sink("archive")

    assert value(metrics, "edr_collector_events_delivered_total", sink="archive") == 0
    assert value(metrics, "edr_collector_sink_deliver_seconds_count", sink="archive") == 0


def test_forgotten_feed_and_sink_have_no_series_left() -> None:
    metrics = Metrics()
    metrics.declare_feed("acme", "withsecure", "security_events")
    metrics.declare_feed("globex", "withsecure", "security_events")
    metrics.declare_sink("archive")
    metrics.sink_errors.labels(sink="archive", reason="unavailable").inc()

    metrics.forget(tenant="acme", source="withsecure")
    metrics.forget(sink="archive")

    labels = [sample.labels for family in metrics.registry.collect() for sample in family.samples]
    assert not [found for found in labels if found.get("tenant") == "acme" or found.get("sink") == "archive"]
    assert [found for found in labels if found.get("tenant") == "globex"]


def test_forgetting_nothing_in_particular_forgets_nothing() -> None:
    metrics = Metrics()
    metrics.declare_sink("archive")

    metrics.forget()

    assert value(metrics, "edr_collector_events_delivered_total", sink="archive") == 0


def test_version_is_told() -> None:
    assert value(METRICS, "edr_collector_build_info", version=__version__) == 1


async def test_text_serves_everyone_for_a_second() -> None:
    metrics, now = Metrics(), [100.0]
    rendering = Rendering(metrics, max_age=1.0, monotonic=lambda: now[0])
    first, _ = await rendering.render("")
    metrics.pages_committed.inc()

    now[0] += 0.9
    assert (await rendering.render(""))[0] == first
    now[0] += 0.1
    assert b"edr_collector_pages_committed_total 1.0" in (await rendering.render(""))[0]


async def test_other_dialect_is_not_served_from_the_cache() -> None:
    rendering = Rendering(Metrics())

    plain, plain_type = await rendering.render("text/plain")
    other, other_type = await rendering.render("application/openmetrics-text")

    assert plain_type != other_type
    assert other.endswith(b"# EOF\n")
    assert not plain.endswith(b"# EOF\n")


async def test_rendering_leaves_the_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    collect = CollectorRegistry.collect
    metrics = Metrics()

    def collect_watched(registry: CollectorRegistry) -> Iterable[Metric]:
        threads.append(threading.get_ident())
        return collect(registry)

    monkeypatch.setattr(CollectorRegistry, "collect", collect_watched)

    await Rendering(metrics).render("")

    assert threads
    assert threading.get_ident() not in threads
