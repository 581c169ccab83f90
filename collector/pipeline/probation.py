"""Receipts that count only when the sink has gone on for a while: what waits meanwhile, and when it is due.

The cursor stays where it is, the log keeps the events; only what settling needs is held here, a few hundred bytes a
batch. When the sink fails, all of it is forgotten and the events come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collector.model import StreamId
from collector.store import NewDeadLetter, Position

MOST_WAITING = 1000
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What settling one batch, or several in a row, writes down."""

    position: Position
    state: bytes | None = None
    letters: Sequence[NewDeadLetter] = ()
    delivered: Mapping[StreamId, tuple[int, int]] = field(default_factory=dict)
    accepted: int = 0
    resolved: Sequence[int] = ()


class Probation:
    """Settlements in the order of their batches, each with the time from which it counts. Times are monotonic."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Settlement]] = deque()
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def end(self) -> Position:
        """Behind the last batch that waits; the log's beginning when none does."""
        return self._waiting[-1][1].position if self._waiting else Position(0)

    @property
    def is_full(self) -> bool:
        """No further batch is to be sent before some have passed."""
        return len(self._waiting) >= MOST_WAITING

    def add(self, settlement: Settlement, due: float) -> None:
        """Let it wait until then, and behind all that wait already."""
        self._waiting.append((max(due, self._waiting[-1][0]) if self._waiting else due, settlement))

    def clear(self) -> None:
        """The sink failed: nothing of it counts."""
        self._waiting.clear()

    def look(self, now: float) -> bool:
        """Whether it is time to ask the sink whether its receipts still hold; once a second at most."""
        if not self._waiting or now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        return True

    def due(self, now: float) -> Settlement | None:
        """Take out what counts by now, as one settlement; None when nothing does."""
        passed: list[Settlement] = []
        while self._waiting and self._waiting[0][0] <= now:
            passed.append(self._waiting.popleft()[1])
        return together(passed) if passed else None


def together(settlements: Sequence[Settlement]) -> Settlement:
    """Several in a row as one; there is at least one."""
    delivered: dict[StreamId, tuple[int, int]] = {}
    for settlement in settlements:
        for stream, (events, size) in settlement.delivered.items():
            before = delivered.get(stream, (0, 0))
            delivered[stream] = (before[0] + events, before[1] + size)
    return Settlement(
        settlements[-1].position,
        next((one.state for one in reversed(settlements) if one.state is not None), None),
        [letter for one in settlements for letter in one.letters],
        delivered,
        sum(one.accepted for one in settlements),
        [letter for one in settlements for letter in one.resolved],
    )
