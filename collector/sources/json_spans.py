"""Where the parts of a JSON text lie, found without understanding them: for texts a strict parser refuses.

Strings may hold anything (raw control characters, NUL, invalid UTF-8, lone surrogates) and containers may nest as deep
as they like; what is checked is that brackets and quotes match and that members and elements stand between commas.
So a torn text is told from an odd one. Linear time, no recursion.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:"]|[^\s\x00"{}\[\],:]++', re.DOTALL)
_SCALAR = re.compile(rb"-?[0-9][0-9.eE+-]*|true|false|null|NaN|-?Infinity|\".*\"", re.DOTALL)
_CLOSERS = {b"{": b"}", b"[": b"]"}


class TornError(ValueError):
    """The text ends early, or its brackets, quotes and commas do not fit together."""


class Child(NamedTuple):
    """A member (with its key as it is written, quotes included) or an element (key empty)."""

    key: bytes
    value: bytes


class _Span(NamedTuple):
    start: int
    end: int


def children(text: bytes) -> list[Child]:
    """Take the one object or array that `text` is apart; whitespace and NUL bytes around it are ignored.

    Raises:
        TornError: it is no whole container, or not the only thing in the text.
    """
    opening, *pieces, _closing = _pieces(text)
    is_object = text[opening.start] == ord("{")
    found: list[Child] = []
    words: list[bytes] = []
    for start, end in pieces:
        word = text[start:end]
        if word == b",":
            found.append(_child(words, start, is_object=is_object))
            words = []
        else:
            words.append(word)
    if words or found:
        found.append(_child(words, len(text), is_object=is_object))
    return found


def _pieces(text: bytes) -> list[_Span]:
    """The outer brackets and the words right inside of them, where a container counts as one word."""
    closers: list[bytes] = []
    begins = [0, 0]
    spans: list[_Span] = []
    for match in _TOKEN.finditer(text):
        token, (start, end) = match.group(), match.span()
        if not closers and (spans or token not in _CLOSERS):
            raise TornError(f"no object or array begins or one has ended at byte {start}")
        if token == b'"':
            raise TornError(f"the string from byte {start} on does not end")
        if token in _CLOSERS:
            if len(closers) < 2:
                begins[len(closers)] = start
            closers.append(_CLOSERS[token])
            if len(closers) == 1:
                spans.append(_Span(start, end))
        elif token in _CLOSERS.values() and token != closers.pop():
            raise TornError(f"the brackets do not match at byte {start}")
        elif len(closers) <= 1:
            spans.append(_Span(begins[1] if token in b"]}" and closers else start, end))
    if closers or not spans:
        raise TornError(f"it ends early, after {len(text)} bytes")
    return spans


def _child(words: list[bytes], near: int, *, is_object: bool) -> Child:
    match words:
        case [value] if not is_object and _is_value(value):
            return Child(b"", value)
        case [key, b":", value] if is_object and key[:1] == b'"' and _is_value(value):
            return Child(key, value)
    raise TornError(f"a part is malformed before byte {near}")


def _is_value(word: bytes) -> bool:
    return word[:1] in (b"{", b"[") or _SCALAR.fullmatch(word) is not None
