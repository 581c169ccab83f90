"""The batches of one sink that are not settled yet, in the order of the log.

Whatever order the sink answers in, only what stands before the first event that waits is settled. Memory holds as many
batches as may be in flight; of those that are decided behind one that waits only what settling them needs.
"""

from __future__ import annotations

from collections import deque

from collector.pipeline.batching import Plan
from collector.pipeline.probation import Settlement
from collector.pipeline.shipment import Shipment
from collector.store import Position

# Unsettled batches to those in flight: after a crash, so many come again that the receiver has already.
_UNSETTLED = 4


class Flight:
    """A row of shipments; what is settled leaves it at the front."""

    def __init__(self) -> None:
        self._row: deque[Shipment | tuple[float | None, Settlement]] = deque()

    def __len__(self) -> int:
        return len(self._row)

    @property
    def end(self) -> Position:
        """Behind the last batch; the log's beginning when there is none."""
        if not self._row:
            return Position(0)
        last = self._row[-1]
        return last.plan.end if isinstance(last, Shipment) else last[1].position

    def has_room(self, most: int) -> bool:
        """Whether another batch may be read, where `most` may be in flight; those that wait to go again count."""
        return len(self.undecided()) < most and len(self._row) < _UNSETTLED * most

    def undecided(self) -> list[Shipment]:
        """The batches of which some event is not decided, in order."""
        return [one for one in self._row if isinstance(one, Shipment) and one.waiting]

    def ready(self, now: float) -> Shipment | None:
        """The first batch of which something is to be sent by now."""
        return next((one for one in self.undecided() if not one.under_way and (one.due or now) <= now), None)

    def next_due(self) -> float | None:
        """When the first batch that was put off is to be sent again (monotonic); None: none was."""
        return min((one.due for one in self.undecided() if not one.under_way and one.due is not None), default=None)

    def add(self, plan: Plan) -> Shipment:
        """A batch behind all others."""
        shipment = Shipment(plan, list(range(len(plan.batch))))
        self._row.append(shipment)
        return shipment

    def landed(self) -> list[tuple[float | None, Settlement]]:
        """Take out what can be settled by now, in order, each with the time from which it counts (None: now)."""
        taken: list[tuple[float | None, Settlement]] = []
        while self._row:
            first = self._row[0]
            if isinstance(first, Shipment):
                settlement = first.settlement()
                if settlement is not None:
                    taken.append((first.certain, settlement))
                if first.waiting:
                    break
            else:
                taken.append(first)
            self._row.popleft()
        self._lighten()
        return taken

    def _lighten(self) -> None:
        """Of batches that are decided but can't be settled yet, keep what settling needs."""
        for index, one in enumerate(self._row):
            if isinstance(one, Shipment) and not one.waiting:
                settlement = one.settlement()
                if settlement is not None:
                    self._row[index] = (one.certain, settlement)

    def fail(self, *, certain: bool) -> None:
        """The sink failed. What it had not answered is read again, and what it had is not sent again, if `certain`.

        What counts only after a while counts no more: then all is read again.
        """
        if not certain or any(_certain(one) is not None for one in self._row):
            self._row.clear()
        while self._row and isinstance(last := self._row[-1], Shipment) and not last.scattered:
            self._row.pop()
        for one in self.undecided():
            one.under_way, one.due = False, None

    def clear(self) -> None:
        """Forget all of them."""
        self._row.clear()


def _certain(one: Shipment | tuple[float | None, Settlement]) -> float | None:
    return one.certain if isinstance(one, Shipment) else one[0]
