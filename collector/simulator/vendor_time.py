"""The simulated vendor's clock with the formats its API writes times in.

Inside the simulator a moment is an int: milliseconds since the epoch (as the vendor stores stamps), or microseconds
where a request may be finer than that.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

from collector.clock import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)


class VendorClock:
    """This host's clock plus an offset that a test may change at any moment: two clocks need not agree."""

    def __init__(self, clock: Clock, offset_seconds: float = 0.0) -> None:
        self._clock = clock
        self.offset_seconds = offset_seconds

    def now_ms(self) -> int:
        """Vendor time, in milliseconds since the epoch."""
        return to_ms(self._clock.now()) + round(self.offset_seconds * 1000)

    def http_date(self, ahead_seconds: float = 0.0) -> str:
        """Vendor time as a `Date` or `Retry-After` header writes it: whole seconds, cut, never rounded up."""
        return formatdate(self.now_ms() // 1000 + ahead_seconds, usegmt=True)


def to_ms(moment: datetime) -> int:
    """An aware datetime as milliseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def rfc3339(ms: int, *, fraction: bool = True) -> str:
    """`2026-03-02T09:15:07.412Z`; whole seconds may be asked for without their `.000`, as the vendor does at times."""
    seconds, rest = divmod(ms, 1000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest:03d}Z" if fraction or rest else f"{text}Z"


def parse_us(text: str) -> int:
    """An RFC 3339 time with 0 to 6 fraction digits as microseconds since the epoch.

    Raises:
        ValueError: anything else, a `+` that was not percent-encoded (it arrives as a space) included.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    whole, fraction, zone = match.groups()
    offset = "+00:00" if zone == "Z" else zone
    return to_us(datetime.fromisoformat(f"{whole}.{(fraction or '0').ljust(6, '0')}{offset}"))
