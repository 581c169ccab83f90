"""Events of our own on their way through a sink: signs of life, test events.

They are in no log: a notice goes out between two batches or not at all, and what becomes of it moves no cursor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from collector.model import Event
from collector.pipeline.batching import format_error
from collector.sinks.base import Batch, Receipt

Send = Callable[[Batch], Awaitable[Receipt]]
Keep = Callable[[Receipt], Awaitable[None]]
Outcome = asyncio.Future[Receipt]


class Notices:
    """The notices that wait for one sink.

    One stays until the sink has accepted or refused it, or whoever asked for it cancels its outcome. A failure of the
    sink decides nothing: the notice is sent again when the sink is up.
    """

    def __init__(self, encode: Callable[[Event], bytes]) -> None:
        self._encode = encode
        self._waiting: deque[tuple[Event, Outcome]] = deque()

    def __bool__(self) -> bool:
        self._drop_settled()
        return bool(self._waiting)

    def add(self, event: Event) -> Outcome:
        """Have it sent; the outcome is a receipt of that one event, never one that defers it."""
        outcome: Outcome = asyncio.get_running_loop().create_future()
        self._waiting.append((event, outcome))
        return outcome

    async def some(self, send: Send, keep: Keep, destination: str) -> Receipt | None:
        """Send those that wait; returns the receipt that deferred one, None when there was none.

        `keep(receipt)` stores what the sink knows after each that it did not defer.

        Raises:
            SinkError: from `send`; the notice waits on.
        """
        while self:
            event, outcome = self._waiting[0]
            receipt = await self._one(event, send, destination)
            if receipt.deferred:
                return receipt
            if not outcome.done():
                outcome.set_result(receipt)
            await keep(receipt)
        return None

    async def _one(self, event: Event, send: Send, destination: str) -> Receipt:
        try:
            payload = self._encode(event)
        except Exception as exc:  # noqa: BLE001 -- around format
            return Receipt(rejected={0: format_error(exc)})
        return await send(Batch(destination, [event], [payload]))

    def _drop_settled(self) -> None:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
