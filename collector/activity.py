"""How much is going on in a feed: its events a second, as far as the polls of the last while can tell."""

from __future__ import annotations

import math

# How long a poll counts: what was an hour ago says a third of what is now.
_MEMORY_SECONDS = 3600.0
# What is believed of a feed nobody has read yet: a quarter of an event in its longest time between two polls.
_PRIOR_EVENTS = 0.25


class Activity:
    """An estimate that is never zero: also a feed that never gave anything is worth asking more, the longer ago.

    `prior_seconds` is how long a silence must be before it says something.
    """

    __slots__ = ("_events", "_prior_seconds", "_seconds")

    def __init__(self, prior_seconds: float) -> None:
        self._prior_seconds = prior_seconds
        self._events = 0.0
        self._seconds = 0.0

    def note(self, events: int, seconds: float) -> None:
        """A poll found so many new events, which had so many seconds to come up."""
        if seconds > _MEMORY_SECONDS:  # a long absence says no more than a short one: it was another time
            events_counted, seconds = events * _MEMORY_SECONDS / seconds, _MEMORY_SECONDS
        else:
            events_counted = float(events)
        kept = math.exp(-seconds / _MEMORY_SECONDS)
        self._events = self._events * kept + events_counted
        self._seconds = self._seconds * kept + seconds

    @property
    def rate(self) -> float:
        """Events a second."""
        return (self._events + _PRIOR_EVENTS) / (self._seconds + self._prior_seconds)
