"""Durations and sizes as people write them: `90s`, `1h30m`, `512KiB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_MILLISECONDS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_BYTES = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_DECIMAL_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS = {name.lower(): factor for name, factor in (_BYTES | _DECIMAL_BYTES).items()}

_DURATION = re.compile(r"(?:[0-9]+w)?(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m(?!s))?(?:[0-9]+s)?(?:[0-9]+ms)?")
_PART = re.compile(r"([0-9]+)([a-z]+)")
_SIZE = re.compile(r"([0-9]+) ?([A-Za-z]+)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")

# Longer than any sensible setting, short enough that a sum of a few and a date can't overflow.
_LONGEST = timedelta(days=36_500)
_LARGEST = 1 << 60
_SHOWN = 40


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `10m`, `24h`, `30d`, `2w`, `500ms`, or several of them, largest unit first: `1h30m`.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    if isinstance(value, timedelta):
        return value
    text = _text(value, "a duration", "60s, 10m, 24h or 30d")
    if _NUMBER.fullmatch(text):
        raise ValueError(f"a bare number has no unit; write {text}s, {text}m, {text}h or {text}d")
    if not text or not _DURATION.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a duration; write it like 90s, 10m, 24h, 30d or 1h30m")
    milliseconds = sum(_whole(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text))
    if milliseconds > _LONGEST // timedelta(milliseconds=1):
        raise ValueError(f"longer than {_LONGEST.days}d, the longest duration possible")
    return timedelta(milliseconds=milliseconds)


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads as the same; fractions of a millisecond are dropped."""
    left = value // timedelta(milliseconds=1)
    parts = []
    for unit, factor in _MILLISECONDS.items():
        if unit == "w":  # 30d reads better than 4w2d
            continue
        count, left = divmod(left, factor)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: object) -> int:
    """Read `512KiB`, `10GiB`, `100B` (powers of two) or `10GB` (powers of ten) as bytes; case does not matter.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    text = _text(value, "a size", "512KiB, 20MiB or 10GiB")
    if _NUMBER.fullmatch(text):
        raise ValueError(f"a bare number has no unit; write {text}B, {text}KiB, {text}MiB or {text}GiB")
    match = _SIZE.fullmatch(text)
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"{_shown(text)} is not a size; write it like 512KiB, 20MiB or 10GiB (units: {', '.join(_units())})"
        )
    size = _whole(match[1]) * factor
    if size > _LARGEST:
        raise ValueError(f"larger than {format_size(_LARGEST)}, the largest size possible")
    return size


def format_size(value: int) -> str:
    """Bytes in the largest unit that keeps them exact: `512KiB`, `1000B`."""
    for unit, factor in _BYTES.items():
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value}B"


def _units() -> list[str]:
    return [*reversed(_BYTES), *_DECIMAL_BYTES]


def _whole(digits: str) -> int:
    # More digits than any bound here allows need not be converted, which Python refuses beyond some thousands.
    return int(digits) if len(digits) <= len(str(_LARGEST)) else _LARGEST + 1


def _text(value: object, what: str, examples: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be {what} such as {examples}")  # noqa: TRY004 -- pydantic reports a ValueError, a TypeError passes through it
    return str(value).strip()


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(([0-9]+(w|d|h|m|s|ms))+|.*\$\{.*)$", "examples": ["90s", "24h"]}),
]
"""A configuration value read by `parse_duration`; 0s is allowed."""

PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""A `Duration` that is longer than nothing."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^([0-9]+ ?([KMGTkmgt][Ii]?)?[Bb]|.*\$\{.*)$", "examples": ["512KiB", "10GiB"]}
    ),
]
"""A configuration value read by `parse_size`: bytes."""
