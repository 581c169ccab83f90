"""A batch on its way: which of its events are decided, which still wait, what of it is still to be settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.backoff import Backoff
from collector.model import StreamId
from collector.pipeline.batching import Plan, refused
from collector.pipeline.probation import Settlement
from collector.sinks.base import Batch, Receipt
from collector.store import Position

_BASE, _CAP = 0.5, 60.0
_BEGIN = Position(0)


@dataclass(slots=True)
class Shipment:
    """`waiting`: positions in the batch that are neither accepted nor refused, in order; `refused`: with reasons.

    `under_way`: given to the sink, which has not answered yet. `due`: what waits is not sent again before then, and
    `certain`: what is decided does not count before then (both monotonic; None: at once). `waits`: how long what is
    deferred waits.
    """

    plan: Plan
    waiting: list[int]
    refused: dict[int, str] = field(default_factory=dict)
    under_way: bool = False
    due: float | None = None
    certain: float | None = None
    waits: Backoff = field(default_factory=lambda: Backoff(_BASE, _CAP))
    _state: bytes | None = None
    _settled: int = 0
    _settled_to: Position = _BEGIN

    @property
    def first_waiting(self) -> int:
        """Everything before it is decided."""
        return self.waiting[0] if self.waiting else len(self.plan.batch)

    @property
    def scattered(self) -> bool:
        """Some event is decided and not settled: reading it from the log again would send it again."""
        return len(self.plan.batch) - len(self.waiting) > self._settled

    def part(self, most: int | None = None) -> tuple[list[int], Batch]:
        """What is to be sent, at most so many events: their positions, and the batch of them."""
        batch, chosen = self.plan.batch, self.waiting[:most]
        if len(chosen) == len(batch):
            return chosen, batch
        return chosen, Batch(batch.destination, [batch.events[i] for i in chosen], [batch.payloads[i] for i in chosen])

    def note(self, sent: list[int], receipt: Receipt) -> None:
        """Take in the verdict on those that were sent. An event both refused and deferred waits."""
        deferred = {sent[index] for index in receipt.deferred}
        decided = set(sent) - deferred
        refusals = _on(sent, receipt.rejected)
        self.refused |= {index: reason for index, reason in refusals.items() if index in decided}
        self.waiting = [index for index in self.waiting if index not in decided]
        self._state = self._state if receipt.state is None else receipt.state

    def settlement(self) -> Settlement | None:
        """What was decided since the last call, up to the first event that waits; None when that is nothing."""
        first = self.first_waiting
        position = self.plan.before(first)
        if position == self._settled_to and self._state is None:
            return None
        letters = [letter for where, letter in self.plan.unformatted if self._settled_to <= where < position]
        delivered: dict[StreamId, tuple[int, int]] = {}
        accepted = 0
        for index in range(self._settled, first):
            origin, event = self.plan.origins[index], self.plan.batch.events[index]
            if index in self.refused:
                letters.append(refused(origin, event, self.refused[index]))
                continue
            stream = as_delivered(origin.stream, event.tenant)
            events, size = delivered.get(stream, (0, 0))
            delivered[stream] = (events + 1, size + len(self.plan.batch.payloads[index]))
            accepted += 1
        settlement = Settlement(position, self._state, letters, delivered, accepted)
        self._settled, self._settled_to, self._state = first, position, None
        return settlement


def as_delivered(stream: StreamId, tenant: str) -> StreamId:
    """The stream under the name that its event went out with, which a partner's organization has of its own."""
    return stream if tenant == stream.tenant else StreamId(tenant, stream.source, stream.feed)


def _on(sent: list[int], rejected: Mapping[int, str]) -> dict[int, str]:
    return {sent[index]: reason for index, reason in rejected.items()}
