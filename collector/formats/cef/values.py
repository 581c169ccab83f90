"""JSON values turned into what a key of the dictionary takes.

Every function answers None for what its type can't hold: the pair is then left out, and the value goes the way of
everything that has no key of its own.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from collector.formats.cef.keys import Kind
from collector.timestamps import parse_rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_INT64 = range(-(1 << 63), 1 << 63)
_PORTS = range(1 << 16)
_DIRECTIONS = {"inbound": "0", "ingress": "0", "outbound": "1", "egress": "1"}
_MAX_ADDRESS = 64


def text(value: Any) -> str | None:
    """A scalar as text, a list of scalars with commas between."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value in _INT64 else None
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        parts = [None if isinstance(part, list | tuple) else text(part) for part in value]
        return None if None in parts else ",".join(part for part in parts if part)
    return None


def _whole(value: Any) -> int | None:
    if type(value) is int:
        return value
    if type(value) is str and _DIGITS.fullmatch(value):
        return int(value)
    return None


def integer(value: Any) -> str | None:
    """A whole number of 64 bits, also as text."""
    count = _whole(value)
    return str(count) if count is not None and count in _INT64 else None


def port(value: Any) -> str | None:
    """0 to 65535."""
    count = _whole(value)
    return str(count) if count is not None and count in _PORTS else None


def direction(value: Any) -> str | None:
    """0 inbound, 1 outbound; ECS's words for it."""
    return _DIRECTIONS.get(value) if type(value) is str else None


def time(value: Any) -> str | None:
    """Milliseconds since the epoch, of an aware time or of RFC 3339; nothing before 1970."""
    if type(value) is str:
        try:
            value = parse_rfc3339(value) if len(value) <= _MAX_ADDRESS else None
        except ValueError:
            return None
    return _millis(value) if isinstance(value, datetime) else None


@lru_cache(maxsize=256)
def _millis(when: datetime) -> str | None:
    # Remembered, because several keys of an event and all events of a page share their times.
    return str((when - _EPOCH) // _MILLISECOND) if when >= _EPOCH else None


@lru_cache(maxsize=4096)
def _version(candidate: str) -> int:
    """4 or 6; 0: no address, or one with a zone, which means something on its host alone."""
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return 0
    return 0 if "%" in candidate else address.version


def _address(version: int) -> Callable[[Any], str | None]:
    def convert(value: Any) -> str | None:
        for one in value if isinstance(value, list | tuple) else (value,):
            if type(one) is str and len(one) <= _MAX_ADDRESS and _version(one) == version:
                return one
        return None

    return convert


CONVERTERS: Mapping[Kind, Callable[[Any], str | None]] = MappingProxyType(
    {
        Kind.TEXT: text,
        Kind.INTEGER: integer,
        Kind.PORT: port,
        Kind.DIRECTION: direction,
        Kind.ADDRESS: _address(4),
        Kind.ADDRESS6: _address(6),
        Kind.TIME: time,
    }
)
