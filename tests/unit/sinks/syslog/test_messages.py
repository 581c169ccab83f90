"""Headers, framing and limits: what goes out is one message per event, whatever is in it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS
from collector.model import Event
from collector.sinks.base import Batch
from collector.sinks.syslog import SyslogConfig
from collector.sinks.syslog.framing import line_feeds, octet_counted
from collector.sinks.syslog.header import own_hostname
from collector.sinks.syslog.messages import Messages, Written
from collector.testing import make_batch, make_event
from tests.unit.sinks.syslog.receivers import octet_messages

MOMENT = datetime(2026, 3, 2, 9, 4, 5, 678_000, tzinfo=UTC)
EVENT = make_event(fields={"host.name": "ws-042"}, occurred_at=MOMENT, severity="high")


def write(event: Event = EVENT, payload: bytes | None = None, **keys: Any) -> Written:
    config = SyslogConfig.model_validate({"address": "tcp://siem", "format": "json", **keys})
    encode = FORMATS[config.format].encode
    batch = make_batch([event], encode) if payload is None else Batch("", [event], [payload])
    return Messages(config, encode).of(batch)


def header(event: Event = EVENT, **keys: Any) -> str:
    return write(event, b"PAYLOAD", **keys).messages[0].decode().removesuffix("PAYLOAD")


def test_rfc5424_header_has_every_part() -> None:
    pattern = r"<163>1 2026-03-02T09:04:05\.678Z ws-042 edr-collector [0-9]+ security_event - "

    assert re.fullmatch(pattern, header(header="rfc5424"))


def test_rfc3164_header_pads_the_day_with_a_space() -> None:
    assert header(header="rfc3164") == "<163>Mar  2 09:04:05 ws-042 "
    assert header(header="rfc3164-tag") == "<163>Mar  2 09:04:05 ws-042 edr-collector: "
    assert header(header="rfc3164-tag", app_name="siem") == "<163>Mar  2 09:04:05 ws-042 siem: "


def test_header_may_be_left_out() -> None:
    assert header(header="none") == ""


def test_time_is_that_of_fetching_where_asked() -> None:
    assert header(replace(EVENT, fetched_at=MOMENT.replace(day=13)), header="rfc3164", time="fetched").startswith(
        "<163>Mar 13 "
    )


@pytest.mark.parametrize(
    ("severity", "number"), [("informational", 6), ("low", 5), ("medium", 4), ("high", 3), ("critical", 2)]
)
def test_priority_holds_facility_and_severity(severity: Any, number: int) -> None:
    event = replace(EVENT, severity=severity)

    assert header(event, header="rfc3164").startswith(f"<{20 * 8 + number}>")
    assert header(event, header="rfc3164", facility="user").startswith(f"<{8 + number}>")
    assert header(event, header="rfc3164", facility="23").startswith(f"<{23 * 8 + number}>")


def test_facility_may_come_from_a_label() -> None:
    keys = {"header": "rfc3164", "facility": "{label.facility}"}

    assert header(replace(EVENT, labels={"facility": "local0"}), **keys).startswith("<131>")
    assert header(replace(EVENT, labels={"facility": "nonsense"}), **keys).startswith("<163>")
    assert header(EVENT, **keys).startswith("<163>")


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "x:y", "é", "-a", "a" * 256, 7, None, "host]"])
def test_host_that_would_break_the_header_is_replaced_by_ours(name: object) -> None:
    event = replace(EVENT, fields={"host.name": name})

    assert header(event, header="rfc3164") == f"<163>Mar  2 09:04:05 {own_hostname()} "


def test_host_of_the_configuration_goes_first() -> None:
    assert header(header="rfc3164", hostname="siem-relay") == "<163>Mar  2 09:04:05 siem-relay "


def test_byte_order_mark_only_where_asked() -> None:
    assert header(header="rfc5424", bom=True).endswith(" - \ufeff")
    assert "\ufeff" not in header(header="rfc5424")


@pytest.mark.parametrize("mark", ["\n", "\r", "\0"])
@pytest.mark.parametrize("framing", ["octet", "lf"])
def test_payload_with_a_break_is_rejected_and_never_sent(mark: str, framing: str) -> None:
    written = write(payload=f"a{mark}<163>forged".encode(), framing=framing)

    assert written.messages == []
    assert written.rejected == {0: "the payload holds a line break or NUL"}


def test_payload_that_begins_like_a_length_is_rejected_where_nothing_stands_before_it() -> None:
    assert write(payload=b"12345", framing="lf", header="none").rejected.keys() == {0}
    assert not write(payload=b"12345", framing="lf", header="rfc5424").rejected
    assert not write(payload=b"12345", framing="octet", header="none").rejected


def big(size: int) -> Event:
    return replace(EVENT, raw=b'{"p":"%s"}' % (b"x" * size))


def test_message_over_the_limit_goes_without_raw_and_says_so() -> None:
    event = big(10_000)

    (message,) = write(event, header="none").messages

    envelope = orjson.loads(message)
    assert envelope["raw"] is None
    assert envelope["flags"] == ["truncated"]
    assert envelope["fields"]["raw_bytes"] == len(event.raw)
    assert len(envelope["fields"]["raw_sha256"]) == 64
    assert envelope["fields"]["host.name"] == "ws-042"
    assert envelope["uid"] == event.uid


def test_longest_values_are_cut_until_it_fits() -> None:
    event = replace(EVENT, fields={"host.name": "ws-042", "process.command_line": "c" * 20_000, "list": ["é" * 3000]})

    (message,) = write(event, header="none", max_message="2KiB").messages

    fields = orjson.loads(message)["fields"]
    assert fields["host.name"] == "ws-042"
    assert fields["process.command_line"] == "c" * len(fields["process.command_line"])
    assert 200 < len(fields["process.command_line"]) < 2000


def test_raw_record_over_the_limit_leaves_a_note_of_what_it_was() -> None:
    (message,) = write(big(10_000), format="raw", header="none").messages

    assert orjson.loads(message)["truncated"] is True
    assert orjson.loads(message)["id"] == EVENT.id


def test_message_over_the_limit_is_a_dead_letter_where_asked() -> None:
    written = write(big(10_000), oversize="dead_letter")

    assert written.messages == []
    assert "over max_message of 8192" in written.rejected[0]


def test_event_of_which_nothing_fits_is_a_dead_letter() -> None:
    event = replace(big(10_000), labels={"note": "n" * 1000})

    assert write(event, max_message="480B").rejected[0].endswith("even when reduced")


def test_message_of_just_the_limit_goes_as_it_is() -> None:
    room = 1024 - len(header())

    assert len(write(payload=b"x" * room, max_message="1KiB").messages[0]) == 1024
    assert write(payload=b"x" * (room + 1), max_message="1KiB", oversize="dead_letter").rejected


def test_one_bad_event_does_not_stop_the_others() -> None:
    config = SyslogConfig.model_validate({"address": "tcp://siem", "format": "json"})
    batch = Batch("", [EVENT] * 3, [b"a", b"b\nb", b"c"])

    written = Messages(config, FORMATS["json"].encode).of(batch)

    assert [message[-1:] for message in written.messages] == [b"a", b"c"]
    assert written.rejected.keys() == {1}


def test_format_that_fails_on_the_reduced_event_makes_a_dead_letter() -> None:
    def fails(_: Event) -> bytes:
        raise KeyError("host")

    config = SyslogConfig.model_validate({"address": "tcp://siem", "format": "json"})
    written = Messages(config, fails).of(Batch("", [EVENT], [b"x" * 10_000]))

    assert written.rejected[0].endswith("format error: KeyError")


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_octet_counted_messages_are_read_back_whatever_they_hold(messages: list[bytes]) -> None:
    assert octet_messages(octet_counted(messages)) == (messages, b"")


@given(st.lists(st.binary(max_size=50).filter(lambda message: b"\n" not in message)))
def test_lines_are_read_back(messages: list[bytes]) -> None:
    assert line_feeds(messages).split(b"\n") == [*messages, b""]


_HOSTILE = st.text(st.sampled_from('\n\r\0 <>1:9|="\\]é\u2028A{}'), max_size=30)


@given(_HOSTILE, _HOSTILE, _HOSTILE, st.sampled_from(["octet", "lf"]), st.sampled_from(["rfc5424", "rfc3164", "none"]))
def test_no_event_can_forge_another(host: str, title: str, value: str, framing: str, style: str) -> None:
    event = replace(EVENT, title=title, fields={"host.name": host, "x": value})
    written = write(event, framing=framing, header=style)

    framed = (line_feeds if framing == "lf" else octet_counted)(written.messages * 2)

    read = framed.split(b"\n")[:-1] if framing == "lf" else octet_messages(framed)[0]
    assert len(read) == 2
    for message in read:
        envelope = orjson.loads(message[message.index(b"{") :])
        assert (envelope["title"], envelope["fields"]) == (title, {"host.name": host, "x": value})
