from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sources.json_spans import Child, TornError, children

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=st.lists(JSON), spaced=st.booleans())
def test_elements_are_found_where_a_parser_finds_them(value: list[object], *, spaced: bool) -> None:
    text = json.dumps(value, indent=2 if spaced else None, ensure_ascii=False).encode("utf-8", "surrogatepass")

    found = children(text)

    assert [child.key for child in found] == [b""] * len(value)
    assert [repr(json.loads(child.value)) for child in found] == [repr(element) for element in value]


@settings(deadline=None)
@given(value=st.dictionaries(st.text(), JSON))
def test_members_are_found_where_a_parser_finds_them(value: dict[str, object]) -> None:
    found = children(json.dumps(value).encode())

    assert repr({json.loads(child.key): json.loads(child.value) for child in found}) == repr(value)


@settings(deadline=None, max_examples=30)
@given(value=st.lists(JSON, min_size=1, max_size=3))
def test_no_beginning_of_a_text_passes_for_a_whole_one(value: list[object]) -> None:
    text = json.dumps(value).encode()

    for length in range(len(text)):
        with pytest.raises(TornError):
            children(text[:length])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"1",
        b'"a"',
        b"null",
        b"[1]]",
        b"[1] [2]",
        b"[1] x",
        b"[1}",
        b"[[1}]",
        b"[1 2]",
        b"[,]",
        b"[1,]",
        b"[,1]",
        b"[garbage]",
        b"[tru]",
        b"{1:2}",
        b'{"a"}',
        b'{"a":}',
        b'{"a" 1}',
        b'{"a":1,}',
        b'{"a":1:2}',
        b'["a]',
        b'["a\\"]',
        b"<html>[1]</html>",
        b"]",
    ],
)
def test_what_is_no_single_container_is_torn(text: bytes) -> None:
    with pytest.raises(TornError):
        children(text)


def test_strings_may_hold_anything() -> None:
    odd = b'"\x00\xff\n \\ud800 \\" [}"'

    assert children(b"[" + odd + b',{"k":' + odd + b"}]") == [Child(b"", odd), Child(b"", b'{"k":' + odd + b"}")]


def test_nul_bytes_around_a_text_are_ignored() -> None:
    assert children(b"\x00 [1,\x002]\x00\x00") == [Child(b"", b"1"), Child(b"", b"2")]


def test_depth_has_no_limit() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000

    assert children(b"[" + deep + b"]") == [Child(b"", deep)]


def test_ten_megabytes_of_escapes_are_one_string() -> None:
    text = b'["' + b"\\n" * 5_000_000 + b'"]'

    assert children(text) == [Child(b"", text[1:-1])]
