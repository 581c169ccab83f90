"""Any bytes become one line of valid UTF-8 JSON, and good bytes stay what they are."""

from __future__ import annotations

import json
import time

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.repair import _is_deep_json, repair_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id":"a","n":1.50,"big":123456789012345678901234567890,"huge":1e999}',
        '{ "name" : "Käyttäjä ™ \u2028 \x85 \x7f" }'.encode(),
        b'{"pair":"\\ud83d\\ude00","path":"C:\\\\ud800\\\\","tab":"\\t"}',
        b"\t[1,\t2] ",
        b'"text"',
        b"null",
        b"[" * 900 + b"]" * 900,
    ],
)
def test_what_can_be_sent_stays_the_same_object(raw: bytes) -> None:
    repaired, changed = repair_json(raw)

    assert repaired is raw
    assert not changed


def test_newlines_between_tokens_become_spaces_without_counting_as_a_repair() -> None:
    assert repair_json(b'{\r\n  "a": "x\\ny",\n  "b": [1,\n2]\n}\n') == (b'{    "a": "x\\ny",   "b": [1, 2] } ', False)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":"x\xffy"}', '{"a":"x\ufffdy"}'),
        (b'{"a\xc3":1}', '{"a\ufffd":1}'),
        (b'{"a":"\xed\xa0\x80"}', '{"a":"\ufffd\ufffd\ufffd"}'),
        (rb'{"a":"x\ud800y"}', r'{"a":"x\ufffdy"}'),
        (rb'{"a":"\udc00"}', r'{"a":"\ufffd"}'),
        (rb'{"a":"\ude00\ud83d"}', r'{"a":"\ufffd\ufffd"}'),
        (rb'{"a":"\ud800\ud83d\ude00"}', r'{"a":"\ufffd\ud83d\ude00"}'),
        (rb'{"a":"\\\ud800","b":"\\ud800"}', r'{"a":"\\\ufffd","b":"\\ud800"}'),
        (b'{"a":"x\x00y\n\r\t\x1f"}', r'{"a":"x\u0000y\u000a\u000d\u0009\u001f"}'),
        (b'{"a":1}\x00\x00', '{"a":1}  '),
        (b'\xef\xbb\xbf{"a":1}', '{"a":1}'),
        (b'{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}', '{"a":"NaN","b":["Infinity","-Infinity"],"c":"NaN"}'),
    ],
)
def test_broken_content_is_repaired_in_its_place(raw: bytes, expected: str) -> None:
    assert repair_json(raw) == (expected.encode(), True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"<html>\n<body>502</body></html>",
        b'{"a":1',
        b'{"a":"unterminated',
        b'{"a":1}{"b":2}',
        b"[1,]",
        b'{"a" 1}',
        b'"\\x"',
        b"NaN1",
        b"\x00\x01\x02",
        b"[" * 5000 + b"]" * 4999,
        b"[" * 5000 + b"]" * 5001,
        b'[{"a":1]' + b"[" * 5000,
    ],
)
def test_what_is_no_json_becomes_a_string_that_holds_it(raw: bytes) -> None:
    repaired, changed = repair_json(raw)

    assert orjson.loads(repaired) == raw.decode()
    assert changed


def test_json_too_deep_for_any_parser_is_left_alone() -> None:
    raw = b'{"a":[' * 20_000 + rb'"\"x\u0041 ",-1.5e+3,true,null,{},[]' + b"]}" * 20_000

    assert repair_json(raw) == (raw, False)
    assert repair_json(raw + b"\n") == (raw + b" ", False)


def test_deep_json_is_repaired_like_any_other() -> None:
    raw = b"[" * 5000 + b'"\xff\n"' + b"]" * 5000

    assert repair_json(raw) == (b"[" * 5000 + '"\ufffd\\u000a"'.encode() + b"]" * 5000, True)


@pytest.mark.parametrize("seed", [b'{"a":"\xff', b'"\\', b'{"a":"x"}\x00', b"[\xff", b'"\x00"', b'\\"'])
def test_no_text_takes_more_than_linear_time(seed: bytes) -> None:
    raw = seed * (500_000 // len(seed))
    begin = time.process_time()
    repair_json(raw)
    small = time.process_time() - begin

    begin = time.process_time()
    repair_json(raw * 4)

    # The square would be sixteen times as long, with a string that begins anew at each quote minutes.
    assert time.process_time() - begin < 10 * max(small, 0.05)


@given(JSON)
def test_valid_json_is_never_changed(value: object) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()

    assert repair_json(raw) == (raw, False)


@given(JSON, st.integers(min_value=0), st.binary(min_size=1, max_size=4))
@example({"a": "\\"}, 6, b"\x00")
def test_damaged_json_is_always_one_valid_line(value: object, place: int, damage: bytes) -> None:
    raw = json.dumps(value, ensure_ascii=False, indent=1).encode()
    cut = place % (len(raw) + 1)

    line, _ = repair_json(raw[:cut] + damage + raw[cut:])

    json.loads(line.decode())
    assert not [byte for byte in line if byte < 0x20 and byte != 0x09]
    assert repair_json(line) == (line, False)


@given(st.binary())
def test_any_bytes_become_one_valid_line(raw: bytes) -> None:
    line, changed = repair_json(raw)

    json.loads(line.decode())
    assert not [byte for byte in line if byte < 0x20 and byte != 0x09]
    assert changed or line == raw.translate(bytes.maketrans(b"\r\n", b"  "))


@given(st.text(alphabet='[]{}:,"\\ 01-.eE+truefalsn\tx'))
def test_the_check_for_deep_json_agrees_with_the_parser(text: str) -> None:
    try:
        orjson.loads(text)
        valid = True
    except orjson.JSONDecodeError as error:
        # Numbers too large for a double are valid JSON all the same.
        valid = "infinity" in str(error)

    assert _is_deep_json(text) == valid


@given(JSON)
def test_the_check_for_deep_json_takes_all_json(value: object) -> None:
    assert _is_deep_json(json.dumps(value))
