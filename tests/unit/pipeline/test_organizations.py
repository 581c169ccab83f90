from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from collector.metrics import METRICS
from collector.pipeline import organizations
from collector.pipeline.events import TenantView
from collector.pipeline.organizations import Organizations
from collector.testing import make_event
from collector.testing.clock import START
from tests.unit.pipeline.workbench import ACME, BETA

EVENT = replace(make_event(1), organization_id="O-1", organization_name="North", fetched_at=START)


@pytest.fixture(autouse=True)
def _no_metrics_left() -> Iterator[None]:
    yield
    for stream in (ACME, BETA):
        METRICS.forget(tenant=stream.tenant, source=stream.source)


def known(*keys: str) -> dict[str, TenantView]:
    return {ACME.tenant: TenantView({}, dict.fromkeys((*keys, "o-0"), "north"))}


def test_organization_is_one_however_its_id_is_written_and_keeps_its_last_name_and_times() -> None:
    it = Organizations()
    later, earlier = START + timedelta(hours=1), START - timedelta(hours=1)
    it.note(ACME, EVENT)
    it.note(ACME, replace(EVENT, organization_id="o-1", organization_name="North Oy", fetched_at=later))
    it.note(ACME, replace(EVENT, organization_name="", fetched_at=earlier))

    ((_, _, (one,)),) = it.all()
    assert (one.id, one.name, one.events, one.first_seen, one.last_seen) == ("O-1", "North Oy", 3, earlier, later)


def test_of_a_source_that_sees_ever_new_organizations_a_bounded_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organizations, "MOST", 5)
    it = Organizations()
    with structlog.testing.capture_logs() as logs:
        for number in range(20):
            it.note(ACME, replace(EVENT, organization_id=f"o-{number}" * 100))
    labels = {"tenant": ACME.tenant, "source": ACME.source}

    ((_, _, strangers),) = it.all()
    assert len(strangers) == len(logs) == 5
    assert all(len(one.id) == 200 for one in strangers)
    counted = METRICS.registry.get_sample_value(
        "edr_collector_events_without_tenant_total", {**labels, "feed": ACME.feed}
    )
    assert counted == 20
    (warning,) = it.warnings()
    assert warning.startswith(f"{ACME.tenant}/{ACME.source}: 5 organizations without tenant: ")
    assert " and 2 more; " in warning


def test_what_is_mapped_by_now_is_let_go_and_what_is_not_stays() -> None:
    it = Organizations()
    it.note(ACME, EVENT)
    it.note(ACME, replace(EVENT, organization_id="o-2"))
    it.note(BETA, EVENT)

    it.follow(known("o-1"))

    assert [(tenant, [one.id for one in strangers]) for tenant, _, strangers in it.all()] == [(ACME.tenant, ["o-2"])]
    it.follow(known("o-1", "o-2"))
    assert (it.all(), it.warnings(), it.as_json()) == ([], [], [])
