"""Batches that are with the sink at the same time, for one session of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from collector.errors import SinkError, StoreFull
from collector.pipeline.shipment import Shipment
from collector.sinks.base import Batch, Receipt

Send = Callable[[Batch], Awaitable[Receipt]]


class Convoy:
    """Sends shipments, each in a task of the group it was given; `landed` is set whenever one has come to its end."""

    def __init__(self, group: asyncio.TaskGroup, send: Send, landed: asyncio.Event) -> None:
        self._group = group
        self._send = send
        self._landed = landed
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: list[tuple[Shipment, list[int], Receipt | SinkError | StoreFull]] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def launch(self, shipment: Shipment) -> None:
        """Give to the sink what of the shipment waits."""
        shipment.under_way = True
        self._tasks.add(self._group.create_task(self._sail(shipment), name="batch"))

    def answers(self) -> list[tuple[Shipment, list[int], Receipt | SinkError | StoreFull]]:
        """Take what came back: the shipment, the positions that were sent, and the receipt or why there is none."""
        answers, self._answers = self._answers, []
        for shipment, _, _ in answers:  # and not before: whoever looks meanwhile must not send it again
            shipment.under_way = False
        return answers

    def cancel(self) -> None:
        """Wait for no more of them."""
        for task in self._tasks:
            task.cancel()

    async def _sail(self, shipment: Shipment) -> None:
        positions, part = shipment.part()
        answer: Receipt | SinkError | StoreFull
        try:
            answer = await self._send(part)
        except (SinkError, StoreFull) as exc:
            answer = exc
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.discard(task)
            self._landed.set()
        self._answers.append((shipment, positions, answer))
