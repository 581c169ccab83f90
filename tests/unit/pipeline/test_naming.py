from __future__ import annotations

import pytest

from collector.pipeline.events import TenantView
from collector.pipeline.naming import Naming
from collector.testing import make_event
from tests.unit.pipeline.workbench import ACME, BETA

PLAIN = TenantView({"to": "one"}, {})
PARTNER = TenantView({"to": "one"}, {"org-1": "acme-fi"}, {"acme-fi": {"to": "two"}})


def naming(text: str, view: TenantView = PLAIN, *secrets: str) -> Naming:
    return Naming(text, lambda _tenant: view, secrets)


@pytest.mark.parametrize("text", ["edr", "", "edr-{{x}}"], ids=["word", "nothing", "braces"])
def test_a_text_without_names_is_one_destination(text: str) -> None:
    assert naming(text).is_constant


def test_the_constant_destination_is_the_text_and_may_be_nothing() -> None:
    assert naming("edr-{{x}}").constant == "edr-{x}"
    assert naming("").constant == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("edr-{tenant}", "edr-acme"),
        ("{source}.{feed}", "withsecure.security_events"),
        ("{label.to}", "one"),
        ("{label.none}", "_"),
        ("edr-{organization}", None),
    ],
    ids=["tenant", "source_and_feed", "label", "no_such_label", "organization"],
)
def test_a_stream_tells_where_its_events_go_unless_they_differ(text: str, expected: str | None) -> None:
    assert naming(text).of_stream(ACME) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{tenant}", None), ("{label.to}", None), ("{feed}", "security_events")],
    ids=["tenant", "label", "feed"],
)
def test_pages_of_a_partner_are_opened_where_tenant_or_labels_decide(text: str, expected: str | None) -> None:
    assert naming(text, PARTNER).of_stream(ACME) == expected


def test_long_and_hostile_names_are_cut_stay_apart_and_can_be_stored() -> None:
    name = naming("{organization}")
    one = name.of_event(make_event(organization_id="x" * 100_000 + "1"))
    two = name.of_event(make_event(organization_id="x" * 100_000 + "2"))

    assert len(one) == len(two) == 200
    assert one != two
    assert name.of_event(make_event(organization_id="a\ud800b")) == "a?b"


def test_secrets_in_a_name_are_hashed_and_stay_apart() -> None:
    name = naming("{tenant} {label.key}", PLAIN, "{label.key}")
    one = name.of_event(make_event(labels={"key": "s3cret-1"}))
    two = name.of_event(make_event(labels={"key": "s3cret-2"}))

    assert "s3cret" not in one
    assert one.startswith("acme #")
    assert one != two


def test_a_signature_changes_with_whatever_decides_where_events_go_and_with_nothing_else() -> None:
    same = naming("{label.to}", TenantView({"to": "one", "other": "x"}, {}))
    moved = naming("{label.to}", TenantView({"to": "two"}, {}))
    before = naming("{label.to}").signature(ACME)

    assert same.signature(ACME) == before
    assert moved.signature(ACME) != before
    assert naming("{tenant}").signature(ACME) != naming("{tenant}").signature(BETA)


def test_a_partners_signature_changes_with_its_organizations_and_their_labels() -> None:
    before = naming("{label.to}", PARTNER).signature(ACME)
    relabelled = TenantView({"to": "one"}, {"org-1": "acme-fi"}, {"acme-fi": {"to": "three"}})
    remapped = TenantView({"to": "one"}, {"org-2": "acme-fi"}, {"acme-fi": {"to": "two"}})

    assert len({before, naming("{label.to}", relabelled).signature(ACME)}) == 2
    assert len({before, naming("{label.to}", remapped).signature(ACME)}) == 2
    assert naming("{label.to}", PARTNER).signature(ACME) == before
