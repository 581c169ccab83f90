"""The vendor's clock as we know it: it decides positions, this host's clock never does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from collector.clock import Clock

MAX_SKEW_SECONDS = 30.0
_YEARS = (2000, 2199)


@dataclass(frozen=True, slots=True)
class VendorTime:
    """A moment of the vendor's clock. `known` is false where the vendor never told: then it is this host's clock.

    `skew` is this host's clock minus the vendor's in seconds, as of the last answer.
    """

    now: datetime
    known: bool
    skew: float

    @property
    def skewed(self) -> bool:
        """Whether one of the two clocks must be wrong, or nobody can tell."""
        return not self.known or abs(self.skew) > MAX_SKEW_SECONDS


class VendorClock:
    """Last `Date` header seen plus the monotonic time since: at most the vendor's true time, if `Date` is true.

    Setting this host's clock does not move it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._date: datetime | None = None
        self._at = 0.0
        self._skew = 0.0

    @property
    def known(self) -> bool:
        """Whether an answer told the vendor's time."""
        return self._date is not None

    def note(self, date: datetime | None) -> None:
        """An answer came with this `Date`; an answer without one, or from another century, changes nothing."""
        if date is None or not _YEARS[0] <= date.year <= _YEARS[1]:
            return
        self._date = date
        self._at = self._clock.monotonic()
        self._skew = (self._clock.now() - date).total_seconds()

    def forget(self) -> None:
        """What the vendor told makes no sense: ask anew."""
        self._date = None

    def read(self) -> VendorTime:
        """The vendor's time now, this host's where the vendor told none."""
        if self._date is None:
            return VendorTime(self._clock.now(), known=False, skew=0.0)
        now = self._date + timedelta(seconds=self._clock.monotonic() - self._at)
        return VendorTime(now, known=True, skew=self._skew)
