"""What a delivery leaves behind in status, metrics and the log file."""

from __future__ import annotations

from typing import Literal

import structlog

from collector.clock import Clock
from collector.errors import SinkDenied, StoreFull
from collector.metrics import METRICS
from collector.pipeline.status import SinkStatus

log = structlog.get_logger()


class SinkReport:
    """Tells of one destination's batches; a repeated failure is logged at its first occurrence and at each change.

    `held` are the sink's destinations that are held, shared by all of them: metrics tell of a sink as a whole.
    """

    def __init__(self, status: SinkStatus, clock: Clock, held: set[str] | None = None) -> None:
        self._status = status
        self._held = set() if held is None else held
        self._clock = clock
        self._name = status.sink
        bound = {"sink": status.sink, "destination": status.destination}
        self._log = log.bind(**{name: value for name, value in bound.items() if value})

    def recovered(self) -> None:
        """Nothing stands in the way any more, as far as one can know without an event to send."""
        status = self._status
        if status.last_error is not None:
            self._log.info("sink recovered")
            self._note_held(held=False)
        status.state, status.last_error = "ok", None

    def settled(self, accepted: int, refused: int) -> None:
        """A batch was settled: so many events are delivered, so many became dead letters."""
        status = self._status
        status.rejected += refused
        status.dead_letters += refused
        METRICS.events_rejected.labels(sink=self._name).inc(refused)
        METRICS.dead_letters.labels(sink=self._name).inc(refused)
        if accepted:
            self.recovered()
            status.delivered += accepted
            METRICS.events_delivered.labels(sink=self._name).inc(accepted)
            self._note_success()

    def spoke(self) -> None:
        """The sink took an event of our own, which counts as no delivery."""
        self.recovered()
        self._note_success()

    def resolved(self) -> None:
        """The sink took a dead letter after all."""
        if self._status.dead_letters:
            self._status.dead_letters -= 1
            METRICS.dead_letters.labels(sink=self._name).dec()
        self.settled(1, 0)

    def skipped(self, events: int) -> None:
        """The sink was moved past events it will never get."""
        self._status.skipped += events
        METRICS.events_skipped.labels(sink=self._name).inc(events)

    def failure(self, exc: Exception, state: Literal["held", "backing_off"]) -> None:
        """A batch failed as a whole; every event of it waits."""
        text = str(exc)
        if text != self._status.last_error or self._status.state != state:
            level = self._log.error if state == "held" else self._log.warning
            level("sink held" if state == "held" else "sink unavailable", error=text)
        self._status.state = state
        self._status.errors += 1
        self._status.last_error = text
        reason = "denied" if isinstance(exc, SinkDenied) else "store" if isinstance(exc, StoreFull) else "unavailable"
        METRICS.sink_errors.labels(sink=self._name, reason=reason).inc()
        self._note_held(held=state == "held")

    def _note_success(self) -> None:
        self._status.last_success = self._clock.now()
        METRICS.sink_last_success.labels(sink=self._name).set(self._status.last_success.timestamp())

    def _note_held(self, *, held: bool) -> None:
        (self._held.add if held else self._held.discard)(self._status.destination)
        METRICS.sink_held.labels(sink=self._name).set(bool(self._held))
