"""Records as third parties might publish them: fields missing, null, of another type, renamed, nested, huge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_HUGE = 2 << 20
_DEPTH = 150


@dataclass(frozen=True, slots=True)
class Shape:
    """A good record, and which of its fields plays which part: `nested` is an object, `listed` a list."""

    base: Mapping[str, Any]
    identity: str
    time: str
    severity: str
    nested: str
    listed: str


def variations(shape: Shape) -> dict[str, bytes]:
    """Records by what is strange about them, each of its own identity; those without one differ in their content."""
    it = shape
    changes: dict[str, dict[str, Any]] = {
        "time null": {it.time: None},
        "time is a number": {it.time: 1_790_000_000},
        "time is no time": {it.time: "yesterday"},
        "time with an offset": {it.time: "2026-03-02T12:00:00.123456+05:30"},
        "identity null": {it.identity: None},
        "identity empty": {it.identity: ""},
        "identity is a number": {it.identity: 4711},
        "identity is an object": {it.identity: {"value": "x"}},
        "identity is no uuid": {it.identity: "a/../b?c=d#e ä"},
        "severity null": {it.severity: None},
        "severity is a number": {it.severity: 5},
        "severity is unknown": {it.severity: "SEVERITY_LEVEL_APOCALYPTIC"},
        "object null": {it.nested: None},
        "object is a word": {it.nested: "n/a"},
        "object is a list": {it.nested: [1, None, {"x": []}]},
        "list null": {it.listed: None},
        "list is an object": {it.listed: {"0": "x"}},
        "list of anything": {it.listed: [None, 1, "x", [], {}]},
        "unknown fields": {"": "", "a b": {"ä|=": [1]}, "__proto__": None},
        "numbers beyond 64 bits": {"big": 0, "small": 1e-300},
        "huge text": {"note": "x" * _HUGE},
        "control characters": {"note": "\x00\x01\x1b\r\n\u2028|=\\"},
    }
    found = {name: orjson.dumps(_own(shape, name) | change) for name, change in changes.items()}
    found |= {f"{key} missing": _without(shape, key) for key in (it.identity, it.time, it.severity, it.nested)}
    found["renamed"] = orjson.dumps({_snake(key): value for key, value in _own(shape, "renamed").items()})
    found["in an envelope"] = orjson.dumps({"record": _own(shape, "in an envelope")})
    found["nested deep"] = _with_bytes(shape, "nested deep", b"[" * _DEPTH + b"]" * _DEPTH)
    found["lone surrogate"] = _with_bytes(shape, "lone surrogate", b'"\\ud800"')
    found["integer of 40 digits"] = _with_bytes(shape, "integer of 40 digits", b"1" * 40)
    found["nothing in it"] = b"{}"
    return found


def _own(shape: Shape, name: str) -> dict[str, Any]:
    """The good record under an identity of its own, and with its name in its content."""
    return {**shape.base, shape.identity: f"{shape.base[shape.identity]}-{name.replace(' ', '-')}", "variation": name}


def _without(shape: Shape, key: str) -> bytes:
    return orjson.dumps({name: value for name, value in _own(shape, f"{key} missing").items() if name != key})


def _with_bytes(shape: Shape, name: str, value: bytes) -> bytes:
    return orjson.dumps(_own(shape, name) | {"odd": "@"}).replace(b'"@"', value)


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
