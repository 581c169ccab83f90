"""A sliding window over requests: what the vendor's gateway counts per source address."""

from __future__ import annotations

from collections import deque


class SlidingWindow:
    """Admits at most `limit` requests in any `per_seconds`, however they are spread.

    `most` is the highest number of requests, refused ones included, that arrived within any one window so far: what
    a well-behaved client must keep at or under `limit`. Refused requests take no room from later ones.
    """

    def __init__(self, limit: int, per_seconds: float) -> None:
        self.limit = limit
        self.per_seconds = per_seconds
        self.most = 0
        self._arrived: deque[float] = deque()
        self._admitted: deque[float] = deque()

    def arrive(self, now: float) -> float | None:
        """Count one request at `now` (monotonic seconds). None: admitted; else the seconds until there is room."""
        for times in (self._arrived, self._admitted):
            while times and times[0] <= now - self.per_seconds:
                times.popleft()
        self._arrived.append(now)
        self.most = max(self.most, len(self._arrived))
        if len(self._admitted) < self.limit:
            self._admitted.append(now)
            return None
        return self._admitted[0] + self.per_seconds - now
