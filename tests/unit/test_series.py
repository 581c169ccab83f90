from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from collector.series import Family, Rows

ACME = {"tenant": "acme", "feed": "alerts"}
BETA = {"tenant": "beta", "feed": "alerts"}


@pytest.fixture
def rows() -> Rows:
    return Rows(("tenant", "feed"))


@pytest.fixture
def events(rows: Rows) -> Family:
    return rows.family("events", "Events", "counter", {})


@pytest.fixture
def polls(rows: Rows, events: Family) -> Family:
    assert events.labelnames == ("tenant", "feed")
    return rows.family("polls", "Polls", "gauge", {"lane": ("tip", "sweep"), "outcome": ("ok", "denied")})


def text(rows: Rows) -> str:
    registry = CollectorRegistry()
    registry.register(rows)
    return generate_latest(registry).decode()


def test_numbers_are_served_as_prometheus_client_serves_its_own(rows: Rows, events: Family, polls: Family) -> None:
    events.labels(**ACME).inc()
    events.labels(**ACME).inc(2)
    polls.labels(**BETA, lane="sweep", outcome="denied").set(7)
    polls.labels(**BETA, lane="sweep", outcome="ok").inc()

    assert text(rows).splitlines() == [
        "# HELP events_total Events",
        "# TYPE events_total counter",
        'events_total{feed="alerts",tenant="acme"} 3.0',
        "# HELP polls Polls",
        "# TYPE polls gauge",
        'polls{feed="alerts",lane="sweep",outcome="ok",tenant="beta"} 1.0',
        'polls{feed="alerts",lane="sweep",outcome="denied",tenant="beta"} 7.0',
    ]


def test_a_number_that_nobody_touched_is_not_served(rows: Rows, events: Family) -> None:
    events.labels(**ACME)

    assert "acme" not in text(rows)


def test_a_forgotten_row_is_not_brought_back_by_who_still_holds_a_number_of_it(rows: Rows, events: Family) -> None:
    held = events.labels(**ACME)
    held.inc()
    events.labels(**BETA).inc()

    rows.forget(tenant="acme")
    held.inc()

    assert "acme" not in text(rows)
    assert "beta" in text(rows)
    events.labels(**ACME).inc()
    assert 'events_total{feed="alerts",tenant="acme"} 1.0' in text(rows)


@pytest.mark.parametrize("labels", [{"tenant": "acme"}, {**ACME, "lane": "tip"}], ids=["too-few", "unknown"])
def test_labels_that_do_not_fit_are_a_mistake(polls: Family, labels: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        polls.labels(**labels)


def test_value_that_a_further_label_can_not_have_is_a_mistake(polls: Family) -> None:
    with pytest.raises(KeyError):
        polls.labels(**ACME, lane="tip", outcome="odd")
