"""Addresses and keys of a syslog sink."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.sinks.syslog import SyslogConfig
from collector.sinks.syslog.config import Address, parse_address


def config(**keys: Any) -> SyslogConfig:
    return SyslogConfig.model_validate({"address": "tcp://siem.example.com", "format": "json", **keys})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls://siem.example.com:6515", Address("tls", "siem.example.com", 6515)),
        ("tls://siem.example.com", Address("tls", "siem.example.com", 6514)),
        ("tcp://192.0.2.7", Address("tcp", "192.0.2.7", 514)),
        ("udp://siem", Address("udp", "siem", 514)),
        ("tcp://[::1]:1514", Address("tcp", "::1", 1514)),
        ("tcp://[2001:db8::7]", Address("tcp", "2001:db8::7", 514)),
        (" tcp://siem/ ", Address("tcp", "siem", 514)),
    ],
)
def test_address_is_read(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "siem.example.com:514",
        "http://siem.example.com",
        "tcp://",
        "tcp://:514",
        "tcp://siem:0",
        "tcp://siem:65536",
        "tcp://siem:port",
        "tcp://user@siem",
        "tcp://siem/path",
        "tcp://siem?x=1",
        "tcp://siem#x",
        "tcp://[::1",
        "tcp://[zz::1]",
        "tcp://si em",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be tcp://host"):
        parse_address(text)


@given(st.text(max_size=40))
def test_no_text_makes_the_reader_of_addresses_fail_otherwise(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert address.host
    assert 0 < address.port < 65_536


def test_written_address_is_read_as_the_same() -> None:
    for address in (Address("tls", "siem", 1), Address("tcp", "::1", 514)):
        assert parse_address(str(address)) == address


def test_cef_goes_with_the_header_its_readers_expect_and_json_with_the_modern_one() -> None:
    assert config(format="cef").header_style == "rfc3164"
    assert config(format="json").header_style == "rfc5424"
    assert config(format="cef", header="none").header_style == "none"


def test_defaults_are_those_promised() -> None:
    sink = config()

    assert sink.confirm is None
    assert sink.framing is None
    assert sink.facility == "local4"
    assert sink.max_message == 8192
    assert sink.oversize == "reduce"
    assert SyslogConfig.model_fields["format"].default == "cef"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"address": "tcp//siem"}, "must be tcp://host"),
        ({"address": "tsl://siem"}, "did you mean tls"),
        ({"address": "udp://siem", "confirm": True}, "can't confirm"),
        ({"address": "udp://siem", "framing": "octet"}, "every datagram is one message"),
        ({"tls": {"verify": False}}, "for tls:// addresses"),
        ({"address": "tls://siem", "tls": {"key_file": "a.key"}}, "need a cert_file"),
        ({"facility": "locl4"}, "did you mean local4"),
        ({"facility": "24"}, "unknown facility"),
        ({"facility": "{lable.x}"}, "did you mean"),
        ({"max_message": "65KiB"}, "less than or equal"),
        ({"max_message": "100B"}, "greater than or equal"),
        ({"header": "rfc3339"}, "rfc5424"),
        ({"framing": "crlf"}, "octet"),
        ({"hostname": "a b"}, "pattern"),
        ({"hostname": "a\n"}, "pattern"),
        ({"app_name": "a:b"}, "pattern"),
        ({"bom": True, "header": "rfc3164"}, "only rfc5424"),
        ({"confirm_timeout": "0s"}, "longer than 0s"),
    ],
)
def test_what_is_not_allowed_is_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        config(**keys)


def test_udp_takes_no_more_than_a_datagram_holds() -> None:
    assert config(address="udp://siem", max_message="64KiB").longest_message == 65_507
    assert config(address="tcp://siem", max_message="64KiB").longest_message == 65_536


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, []),
        ({"address": "udp://siem"}, [("address",)]),
        ({"confirm": False}, [("confirm",)]),
        ({"address": "tls://siem", "tls": {"verify": False}}, [("tls", "verify")]),
    ],
)
def test_what_can_lose_or_show_events_is_remarked(keys: dict[str, Any], expected: list[tuple[str, ...]]) -> None:
    assert [where for where, _ in config(**keys).remarks()] == expected


def test_password_of_the_key_is_never_shown() -> None:
    tls = {"cert_file": "a.pem", "key_password": "hunter2"}

    assert "hunter2" not in repr(config(address="tls://siem", tls=tls))
