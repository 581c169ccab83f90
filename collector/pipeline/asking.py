"""How one feed asks its vendor: in its turn, within the bytes there is room for, not together with all others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from collector.model import StreamId
from collector.room import Room
from collector.turns import Caller, calling

# From so many feeds on they do not all begin at once, but so many a second.
_AT_ONCE = 20
_TIPS_A_SECOND, _SWEEPS_A_SECOND = 50.0, 10.0


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often a feed's tip and sweep begin anew once they are caught up, and what keeps feeds apart.

    `tip_delay` and `sweep_delay`, in seconds, come before the first request after a start. The first interval is cut to
    `first` of its length, so that feeds which began together do not go on together.
    """

    poll: timedelta
    sweep: timedelta
    tip_delay: float = 0.0
    sweep_delay: float = 0.0
    first: float = 1.0


def intervals(stream: StreamId, poll: timedelta, sweep: timedelta, feeds: int) -> Intervals:
    """Those of one feed of so many: at the same place among the others after every start."""
    place = int.from_bytes(hashlib.blake2b(str(stream).encode(), digest_size=8).digest()) / 2**64
    others = max(0, feeds - _AT_ONCE)
    return Intervals(
        poll,
        sweep,
        tip_delay=place * min(others / _TIPS_A_SECOND, poll.total_seconds()),
        sweep_delay=place * min(others / _SWEEPS_A_SECOND, sweep.total_seconds()),
        first=0.5 + place / 2,
    )


class Asking:
    """One feed's `caller` at its budget, and the room that its pages take."""

    def __init__(self, caller: Caller, room: Room) -> None:
        self.caller = caller
        self._room = room

    @contextmanager
    def page(self) -> Iterator[None]:
        """Inside the block one page is fetched and stored: turns are the feed's, bytes count until it is left."""
        with calling(self.caller), self._room.page():
            yield
