"""Reads the log ahead of a sink whose destination is a template, and begins a delivery where a new one shows up.

Each destination has a cursor and a delivery of its own, so that one customer's missing index holds that customer alone.
The sink's own cursor, of the destination "", is how far the router has come: everything before it is in the hands of
known destinations. A new destination's cursor, at the page of its first event, is stored in the transaction that moves
the router past that page: whenever the process dies, the event is behind the one cursor or the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import orjson
import structlog

from collector.clock import Clock
from collector.errors import StoreFull
from collector.model import Event, StreamId
from collector.pipeline.delivery import Delivery
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.naming import Naming
from collector.pipeline.notices import Outcome
from collector.pipeline.pausing import pause
from collector.pipeline.receiver import Receiver
from collector.pipeline.status import SinkStatus
from collector.store import Cursor, LogPage, Position, Store

log = structlog.get_logger()

MOST_OPEN = 1000
MOST_KNOWN = 10_000
IDLE_SECONDS = 3600.0
_LOOK_SECONDS = 60.0
_RETRY_SECONDS = 10.0
_READ_BYTES = 128 << 10
_SLICE = 100
_MAGIC = b"router1\n"


class Openings(Protocol):
    """What starts and stops the deliveries of one sink's destinations."""

    def open_(self, receiver: Receiver, cursor: Cursor, /) -> Delivery: ...
    async def close(self, delivery: Delivery, /) -> None: ...
    def let_go(self, delivery: Delivery, /) -> None: ...


class TooManyError(Exception):
    """No destination can be added."""


def is_router_state(state: bytes | None) -> bool:
    """Whether a router wrote it, and not a sink."""
    return state is not None and state.startswith(_MAGIC)


def signatures(state: bytes | None) -> dict[str, str]:
    """What a router knew of its streams when it wrote `state`; nothing, if a sink wrote it."""
    if state is None or not is_router_state(state):
        return {}
    found: dict[str, str] = orjson.loads(state.removeprefix(_MAGIC))
    return found


def must_begin_anew(state: bytes | None, naming: Naming, streams: Sequence[StreamId]) -> bool:
    """Whether events that wait for a destination may go elsewhere by now: another template, other labels or names."""
    before = signatures(state)
    now = {str(stream): naming.signature(stream) for stream in streams if str(stream) in before}
    return now != before


class Router:
    """One sink's destinations. `run` is the loop; the rest is what claims, status and operators ask for.

    `deliveries` are those that are open; others have had everything, and are opened again by their next event.
    """

    def __init__(  # noqa: PLR0917 -- its collaborators
        self,
        receiver: Receiver,
        naming: Naming,
        cursors: Sequence[Cursor],
        store: Store,
        log_: Log,
        events: Events,
        clock: Clock,
        openings: Openings,
    ) -> None:
        own = next(cursor for cursor in cursors if not cursor.destination)
        self.receiver = receiver
        self.naming = naming
        self.position = self.settled = own.position
        self.status = SinkStatus(receiver.name, "", state="ok")
        self.deliveries: dict[str, Delivery] = {}
        self._cursors = {cursor.destination: cursor for cursor in cursors if cursor.destination}
        self._signatures = signatures(own.state)
        self._used: dict[str, float] = {}
        self._store = store
        self._reader = log_.reader(receiver.stage.takes_stream)
        self._events = events
        self._clock = clock
        self._openings = openings
        self._log = log.bind(sink=receiver.name)

    # -- what others ask of it --------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """It has seen every page of the log that its sink takes."""
        return self._reader.has_all(self.position)

    @property
    def holds(self) -> Position:
        """What lies before it is known to the destinations."""
        return self._reader.reach(self.position)

    @property
    def skipping(self) -> bool:
        """Never: it only waits where no further destination can be opened."""
        return False

    def streams(self) -> Sequence[StreamId]:
        """The streams its sink takes."""
        return self._reader.streams()

    def skip(self, position: Position) -> None:
        """Each destination skips for itself."""

    def passed(self) -> list[Cursor]:
        """The cursors that passed over pages of others: the router's own, and of destinations that are closed."""
        target, moved = self.holds, []
        if target > self.settled:
            self.settled = self.position = target
            moved.append(Cursor(self.receiver.name, "", target, None))
        for name, cursor in self._cursors.items():
            if name not in self.deliveries and cursor.position < self.position:
                self._cursors[name] = passed = replace(cursor, position=self.position)
                moved.append(passed)
        return moved

    def delivery_for(self, event: Event) -> Delivery:
        """Where an event goes that is not in the log, or a dead letter."""
        name = self.naming.of_event(event)
        return self.deliveries.get(name) or self._open(name, self.holds)

    def say(self, event: Event) -> Outcome:
        """Have an event of our own sent to where such an event goes."""
        return self.delivery_for(event).say(event)

    def release(self) -> None:
        """Look again whether destinations can be opened."""
        self._reader.woken.set()

    def stop(self) -> None:
        """It can be cancelled wherever it is: what it has stored it finds again."""

    @property
    def stopped(self) -> bool:
        """There is nothing to wait for."""
        return True

    def close(self) -> None:
        """The loop has ended for good."""
        self._reader.close()

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the log, for ever."""
        for name, cursor in list(self._cursors.items()):
            if cursor.position < self.position and name not in self.deliveries:
                self._open(name, cursor.position)
        look_at = self._clock.monotonic() + _LOOK_SECONDS
        while True:
            self._reader.woken.clear()
            if self._clock.monotonic() >= look_at:
                look_at = self._clock.monotonic() + _LOOK_SECONDS
                await self._close_idle(IDLE_SECONDS)
            if self.idle:
                self.position = self.holds
                await pause(self._clock, max(0.0, look_at - self._clock.monotonic()), self._reader.woken)
                continue
            try:
                await self._advance()
            except (StoreFull, TooManyError) as exc:
                self._report(exc)
                self._reader.woken.clear()
                await pause(self._clock, _RETRY_SECONDS, self._reader.woken)
            else:
                self.status.state, self.status.last_error = "ok", None

    async def _advance(self) -> None:
        """Read on, and open what the events found there need.

        Raises:
            TooManyError: of one page a destination can't be opened; what lies before that page is done.
        """
        self.position = self._reader.reach(self.position)
        chunk = await self._reader.read(self.position, _READ_BYTES)
        found: dict[str, int] = {}
        streams: set[StreamId] = set()
        end, refusal = chunk.end, None
        for page in chunk.pages:
            names = await self._names(page)
            refusal = await self._refusal(names, found)
            if refusal is not None:
                end = Position(page.seq)
                break
            streams.add(page.stream)
            for name in names:
                found.setdefault(name, page.seq)
        await self._pass(found, streams, max(self.position, end))
        if refusal is not None:
            raise TooManyError(refusal)

    async def _pass(self, found: Mapping[str, int], streams: set[StreamId], end: Position) -> None:
        sink = self.receiver.name
        new = {name: Position(seq) for name, seq in found.items() if name not in self._cursors}
        signed = {str(stream): self.naming.signature(stream) for stream in streams}
        if new or not signed.items() <= self._signatures.items():
            self._signatures |= signed
            state = _MAGIC + orjson.dumps(self._signatures)
            await self._store.open_destinations(sink, new, end, state)
            self.settled = end
        self.position = end
        now = self._clock.monotonic()
        for name, seq in found.items():
            self._used[name] = now
            if name not in self.deliveries:
                self._open(name, Position(seq))

    def _open(self, name: str, position: Position) -> Delivery:
        """Begin to deliver; nothing that lies before `position` waits for it."""
        known = self._cursors.get(name) or Cursor(self.receiver.name, name, position, None)
        self._cursors[name] = cursor = replace(known, position=max(known.position, position))
        self._used[name] = self._clock.monotonic()
        self.deliveries[name] = delivery = self._openings.open_(self._receiver(name), cursor)
        return delivery

    def _receiver(self, name: str) -> Receiver:
        stage, naming = self.receiver.stage, self.naming

        def takes_stream(stream: StreamId) -> bool:
            return naming.of_stream(stream) in {None, name} and stage.takes_stream(stream)

        def takes(event: Event) -> bool:
            return stage.takes(event) and naming.of_event(event) == name

        return replace(
            self.receiver,
            stage=replace(stage, takes_stream=takes_stream, takes=takes),
            destination=name,
            memory={},
        )

    async def _names(self, page: LogPage) -> list[str]:
        """The destinations of the page's events, in order."""
        name = self.naming.of_stream(page.stream)
        if name is not None:
            return [name]
        names: dict[str, None] = {}
        for number, event in enumerate(self._events.of_page(page)):
            if self.receiver.stage.takes(event):
                names[self.naming.of_event(event)] = None
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return list(names)

    async def _refusal(self, names: Sequence[str], found: Mapping[str, int]) -> str | None:
        """Why these can't all be opened, None where they can."""
        new = [name for name in names if name not in self._cursors and name not in found]
        if len(self._cursors) + len(found.keys() - self._cursors.keys()) + len(new) > MOST_KNOWN:
            return f"more than {MOST_KNOWN} destinations: events of further ones wait"
        opened = {*self.deliveries, *found, *names}
        if len(opened) > MOST_OPEN and len({*self.deliveries}) > 0:
            await self._close_idle(0.0, but={*found, *names})
            opened = {*self.deliveries, *found, *names}
        if len(opened) > MOST_OPEN:
            return f"more than {MOST_OPEN} destinations at work: events of further ones wait"
        return None

    async def _close_idle(self, seconds: float, but: set[str] | None = None) -> None:
        """Close those that had nothing to deliver for so long; the longest idle first, a tenth of all at most."""
        now = self._clock.monotonic()
        idle = [
            name
            for name, delivery in self.deliveries.items()
            if delivery.idle and not delivery.asked and now - self._used[name] >= seconds and name not in (but or ())
        ]
        idle.sort(key=self._used.__getitem__)
        for name in idle[: max(1, MOST_OPEN // 10)]:
            delivery = self.deliveries[name]
            await self._openings.close(delivery)
            del self.deliveries[name]
            self._cursors[name] = delivery.cursor
            if delivery.idle and not delivery.asked:
                self._openings.let_go(delivery)
            else:  # a page came meanwhile
                self._open(name, delivery.settled)

    def _report(self, exc: Exception) -> None:
        text = str(exc)
        if text != self.status.last_error:
            self._log.error("destinations can't be opened", error=text)
        self.status.state, self.status.last_error = "backing_off", text
        self.status.errors += 1
