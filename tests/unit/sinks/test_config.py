"""The keys every sink has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.sinks.config import SinkConfig


def test_a_sink_takes_everything_by_default() -> None:
    sink = SinkConfig.model_validate({"type": "file"})

    assert sink.required
    assert sink.start_at == "latest"
    assert sink.max_backlog is None
    assert sink.route.tenants == ()
    assert sink.route.min_severity is None


@pytest.mark.parametrize(
    "keys",
    [
        {"drop_fields": ["user.name"]},
        {"mask_fields": ["user.name"]},
        {"route": {"where": "severity == 'low'"}},
    ],
)
def test_what_would_change_the_events_but_does_not_exist_yet_is_an_error(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="not supported by this version"):
        SinkConfig.model_validate({"type": "file", **keys})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"format": "jsn"}, "did you mean json"),
        ({"heartbeat": "5"}, "bare number"),
        ({"route": {"tenants": []}}, "must not be empty"),
        ({"route": {"feeds": ["a", "a"]}}, "a stands here twice"),
        ({"route": {"min_severity": "severe"}}, "informational"),
        ({"start_at": "now"}, "latest"),
        ({"max_backlog": "0B"}, "greater than 0"),
        ({"colour": "red"}, "Extra inputs"),
        ({"cef": {"vendor": "V"}}, "for sinks with format cef alone"),
        ({"format": "cef", "cef": {"vendor": ""}}, "at least 1 character"),
        ({"format": "cef", "cef": {"vendor": "x" * 64}}, "at most 63 characters"),
        ({"format": "cef", "cef": {"version": "1\\"}}, "a space or a backslash"),
        ({"format": "cef", "cef": {"product": "a\nb"}}, "control characters"),
        ({"format": "cef", "cef": {"signature": "static"}}, "the name of a field in braces"),
        ({"format": "cef", "cef": {"signature": "{event.action}}"}}, "no other brace"),
    ],
)
def test_what_is_not_allowed_is_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        SinkConfig.model_validate({"type": "file", **keys})


def test_the_header_of_cef_may_be_chosen() -> None:
    cef = {"vendor": "WithSecure™", "product": "F-Secure Policy Manager", "signature": "{event.provider}"}

    sink = SinkConfig.model_validate({"type": "file", "format": "cef", "cef": cef})

    assert sink.cef.vendor == "WithSecure™"
    assert sink.cef.version is None


def test_what_is_off_may_be_said_to_be_off() -> None:
    sink = SinkConfig.model_validate({"type": "file", "heartbeat": None, "route": {"where": None}})

    assert sink.heartbeat is None
