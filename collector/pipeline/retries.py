"""Dead letters on their way through their sink once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from collector.model import Event
from collector.pipeline.batching import format_error, storable
from collector.pipeline.events import Events
from collector.sinks.base import Batch, Receipt
from collector.store import DeadLetter, Store

_A_TURN = 20

Send = Callable[[Batch], Awaitable[Receipt]]
Resolve = Callable[[DeadLetter, int, Receipt], Awaitable[None]]


class Retries:
    """The dead letters of one sink that somebody asked to send again.

    They go one by one, since each verdict is stored with what the sink then knows, and a few at a turn, so that live
    events need not wait for thousands of them. What is refused again stays a dead letter, with the new reason.
    """

    def __init__(self, sink: str, store: Store, events: Events, encode: Callable[[Event], bytes]) -> None:
        self._sink = sink
        self._store = store
        self._events = events
        self._encode = encode
        self._numbers: dict[int, None] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def ask(self, numbers: Iterable[int]) -> None:
        """Send these; one that is already asked for goes once."""
        self._numbers |= dict.fromkeys(numbers)

    async def some(self, send: Send, resolve: Resolve, destination: str) -> Receipt | None:
        """Send some; returns the receipt that deferred one, None when there was none.

        `resolve(letter, bytes, receipt)` stores that the sink took a letter after all.

        Raises:
            SinkError: from `send`; the letter stays asked for.
        """
        for number in list(self._numbers)[:_A_TURN]:
            # Looked up at the last moment: it may have been dropped meanwhile.
            for letter in await self._store.dead_letters(self._sink, [number], 1):
                receipt = await self._one(letter, send, resolve, destination)
                if receipt is not None and receipt.deferred:
                    return receipt
            self._numbers.pop(number, None)
        return None

    async def _one(self, letter: DeadLetter, send: Send, resolve: Resolve, destination: str) -> Receipt | None:
        event = self._events.of_dead_letter(letter)
        try:
            payload = self._encode(event)
        except Exception as exc:  # noqa: BLE001 -- around format: it failed on this event before
            await self._store.note_attempt(letter.id, format_error(exc))
            return None
        receipt = await send(Batch(destination, [event], [payload]))
        if receipt.deferred:
            return receipt
        if receipt.rejected:
            await self._store.note_attempt(letter.id, storable(receipt.rejected[0]))
        else:
            await resolve(letter, len(payload), receipt)
        return receipt
