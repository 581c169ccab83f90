"""What the loops know of themselves, for status, health and the shutdown of a one-off run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from collector.metrics import METRICS
from collector.model import Lane, StreamId

MAX_UNKNOWN_NAMES = 50
_SILENT_SECONDS = 600.0
SKEW_SECONDS = 30.0  # this host's clock and the vendor's are apart

FeedState = Literal["starting", "ok", "backing_off", "denied", "paused"]
_GRAVITY: tuple[FeedState, ...] = ("starting", "ok", "backing_off", "denied", "paused")
SinkState = Literal["starting", "ok", "backing_off", "held"]


@dataclass(slots=True)
class FeedStatus:
    """One feed: written by its poller, read by operators."""

    stream: StreamId
    paused: bool = False
    failing: dict[Lane, tuple[FeedState, str]] = field(default_factory=dict)
    last_success: datetime | None = None
    last_event: datetime | None = None
    watermark: datetime | None = None
    vendor_time: datetime | None = None
    answered_at: float = 0.0
    """When the vendor told that time, monotonic."""
    clock_skew: float = 0.0
    consecutive_errors: int = 0
    errors: int = 0
    gaps: int = 0
    events: int = 0
    duplicates: int = 0
    unparsed: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    """The vendor's fields and values that no table knows, the first `MAX_UNKNOWN_NAMES` of them, how often each."""
    owner_unknown: int = 0
    """Events that went to the source's own tenant because their device's owner could not be told."""
    caught_up: bool = False
    swept: bool = False
    interval_seconds: float | None = None
    """Measured between the last two polls of the tip."""
    max_age_seconds: float | None = None
    """The longest it may be."""

    @property
    def is_too_old(self) -> bool:
        """The feed is asked less often than its configuration allows for."""
        if self.interval_seconds is None or self.max_age_seconds is None or self.failing or self.paused:
            return False
        return self.interval_seconds > self.max_age_seconds

    @property
    def state(self) -> FeedState:
        """In one word; a lane that fails shows until that lane succeeds."""
        if self.paused:
            return "paused"
        if self.failing:
            return max((state for state, _ in self.failing.values()), key=_GRAVITY.index)
        return "ok" if self.last_success else "starting"

    def note_unknown(self, names: Iterable[str]) -> None:
        """Count names that no table knows."""
        for name in names:
            if name in self.unknown or len(self.unknown) < MAX_UNKNOWN_NAMES:
                self.unknown[name] = self.unknown.get(name, 0) + 1

    @property
    def denied(self) -> bool:
        """A lane is refused by the vendor, whatever else is going on."""
        return any(state == "denied" for state, _ in self.failing.values())

    @property
    def last_error(self) -> str | None:
        """Why a lane fails, None when all is well."""
        return next((text for _, text in self.failing.values()), None)

    @property
    def lag_seconds(self) -> float | None:
        """How far the watermark is behind the vendor's clock, as of the last answer.

        Behind this host's where that is far ahead: a vendor whose clock stands still is not read up to the present.
        """
        if self.watermark is None or self.vendor_time is None:
            return None
        behind = (self.vendor_time - self.watermark).total_seconds()
        return max(0.0, behind + self.clock_skew if self.clock_skew > SKEW_SECONDS else behind)

    def is_read(self, now: float) -> bool:
        """The tip gets its answers, as often as it should. `now`: monotonic."""
        silent = now - self.answered_at
        return not self.paused and Lane.TIP not in self.failing and silent <= (self.max_age_seconds or _SILENT_SECONDS)

    def lag(self, now: float) -> float | None:
        """`lag_seconds`; where the feed is not read it grows with the time that passes."""
        lag = self.lag_seconds
        return lag if lag is None or self.is_read(now) else lag + max(0.0, now - self.answered_at)


@dataclass(slots=True)
class SinkStatus:
    """One destination of a sink: written by its delivery loop, read by operators."""

    sink: str
    destination: str
    state: SinkState = "starting"
    last_success: datetime | None = None
    last_error: str | None = None
    errors: int = 0
    delivered: int = 0
    rejected: int = 0
    dead_letters: int = 0
    skipped: int = 0
    backlog_events: int = 0
    backlog_bytes: int = 0
    oldest_unsent: datetime | None = None
    gone: bool = False
    """The sink was taken out of the configuration: its metrics are not to be brought back."""


def note_dead_letters(statuses: Sequence[SinkStatus], counts: Mapping[tuple[str, str], int]) -> None:
    """Bring the numbers of dead letters up to date; `counts` are those of every (sink, destination) that has any.

    Those of destinations that are not at work count for the sink itself.
    """
    at_work = {(status.sink, status.destination) for status in statuses if status.destination}
    for status in statuses:
        own = {key: count for key, count in counts.items() if key[0] == status.sink}
        METRICS.dead_letters.labels(sink=status.sink).set(sum(own.values()))
        if status.destination:
            status.dead_letters = own.get((status.sink, status.destination), 0)
        else:
            status.dead_letters = sum(count for key, count in own.items() if key not in at_work)
