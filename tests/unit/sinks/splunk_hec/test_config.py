"""What a `splunk_hec` sink can be told, and what it is told back."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.sinks.base import SinkContext
from collector.sinks.config import SinkConfig
from collector.sinks.splunk_hec import PLUGIN, HecConfig
from collector.testing import FakeClock

URL = "https://splunk.example.com:8088"


def config(**settings: Any) -> HecConfig:
    return HecConfig.model_validate({"url": URL, "token": "secret", **settings})


def test_little_needs_to_be_said() -> None:
    given = config()

    assert given.url == (URL,)
    assert not given.acknowledge
    assert given.format == "json"
    assert given.ack_timeout.total_seconds() == 60
    assert not list(given.remarks())


def test_several_urls_can_be_given() -> None:
    assert config(url=[f"{URL}/", "https://Other.example.com"]).url == (URL, "https://other.example.com")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": []}, "at least 1"),
        ({"url": "splunk.example.com:8088"}, "must be an origin"),
        ({"url": f"{URL}/services/collector"}, "paths are appended"),
        ({"url": [URL, f"{URL}/"]}, "stands there twice"),
        ({"url": "https://{tennant}.example.com"}, "did you mean tenant"),
        ({"index": "edr_{tennant}"}, "did you mean tenant"),
        ({"index": ""}, "at least 1"),
        ({"source": "{date}"}, "unknown name"),
        ({"token": ""}, "at least 1"),
        ({"token": "line\nbreak"}, "printable"),
        ({"token": " x"}, "spaces"),
        ({"compression": "deflate"}, "gzip"),
        ({"ack_timeout": "0s"}, "longer than"),
        ({"ack_timeout": "5m"}, "less than or equal"),
        ({"max_body": "1B"}, "2048"),
        ({"url": "http://localhost:8088", "tls": {"verify": False}}, "https"),
        ({"tls": {"key_file": "k.pem"}}, "cert_file"),
        ({"acknowledgement": True}, "Extra inputs"),
    ],
    ids=str,
)
def test_a_mistake_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as raised:
        config(**settings)

    assert "secret" not in str(raised.value)


def test_the_token_is_never_shown() -> None:
    assert "secret" not in repr(config())


def test_what_others_could_read_is_remarked() -> None:
    assert [where for where, _ in config(url="http://splunk.example.com:8088").remarks()] == [("url",)]
    assert [where for where, _ in config(tls={"verify": False}).remarks()] == [("tls", "verify")]
    assert not list(config(url="http://127.0.0.1:8088").remarks())


@pytest.mark.parametrize(
    ("settings", "destination"),
    [
        ({}, ""),
        ({"index": "edr"}, ""),
        ({"index": "edr_{tenant}"}, "edr_{tenant}"),
        ({"index": "{tenant}", "url": "https://{label.dc}.example.com"}, "https://{label.dc}.example.com {tenant}"),
    ],
    ids=str,
)
def test_every_rendered_value_of_the_templates_is_a_destination(settings: dict[str, Any], destination: str) -> None:
    assert config(**settings).destination == destination
    assert PLUGIN.destination_key == "destination"


def test_the_plugin_takes_no_other_configuration() -> None:
    with pytest.raises(TypeError, match="HecConfig"):
        PLUGIN.open(SinkConfig(type="x"), SinkContext("splunk", FakeClock()), None)
