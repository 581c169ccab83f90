"""When a receiver refuses event after event, the fault is more likely ours or its own than the events'."""

from __future__ import annotations

from collector.errors import SinkDenied
from collector.sinks.base import Receipt

_WHOLE_BATCH = 20
_IN_A_ROW = 50


class RefusesAll(SinkDenied):
    """Hold the sink, rather than throw a whole stream of events into the dead letters."""


class Refusals:
    """Counts the refusals of one sink since it last took an event."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self._in_a_row = 0

    def judge(self, sent: int, receipt: Receipt, *, probing: bool) -> None:
        """Look at the receipt of so many events, before anything of it is settled.

        Raises:
            RefusesAll: a whole batch of 20 or more was refused, or 50 events in a row, or the one it was probed with.
        """
        refused = len(receipt.rejected)
        if sent > refused + len(receipt.deferred):
            self._in_a_row = 0
            return
        self._in_a_row += refused
        if refused and (probing or refused == sent >= _WHOLE_BATCH or self._in_a_row >= _IN_A_ROW):
            reason = next(iter(receipt.rejected.values()))
            raise RefusesAll(f"the receiver refuses every event, the last one with: {reason}")
