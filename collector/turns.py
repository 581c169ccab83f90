"""Who waits for the turn to send a request, on whose behalf. All times are monotonic seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from collector.activity import Activity
from collector.model import Lane


class Caller:
    """One feed, as those see it who give turns: how long ago its newest was asked for, and what came of it.

    `asked` is None before the first time. `interval` is how long ago the last poll's beginning found the feed asked
    before, None before the second poll. `behind`: the vendor had more than it gave. `weight` grows with what is going
    on in the feed and shrinks with the `failures` in a row. `max_age` is the longest it should go without being asked,
    in seconds.
    """

    __slots__ = (
        "_activity",
        "_covered",
        "_events",
        "_is_asked",
        "_polled",
        "asked",
        "behind",
        "failures",
        "interval",
        "max_age",
        "weight",
    )

    def __init__(self, max_age: float) -> None:
        self.max_age = max_age
        self.asked: float | None = None
        self.interval: float | None = None
        self.behind = False
        self.failures = 0
        self._activity = Activity(max_age)
        self.weight = math.sqrt(self._activity.rate)
        self._polled: float | None = None
        self._is_asked = False
        self._events = 0
        self._covered = 0.0

    def ask(self, now: float) -> None:
        """A turn is given for a page of its newest."""
        if not self.behind:
            self.interval = None if self.asked is None else now - self.asked
            self._covered = 0.0 if self._polled is None else now - self._polled
            self._polled, self._events = now, 0
        self.asked = now
        self._is_asked = True

    def gave(self, events: int, now: float, *, more: bool, covered: float = 0.0) -> None:
        """The page is stored: so many new events; `covered` seconds of the vendor's time were read with it.

        Where those are more than the time since the last poll, as at the very first, the events had as long to come up.
        """
        if not self._is_asked:  # a source that takes no turns
            self.ask(now)
        self._is_asked = False
        self._events += events
        self.failures = 0
        self._covered = max(self._covered, covered)
        self.behind = more
        if not more:
            self._activity.note(self._events, self._covered)
        self._weigh()

    def failed(self) -> None:
        """Nothing came of it: the more often that happens, the less it is worth to ask, save for its age."""
        self._is_asked = False
        self.failures += 1
        self._weigh()

    def _weigh(self) -> None:
        self.weight = math.sqrt(self._activity.rate) / (1 + self.failures)

    def urgency(self, now: float) -> float:
        """What asking now is worth, against other callers: grows with the activity, and with the time since.

        Events that come evenly wait the least in all where the feed is next whose rate times squared age is greatest.
        """
        return self.weight * (now - self.last)

    def expected(self, now: float) -> float:
        """How many events most likely wait at the vendor."""
        return self.weight * self.weight * (now - self.last)

    @property
    def last(self) -> float:
        """When it was asked; before the first time: longer ago than any other."""
        return -math.inf if self.asked is None else self.asked

    @property
    def deadline(self) -> float:
        """By when it is to be asked again."""
        return self.last + self.max_age


@dataclass(eq=False, slots=True)
class Call:
    """One fetch on behalf of a caller; it may need several turns, and has had `turns`."""

    caller: Caller
    turns: int = 0


@dataclass(eq=False, slots=True)
class Turn:
    """One request that waits to be sent. `again`: the turn before it went to a login."""

    lane: Lane
    call: Call | None = None
    again: bool = False

    def begin(self, now: float) -> None:
        """It is given."""
        if self.call is None:
            return
        self.call.turns += 1
        if self.call.turns == 1 and self.lane is Lane.TIP:
            self.call.caller.ask(now)


_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Inside the block every turn that this task takes, and the tasks it starts, is the caller's."""
    token = _CALL.set(Call(caller))
    try:
        yield
    finally:
        _CALL.reset(token)


def current_call() -> Call | None:
    """The call on whose behalf this task acts."""
    return _CALL.get()
