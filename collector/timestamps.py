"""Points in time as text and numbers: read tolerantly at the edges, written in one form everywhere.

What comes in is RFC 3339 as vendors write it (with and without a fraction, `Z` or an offset) or a count of
milliseconds since the epoch; what goes out is UTC with milliseconds and `Z`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Not `datetime.fromisoformat` alone: what it takes differs between Python versions (24:00, basic forms, bare dates).
# It reads the usual shapes, which it takes alike everywhere, at a fifth of the price.
_USUAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-5][0-9](?:\.[0-9]{3})?Z", re.ASCII)
_RFC3339 = re.compile(
    r"\s*([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]{1,9})[0-9]*)?\s*(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})|)\s*",
    re.ASCII,
)


def parse_rfc3339(text: str) -> datetime:
    """Read a timestamp; the result is aware, in UTC, cut (not rounded) to microseconds.

    Taken as well: a space or `t` for `T`, `z`, `+0200`, more digits than nine, a comma before the fraction, a leap
    second (as the last microsecond before it), no zone at all (as UTC).

    Raises:
        ValueError: not a timestamp, or outside the years 1 to 9999.
    """
    if _USUAL.fullmatch(text):
        return datetime.fromisoformat(text)
    match = _RFC3339.fullmatch(text)
    if match is None:
        # The text is a vendor's and may be anything: it stays out of the message.
        raise ValueError("not an RFC 3339 timestamp")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    seconds = int(second)
    if seconds == 60:  # a leap second
        seconds, micros = 59, 999_999
    zone: timezone = UTC
    if sign is not None:
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        zone = timezone(-offset if sign == "-" else offset)
    local = datetime(int(year), int(month), int(day), int(hour), int(minute), seconds, micros, tzinfo=zone)
    if sign is None:
        return local
    try:
        return local.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("a timestamp outside the years 1 to 9999") from exc


def from_epoch_millis(millis: int) -> datetime:
    """Turn milliseconds since the epoch into aware UTC, exactly.

    Raises:
        ValueError: outside the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(milliseconds=millis)
    except OverflowError as exc:
        raise ValueError("a timestamp outside the years 1 to 9999") from exc


def format_utc(moment: datetime) -> str:
    """Write an aware time in UTC with milliseconds (cut, not rounded) and `Z`: `2026-03-02T09:14:58.000Z`.

    Raises:
        ValueError: `moment` is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
