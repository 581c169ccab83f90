"""The events one credential can see, sorted as the vendor sorts them."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from collector.simulator.vendor_event import VendorEvent

Position = tuple[int, str]

_SORT_ANEW = 256
_LAST_KEY = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Span:
    """What a query asks of a shelf: stamps in [first_ms, end_ms), beyond `after` in the direction of reading.

    `accepts` None means every event; it is the filter of the query's other parameters.
    """

    first_ms: int
    end_ms: int
    ascending: bool
    limit: int
    after: Position | None = None
    accepts: Callable[[VendorEvent], bool] | None = None

    def before_first(self) -> Position:
        """A position that stands before all this span holds: what an anchor of an empty first page points at."""
        return (self.first_ms - 1, _LAST_KEY) if self.ascending else (self.end_ms, "")


class Shelf:
    """Events in order of (stamp, id), each found only from its `visible_ms` on.

    A later version of an event takes the place of the earlier one at the moment it becomes visible itself, as an
    index does that holds one document per id.
    """

    def __init__(self) -> None:
        self._hidden: list[tuple[int, int, VendorEvent]] = []
        self._count = 0
        self._positions: list[Position] = []
        self._current: dict[str, VendorEvent] = {}

    def put(self, event: VendorEvent) -> None:
        """Lay the event on the shelf; `reveal` brings it into sight."""
        self._count += 1
        heapq.heappush(self._hidden, (event.visible_ms, self._count, event))

    def reveal(self, now_ms: int) -> None:
        """Bring into sight all that has become visible by `now_ms`."""
        newest: dict[str, VendorEvent] = {}
        while self._hidden and self._hidden[0][0] <= now_ms:
            event = heapq.heappop(self._hidden)[2]
            newest[event.key] = event
        for key, event in newest.items():
            earlier = self._current.get(key)
            if earlier is not None:
                del self._positions[bisect_left(self._positions, (earlier.stamp_ms, key))]
            self._current[key] = event
        positions = [(event.stamp_ms, key) for key, event in newest.items()]
        if len(positions) > _SORT_ANEW:
            self._positions.extend(positions)
            self._positions.sort()
            return
        for position in positions:
            insort(self._positions, position)

    def visible(self) -> Iterator[VendorEvent]:
        """All that is in sight, oldest stamp first."""
        return (self._current[key] for _, key in self._positions)

    def select(self, span: Span) -> tuple[list[VendorEvent], bool]:
        """The first `limit` events of the span; whether there are more of it."""
        found = list(islice(self._walk(self._indices(span), span.accepts), span.limit + 1))
        return found[: span.limit], len(found) > span.limit

    def preceding(self, span: Span, count: int) -> list[VendorEvent]:
        """Up to `count` events that stand right before the span's `after`, in reading order: already served ones."""
        if span.after is None:
            return []
        rest = self._indices(span)
        whole = self._indices(Span(span.first_ms, span.end_ms, span.ascending, span.limit))
        already = range(whole.start, rest.start, whole.step)
        found = list(islice(self._walk(reversed(already), span.accepts), count))
        return found[::-1]

    def _indices(self, span: Span) -> range:
        low = bisect_left(self._positions, (span.first_ms, ""))
        high = bisect_left(self._positions, (span.end_ms, ""))
        if span.after is not None and span.ascending:
            low = min(max(low, bisect_right(self._positions, span.after)), high)
        elif span.after is not None:
            high = max(min(high, bisect_left(self._positions, span.after)), low)
        return range(low, high) if span.ascending else range(high - 1, low - 1, -1)

    def _walk(
        self, indices: Iterator[int] | range, accepts: Callable[[VendorEvent], bool] | None
    ) -> Iterator[VendorEvent]:
        events = (self._current[self._positions[index][1]] for index in indices)
        return events if accepts is None else (event for event in events if accepts(event))
