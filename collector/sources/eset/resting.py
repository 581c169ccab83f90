"""Which activities of a lane fail at the moment, so that the others of the lane go on meanwhile.

A failure is raised, for the status to show it; then the activity rests, ever longer, and what else the lane has to do
is done. Where nothing else is left the failure is raised once more, without a request. Kept in memory alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.clock import Clock
from collector.errors import NotLicensed, SourceDenied, SourceError, SourceUnavailable
from collector.model import Lane

_FIRST, _LONGEST = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class _Rest:
    until: float
    failures: int
    exc: SourceError


class Rests:
    """`most`: the longest wait to ask for, in seconds, since others of the lane are to be asked by then."""

    def __init__(self, clock: Clock, most: float) -> None:
        self._clock = clock
        self._most = most
        self._rests: dict[tuple[Lane, str], _Rest] = {}

    def fell(self, lane: Lane, activity: str, exc: SourceError) -> None:
        """An activity failed: let it rest."""
        before = self._rests.get((lane, activity))
        failures = 0 if before is None else before.failures + 1
        rest = max(min(_LONGEST, _FIRST * 2 ** min(failures, 10)), getattr(exc, "retry_after", None) or 0.0)
        self._rests[lane, activity] = _Rest(self._clock.monotonic() + rest, failures, exc)

    def rose(self, lane: Lane, activity: str) -> None:
        """It works."""
        self._rests.pop((lane, activity), None)

    def is_resting(self, lane: Lane, activity: str) -> bool:
        """Whether it is not to be tried yet."""
        rest = self._rests.get((lane, activity))
        return rest is not None and self._clock.monotonic() < rest.until

    def again(self, lane: Lane, activity: str) -> SourceError:
        """What to raise where nothing but resting activities is left."""
        rest = self._rests[lane, activity]
        if isinstance(rest.exc, SourceDenied):
            kind = NotLicensed if isinstance(rest.exc, NotLicensed) else SourceDenied
            return kind(str(rest.exc))
        return SourceUnavailable(str(rest.exc), min(self._most, max(0.0, rest.until - self._clock.monotonic())))
