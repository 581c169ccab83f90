from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import SEVERITIES, StreamId
from collector.routing import Route, Template, path_value
from collector.testing import make_event

ACME = StreamId("acme", "withsecure", "security_events")


def rules(**given_rules: Any) -> Any:
    return SimpleNamespace(
        **{"tenants": (), "organizations": (), "sources": (), "feeds": (), "min_severity": None} | given_rules
    )


def test_names_in_braces_become_what_the_event_says() -> None:
    event = make_event(labels={"customer": "Acme Oy"}, organization_id="org-1")

    text = Template("{tenant}/{organization}/{source}/{feed}/{label.customer}").render(event)

    assert text == "acme/org-1/withsecure/security_events/Acme Oy"


def test_a_label_the_event_has_not_is_empty() -> None:
    assert Template("a{label.customer}b").render(make_event()) == "ab"


def test_doubled_braces_stand_for_one() -> None:
    assert Template("{{x}}-{tenant}-}}{{").render(make_event()) == "{x}-acme-}{"


def test_date_and_hour_are_of_fetching_in_utc() -> None:
    fetched = datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    text = Template("{date} {hour}", times=True).render(make_event(fetched_at=fetched))

    assert text == "2026-11-22 2026-11-22T23"


def test_the_same_hour_of_two_days_has_two_names() -> None:
    first = make_event(fetched_at=datetime(2026, 11, 22, 10, tzinfo=UTC))
    template = Template("{hour}", times=True)

    assert template.render(first) != template.render(replace(first, fetched_at=first.fetched_at + timedelta(days=1)))


def test_only_values_are_quoted_never_what_the_user_wrote() -> None:
    assert Template("A{tenant}B").render(make_event(tenant="x"), quote=str.upper) == "AXB"
    assert Template("a/{tenant}").render(make_event(tenant="b/c"), quote=path_value) == "a/b%2Fc"


def test_values_with_braces_are_not_read_as_names() -> None:
    assert Template("{tenant}").render(make_event(tenant="{source}")) == "{source}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{tenent}", "did you mean tenant?"),
        ("{organisation}", "did you mean organization?"),
        ("{label.}", "unknown name {label.}"),
        ("{}", "unknown name {}"),
        ("{ tenant }", "did you mean tenant?"),
        ("{date}", "unknown name {date}"),
        ("{tenant", "'{' stands alone"),
        ("tenant}", "'}' stands alone"),
        ("{{tenant}", "'}' stands alone"),
    ],
)
def test_a_wrong_template_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="tenant") as caught:
        Template(text)

    assert says in str(caught.value)


def test_a_template_without_names_is_constant() -> None:
    assert Template("events{{}}").is_constant
    assert not Template("events{feed}").is_constant


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("acme", "acme"),
        ("Acme-1.fi_x", "Acme-1.fi_x"),
        ("Acme Oy", "Acme%20Oy"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("", "_"),
        ("_", "%5F"),
        ("~root", "%7Eroot"),
        ("a\0b\n", "a%00b%0A"),
        ("Työ", "Ty%C3%B6"),
        ("\ud800", "%ED%A0%80"),
        ("100%", "100%25"),
    ],
)
def test_values_become_harmless_names(value: str, name: str) -> None:
    assert path_value(value) == name


def test_long_values_are_cut_and_stay_distinct() -> None:
    first, second = path_value("x" * 500 + "1"), path_value("x" * 500 + "2")

    assert len(first) <= 80
    assert first != second


@given(st.text(max_size=60))
def test_every_value_gives_a_name_of_1_to_80_harmless_bytes(value: str) -> None:
    name = path_value(value * 3)

    assert 1 <= len(name.encode()) <= 80
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%-")
    assert name not in {".", ".."}


@given(st.lists(st.text(max_size=40), unique=True, max_size=20))
def test_distinct_values_give_distinct_names(values: list[str]) -> None:
    assert len({path_value(value) for value in values}) == len(values)


def test_a_route_without_rules_takes_everything() -> None:
    route = Route(rules())

    assert route.takes_stream(ACME)
    assert route.takes(make_event())


@pytest.mark.parametrize(
    ("given_rules", "taken"),
    [
        ({"tenants": ("acme",)}, True),
        ({"tenants": ("ac",)}, False),
        ({"tenants": ("ac*",)}, True),
        ({"tenants": ("globex", "*me")}, True),
        ({"tenants": ("globex",)}, False),
        ({"sources": ("withsecure",)}, True),
        ({"sources": ("eset",)}, False),
        ({"feeds": ("security_events",)}, True),
        ({"feeds": ("incidents",)}, False),
        ({"tenants": ("acme",), "feeds": ("incidents",)}, False),
    ],
)
def test_names_decide_on_streams_and_events_alike(given_rules: dict[str, Any], taken: bool) -> None:
    route = Route(rules(**given_rules))

    assert route.takes_stream(ACME) is taken
    assert route.takes(make_event()) is taken


def test_only_the_star_is_special_in_a_name() -> None:
    route = Route(rules(organizations=("Acme [old]?*",)))

    assert route.takes(make_event(organization_name="Acme [old]? Oy"))
    assert not route.takes(make_event(organization_name="Acme o? Oy"))


def test_organizations_match_by_id_or_name() -> None:
    event = make_event(organization_id="id-1", organization_name="Acme Oy")

    assert Route(rules(organizations=("id-1",))).takes(event)
    assert Route(rules(organizations=("Acme Oy",))).takes(event)
    assert not Route(rules(organizations=("id-2", "Globex"))).takes(event)


def test_what_a_stream_can_not_tell_does_not_close_it() -> None:
    assert Route(rules(organizations=("id-2",), min_severity="critical")).takes_stream(ACME)


def test_a_stream_is_opened_when_any_of_its_mapped_tenants_is_routed() -> None:
    route = Route(rules(tenants=("acme-fi",)))

    assert not route.takes_stream(ACME)
    assert route.takes_stream(ACME, ["acme-se", "acme-fi"])
    assert route.takes(make_event(tenant="acme-fi"))
    assert not route.takes(make_event(tenant="acme"))


def test_severity_means_this_one_and_those_above() -> None:
    route = Route(rules(min_severity="high"))

    assert [severity for severity in SEVERITIES if route.takes(make_event(severity=severity))] == ["high", "critical"]
