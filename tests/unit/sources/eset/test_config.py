from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from collector.sources.base import BudgetKey
from collector.sources.eset import PLUGIN
from collector.sources.eset.config import EsetConfig

URLS = {"auth_url": "https://a.example", "incident_url": "https://b.example", "device_url": "https://c.example"}


def config(**more: Any) -> EsetConfig:
    given = {"region": "eu", "username": "edr-collector@contoso.example", "password": "secret", **more}
    return EsetConfig.model_validate({key: value for key, value in given.items() if value is not ...})


def test_the_defaults_are_those_of_a_vendor_whose_records_come_days_late() -> None:
    one = config()

    assert one.type == one.name == "eset"
    assert one.feeds == ("detections", "incidents")
    assert one.poll_interval == timedelta(seconds=60)
    assert one.overlap == timedelta(minutes=10)
    assert (one.sweep.every, one.sweep.window) == (timedelta(hours=6), timedelta(days=14))
    assert one.start_from == timedelta(hours=24)
    assert (one.rate_limit.requests, one.rate_limit.per) == (5, timedelta(seconds=1))
    assert list(one.remarks()) == []


def test_what_only_names_tenants_is_no_reason_to_begin_anew() -> None:
    unasked, asked, mapped = config(), config(by_owner=True), config(by_owner={"O-1": "north"})

    assert asked.without_names() == mapped.without_names() == asked
    assert unasked.without_names() == unasked != asked
    assert config(by_owner=False) == unasked
    assert asked.own_organizations == {}
    assert config(by_owner={}).own_organizations == {}
    assert mapped.own_organizations == {"o-1": "north"}


@pytest.mark.parametrize("region", ["eu", "us", "de", "ca", "jpn"])
def test_hosts_follow_from_the_region(region: str) -> None:
    one = config(region=region)

    assert one.auth_origin == f"https://{region}.business-account.iam.eset.systems"
    assert one.incident_origin == f"https://{region}.incident-management.eset.systems"
    assert one.device_origin == f"https://{region}.device-management.eset.systems"


def test_urls_go_before_the_region() -> None:
    one = config(auth_url="https://login.example", device_url="http://127.0.0.1:8080/")

    assert one.auth_origin == "https://login.example"
    assert one.incident_origin == "https://eu.incident-management.eset.systems"
    assert one.device_origin == "http://127.0.0.1:8080"


def test_without_region_the_urls_say_where() -> None:
    assert config(region=..., **URLS).device_origin == "https://c.example"
    assert list(config(region=..., **URLS).remarks()) == []

    nameless = config(region=None, **URLS | {"device_url": None})
    assert nameless.device_origin is None
    assert [where for where, _ in nameless.remarks()] == [("device_url",)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"region": ...}, "region is missing: one of eu, us, de, ca, jpn"),
        ({"region": None, "auth_url": "https://a.example"}, "region is missing"),
        ({"region": "moon"}, "'eu', 'us', 'de', 'ca' or 'jpn'"),
        ({"username": ...}, "Field required"),
        ({"username": ""}, "at least 1 character"),
        ({"password": ""}, "at least 1"),
        ({"username": "me@contoso.example\n"}, "must be one line"),
        ({"password": "secret\r\nmore"}, "must be one line"),
        ({"by_owner": "yes"}, "True"),
        ({"feeds": ["alerts"]}, "'detections' or 'incidents'"),
        ({"feeds": ["incidents", "incidents"]}, "stands here twice"),
        ({"auth_url": "https://a.example/oauth"}, "without a path"),
        ({"client_id": "x"}, "Extra inputs"),
    ],
    ids=[
        "nowhere",
        "half",
        "moon",
        "nobody",
        "noname",
        "nothing",
        "lines",
        "secret-lines",
        "owner",
        "feed",
        "twice",
        "path",
        "key",
    ],
)
def test_mistakes_are_told(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        config(**more)

    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(config())
    assert "secret" not in str(config().model_dump())


def test_remarks_are_made_on_plain_http_and_on_more_requests_than_the_vendor_takes() -> None:
    one = config(incident_url="http://gateway.example", auth_url="http://127.0.0.1:1", tls={"verify": False})
    assert [where for where, _ in one.remarks()] == [("tls", "verify"), ("incident_url",)]

    assert list(config(rate_limit={"requests": 600, "per": "60s"}).remarks()) == []
    ((where, message),) = config(rate_limit={"requests": 11, "per": "1s"}).remarks()
    assert where == ("rate_limit",)
    assert "over 10 requests a second" in message


def test_requests_count_together_by_account_and_way_out_whatever_the_service() -> None:
    def key(**more: Any) -> BudgetKey:
        return PLUGIN.budget_key(config(**more))

    host = "eu.business-account.iam.eset.systems"
    assert key() == key(feeds=["incidents"], incident_url="https://x.example", password="p")
    assert (
        key() == key(username="EDR-Collector@Contoso.example") == BudgetKey(host, "edr-collector@contoso.example", "")
    )
    assert key(username="other@contoso.example") != key()
    assert key(region="us") != key()
    assert key(auth_url="https://Login.Example").host == "login.example"
    assert key(proxy="http://user:pw@proxy.example:3128").egress == "proxy.example:3128"
