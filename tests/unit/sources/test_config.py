"""The keys every source has, and those of WithSecure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from collector.sources.config import SourceConfig
from collector.sources.withsecure.config import WithSecureConfig

ACCOUNT = {"client_id": "fusion_1", "client_secret": "canary-secret"}


def test_a_withsecure_source_has_the_defaults_of_the_product() -> None:
    source = WithSecureConfig.model_validate(ACCOUNT)

    assert source.type == source.name == "withsecure"
    assert source.base_url == "https://api.connect.withsecure.com"
    assert source.poll_interval == timedelta(seconds=60)
    assert source.overlap == timedelta(seconds=30)
    assert (source.sweep.every, source.sweep.window) == (timedelta(minutes=5), timedelta(minutes=15))
    assert source.start_from == timedelta(hours=24)
    assert (source.rate_limit.requests, source.rate_limit.per) == (300, timedelta(seconds=60))
    assert source.organization_id is None
    assert source.tls.verify
    assert source.proxy is None


def test_a_part_of_the_sweep_leaves_the_rest_as_it_was() -> None:
    source = WithSecureConfig.model_validate({**ACCOUNT, "sweep": {"window": "1h"}, "rate_limit": {"requests": 5}})

    assert (source.sweep.every, source.sweep.window) == (timedelta(minutes=5), timedelta(hours=1))
    assert source.rate_limit.per == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"client_secret": ""}, "at least 1"),
        ({"client_secret": ["canary-secret"]}, "valid string"),
        ({"client_id": ""}, "at least 1"),
        ({"feeds": []}, "must not be empty"),
        ({"feeds": ["security_events", "security_events"]}, "stands here twice"),
        ({"feeds": ["detections"]}, "security_events"),
        ({"poll_interval": "0s"}, "longer than 0s"),
        ({"rate_limit": {"requests": 0}}, "greater than or equal to 1"),
        ({"rate_limit": {"requests": 2.5}}, "integer"),
        ({"sweep": {"every": "15m"}}, r"every \(15m\) must be shorter than window \(15m\)"),
        ({"base_url": "https://api.example.com/v1"}, "without a path"),
        ({"name": "a b"}, "must be 1 to 64"),
        ({"type": "eset"}, "withsecure"),
        ({"organization_id": ""}, "at least 1"),
        ({"max_age": "0s"}, "longer than 0s"),
        ({"egress": "gate"}, "must be an address of this host"),
        ({"egress": {"local_address": "192.0.2.300"}}, "must be an address of this host"),
        ({"egress": "ftp://canary-secret@gate:1"}, "must be an origin"),
        ({"egress": "http://gate:1", "proxy": "http://gate:1"}, "give one of them"),
    ],
)
def test_what_is_not_allowed_is_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected) as caught:
        WithSecureConfig.model_validate({**ACCOUNT, **keys})

    assert "canary-secret" not in str(caught.value)


def test_incidents_are_a_legal_feed_already() -> None:
    source = WithSecureConfig.model_validate({**ACCOUNT, "feeds": ["incidents", "security_events"]})

    assert source.feeds == ("incidents", "security_events")


def test_a_source_without_a_name_is_called_by_its_type() -> None:
    required = {"type": "other", "sweep": {"every": "1m", "window": "2m"}, "rate_limit": {"requests": 1, "per": "1s"}}

    assert SourceConfig.model_validate(required).name == "other"
    assert SourceConfig.model_validate({**required, "name": None}).name == "other"
    assert SourceConfig.model_validate({**required, "name": "mine"}).name == "mine"


def test_neither_secret_nor_proxy_is_shown() -> None:
    source = WithSecureConfig.model_validate({**ACCOUNT, "proxy": "http://u:pr0xy@proxy:1"})

    assert "canary-secret" not in repr(source)
    assert "pr0xy" not in repr(source)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ""),
        ({"proxy": "http://u:pr0xy@Proxy.example:3128"}, "proxy.example:3128"),
        ({"egress": "http://u:pr0xy@proxy.example:3128"}, "proxy.example:3128"),
        ({"egress": {"proxy": "http://proxy.example:3128"}}, "proxy.example:3128"),
        ({"egress": " 192.0.2.7 "}, "192.0.2.7"),
        ({"egress": "2001:DB8:0::7"}, "2001:db8::7"),
        ({"egress": {"local_address": "192.0.2.7"}, "proxy": "http://gate:1"}, "192.0.2.7 through gate:1"),
    ],
)
def test_each_way_out_has_a_name_without_secrets(keys: dict[str, Any], expected: str) -> None:
    source = WithSecureConfig.model_validate({**ACCOUNT, **keys})

    assert source.way_out == expected
    assert "pr0xy" not in repr(source)


def test_remarks_say_what_is_legal_but_dangerous() -> None:
    dangerous = {"tls": {"verify": False}, "base_url": "http://gate.example.com"}

    remarks = [where for where, _ in WithSecureConfig.model_validate({**ACCOUNT, **dangerous}).remarks()]

    assert remarks == [("tls", "verify"), ("base_url",)]
    assert list(WithSecureConfig.model_validate(ACCOUNT).remarks()) == []
