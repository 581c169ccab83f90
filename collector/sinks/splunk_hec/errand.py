"""One batch on its way: its bodies are sent one after the other until every event has a verdict.

A refused event becomes a rejection with the receiver's words, and the rest goes on behind it: where the receiver says
which one it was, what stood before is in; where it does not, nothing was taken and the body is halved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from collector.errors import SinkDenied, SinkError
from collector.sinks.base import Batch
from collector.sinks.splunk_hec.acks import Ack, Channel
from collector.sinks.splunk_hec.bodies import Part, Piece, length_of, pack
from collector.sinks.splunk_hec.pieces import Pieces
from collector.sinks.splunk_hec.pool import Pool
from collector.sinks.splunk_hec.verdicts import BadEvent, Taken, TooLarge, WrongIndex

# As many in a row as make the engine hold a sink: to ask for each of the others would only cost requests.
_REFUSED_IN_A_ROW = 50


@dataclass(frozen=True, slots=True)
class Promise:
    """Positions that count once `ack` is certain."""

    channel: Channel
    ack: Ack
    positions: frozenset[int]


@dataclass(slots=True)
class Errand:
    """A batch and what is known of it; `left` has what no verdict was given on, `trouble` why."""

    batch: Batch
    index: str | None
    pool: Pool
    pieces: Pieces
    rejected: dict[int, str] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    promises: list[Promise] = field(default_factory=list)
    trouble: SinkError | None = None
    unnumbered: bool = False
    """Something was received for which the receiver gave nothing to ask for."""
    _todo: deque[Part] = field(default_factory=deque)
    _in_doubt: set[int] = field(default_factory=set)
    _in_a_row: int = 0

    async def run(self) -> None:
        """Send all of it, as far as it goes."""
        cut = self.pieces.of(self.batch, self.index)
        self.rejected.update(cut.rejected)
        self._todo.extend(pack(cut.pieces, self.pieces.most))
        while self._todo and self.trouble is None and self._in_a_row < _REFUSED_IN_A_ROW:
            part = self._todo.popleft()
            try:
                await self._send(part)
            except SinkError as exc:
                self._again(part)
                self.trouble = exc
        self.left = {piece.position for part in self._todo for piece in part}

    async def _send(self, part: Part) -> None:
        sent = await self.pool.send(part)
        match sent.verdict:
            case Taken():
                self._in_a_row = 0
                if sent.ack is not None:
                    # What a refused body left in before this one has no number: it counts with the next that has one.
                    positions = frozenset({*self._in_doubt, *(piece.position for piece in part)})
                    self._in_doubt.clear()
                    self.promises.append(Promise(sent.channel, sent.ack, positions))
                else:
                    self.unnumbered = True
            case BadEvent(number, reason):
                self._refused(part, number, reason)
            case WrongIndex(taken, reason):
                self._take_before(part[:taken])
                self._again(part[taken:])
                self.trouble = SinkDenied(f"the receiver refuses the index {self.index or 'of the token'}: {reason}")
            case TooLarge(reason):
                self._too_large(part, reason)

    def _refused(self, part: Part, number: int | None, reason: str) -> None:
        if len(part) == 1:
            number = 0
        if number is None:
            half = len(part) // 2
            self._again(part[:half], part[half:])
            return
        self._take_before(part[:number])
        self._reject(part[number], reason)
        self._again(part[number + 1 :])

    def _too_large(self, part: Part, reason: str) -> None:
        length = length_of(part)
        if len(part) > 1:
            self.pieces.learn(length)
            self._again(*pack(part, length // 2))
            return
        piece = part[0]
        event = self.batch.events[piece.position]
        smaller = self.pieces.smaller(event, self.index, length // 2)
        if smaller is None:
            self._reject(piece, reason)
        else:
            self._again([Piece(piece.position, smaller)])

    def _take_before(self, part: Part) -> None:
        if part:
            self._in_a_row = 0
            self._in_doubt.update(piece.position for piece in part)

    def _reject(self, piece: Piece, reason: str) -> None:
        self.rejected[piece.position] = reason
        self._in_a_row += 1

    def _again(self, *parts: Part) -> None:
        self._todo.extendleft(reversed([part for part in parts if part]))

    async def confirm(self, seconds: float) -> Iterable[Promise]:
        """Wait for the acknowledgements; the promises that were not kept within so many seconds."""
        broken = []
        for promise in self.promises:
            if not await promise.channel.confirmed(promise.ack, seconds):
                broken.append(promise)
                self.left |= promise.positions
        return broken

    def forget(self) -> None:
        """Nobody waits for what was promised any more."""
        for promise in self.promises:
            promise.channel.forget(promise.ack)
