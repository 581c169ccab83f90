"""A batch on its way: which of its events are decided, which still wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.pipeline.batching import Plan
from collector.sinks.base import Batch, Receipt


@dataclass(slots=True)
class Shipment:
    """`waiting`: positions in the batch that are neither accepted nor refused, in order; `refused`: with reasons."""

    plan: Plan
    waiting: list[int]
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def first_waiting(self) -> int:
        """Everything before it is decided."""
        return self.waiting[0] if self.waiting else len(self.plan.batch)

    @property
    def scattered(self) -> bool:
        """Some event is decided although one before it waits: reading it from the log again would send it again."""
        return len(self.waiting) < len(self.plan.batch) - self.first_waiting

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
        refused = _on(sent, receipt.rejected)
        self.refused |= {index: reason for index, reason in refused.items() if index in decided}
        self.waiting = [index for index in self.waiting if index not in decided]


def _on(sent: list[int], rejected: Mapping[int, str]) -> dict[int, str]:
    return {sent[index]: reason for index, reason in rejected.items()}
