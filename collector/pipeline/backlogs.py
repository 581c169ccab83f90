"""What waits for each sink, and whose feeds pause because it is too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from collector.clock import Clock
from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.status import SinkStatus
from collector.store import Backlog, Position, Store
from collector.units import format_size

log = structlog.get_logger()

_RESUME = 0.9
_PACE_AT = 0.5
_FOLLOWS_SECONDS = 2.0
# Adding up a long backlog takes a while: so many sinks at a look, so long at most, those first that waited longest.
_AT_ONCE = 20
_SECONDS = 0.2

Key = tuple[str, str]


class Waiting(Protocol):
    """What needs to be known of a delivery loop."""

    status: SinkStatus

    @property
    def position(self) -> Position: ...
    @property
    def idle(self) -> bool: ...
    @property
    def holds(self) -> Position: ...
    @property
    def skipping(self) -> bool: ...
    def streams(self) -> Sequence[StreamId]: ...
    def skip(self, position: Position) -> None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """One destination's hold on the log, also while its loop is stopped and about to be replaced."""

    delivery: Waiting
    required: bool
    max_backlog: int

    @property
    def key(self) -> Key:
        """The name of the destination."""
        return (self.delivery.status.sink, self.delivery.status.destination)


class Backlogs:
    """Measures those that wait for something; a sink that keeps up costs nothing."""

    def __init__(self, store: Store, clock: Clock, end: Callable[[], Position]) -> None:
        self._store = store
        self._clock = clock
        self._end = end
        self._looks = 0
        self._measured: dict[Key, int] = {}
        self._pausing: dict[Key, Mapping[StreamId, str]] = {}
        self._moved: dict[Key, tuple[Position, float]] = {}
        self._pacing: dict[Key, Sequence[StreamId]] = {}
        self._waiting: dict[str, dict[str, Backlog]] = {}

    @property
    def paced(self) -> frozenset[StreamId]:
        """Feeds that wait a moment for a sink which follows, but not as fast as they fetch.

        Without it a catch-up that fetches faster than this host can deliver would end in a pause, as if the sink were
        down. A sink that does not move paces nobody: its backlog may grow to its limit.
        """
        return frozenset(stream for streams in self._pacing.values() for stream in streams)

    async def look(self, claims: Sequence[Claim]) -> dict[StreamId, str]:
        """Bring every status up to date; returns the feeds that must pause, and why.

        A sink that is not required is asked to skip the older half of a backlog that is at its limit instead.
        """
        self._forget_all_but({claim.key for claim in claims})
        late = []
        for claim in claims:
            if claim.delivery.idle:
                self._note(claim, Backlog(0, 0, None))
            else:
                late.append(claim)
        late.sort(key=lambda claim: self._measured.get(claim.key, -1))
        began = self._clock.monotonic()
        for claim in late[:_AT_ONCE]:
            await self._measure(claim)
            if self._clock.monotonic() - began > _SECONDS:
                break
        return {stream: reason for streams in self._pausing.values() for stream, reason in streams.items()}

    async def _measure(self, claim: Claim) -> None:
        self._looks += 1
        self._measured[claim.key] = self._looks
        backlog = await self._store.backlog(claim.delivery.position, claim.delivery.streams())
        if claim.delivery.status.gone:
            return
        self._note(claim, backlog)
        if backlog.stored_bytes >= claim.max_backlog and not claim.required and not claim.delivery.skipping:
            await self._skip_half(claim)

    def _note(self, claim: Claim, backlog: Backlog) -> None:
        status = claim.delivery.status
        before = (status.backlog_events, status.backlog_bytes, status.oldest_unsent)
        if before != (backlog.events, backlog.stored_bytes, backlog.oldest):
            status.backlog_events, status.backlog_bytes = backlog.events, backlog.stored_bytes
            status.oldest_unsent = backlog.oldest
            self._tell(status.sink, status.destination, backlog)
        if claim.required:
            self._pause_or_resume(claim, backlog.stored_bytes)
            self._pace(claim, backlog.stored_bytes)
        else:
            self._pausing.pop(claim.key, None)
            self._pacing.pop(claim.key, None)

    def _tell(self, sink: str, destination: str, backlog: Backlog) -> None:
        """Metrics are of the sink as a whole: destinations are too many for labels."""
        of_sink = self._waiting.setdefault(sink, {})
        of_sink[destination] = backlog
        METRICS.sink_backlog_events.labels(sink=sink).set(sum(one.events for one in of_sink.values()))
        METRICS.sink_backlog_bytes.labels(sink=sink).set(sum(one.stored_bytes for one in of_sink.values()))
        oldest = min((one.oldest.timestamp() for one in of_sink.values() if one.oldest is not None), default=0.0)
        METRICS.sink_oldest_unsent.labels(sink=sink).set(oldest)

    def _pace(self, claim: Claim, size: int) -> None:
        follows = self._follows(claim)
        if follows and size > _PACE_AT * claim.max_backlog:
            self._pacing[claim.key] = claim.delivery.streams()
        else:
            self._pacing.pop(claim.key, None)

    def _follows(self, claim: Claim) -> bool:
        """Whether the sink moved lately; looks may follow one another faster than its batches."""
        now, position = self._clock.monotonic(), claim.delivery.position
        before, moved_at = self._moved.get(claim.key, (position, float("-inf")))
        if position != before:
            moved_at = now
        self._moved[claim.key] = (position, moved_at)
        return now - moved_at < _FOLLOWS_SECONDS

    def _pause_or_resume(self, claim: Claim, size: int) -> None:
        sink = claim.delivery.status.sink
        pauses = claim.key in self._pausing
        if size < claim.max_backlog * (_RESUME if pauses else 1.0):
            if pauses:
                log.info("backlog is down again", sink=sink)
                del self._pausing[claim.key]
            return
        if not pauses:
            log.error("backlog at its limit: the feeds of this sink pause", sink=sink, bytes=size)
        reason = f"backlog of sink {sink} over {format_size(claim.max_backlog)}"
        self._pausing[claim.key] = dict.fromkeys(claim.delivery.streams(), reason)

    async def _skip_half(self, claim: Claim) -> None:
        low, high = claim.delivery.position.seq, self._end().seq
        streams = claim.delivery.streams()
        while high - low > 1:
            middle = (low + high) // 2
            left = await self._store.backlog(Position(middle), streams)
            if left.stored_bytes > claim.max_backlog / 2:
                low = middle
            else:
                high = middle
        claim.delivery.skip(Position(high))

    def _forget_all_but(self, keys: set[Key]) -> None:
        for known in (self._measured, self._pausing, self._moved, self._pacing):
            for key in known.keys() - keys:
                del known[key]
        for sink, destinations in self._waiting.items():
            for destination in [one for one in destinations if (sink, one) not in keys]:
                del destinations[destination]
