"""The running sinks: each with its delivery loop, started and stopped together with its cursor.

A sink whose destination is a template has a router, and a delivery loop for each destination that has something to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from collector.clock import Clock
from collector.errors import StoreFull
from collector.metrics import METRICS
from collector.pipeline.backlogs import Claim
from collector.pipeline.delivery import Delivery
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.naming import Naming
from collector.pipeline.pausing import pause
from collector.pipeline.receiver import Receiver
from collector.pipeline.router import Router
from collector.pipeline.status import SinkStatus
from collector.store import Cursor, DeadLetter, Store
from collector.supervisor import supervise

_LOOK_SECONDS = 0.02
# Cursors that only pass over pages of others are stored this often, all in one statement.
_PASS_SECONDS = 10.0
# For a loop that was cancelled.
_HANG_SECONDS = 20.0


class Delivering:
    """Starts and stops sinks inside the task group it was given.

    A sink's claim on the log outlives its loop: what it has not got stays in the log while a reload replaces it.
    `sinks` are those that run, by name; `deliveries` their loops: by the sink's name, or `NAME/DESTINATION`.
    """

    def __init__(self, group: asyncio.TaskGroup, store: Store, log_: Log, events: Events, clock: Clock) -> None:
        self._group = group
        self._store = store
        self._log = log_
        self._events = events
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claims: dict[str, Claim] = {}
        self._ending: dict[str, list[asyncio.Task[None]]] = {}
        self._left: dict[str, Delivery | Router] = {}
        self._ended = False
        self.sinks: dict[str, Delivery | Router] = {}
        self.deliveries: dict[str, Delivery] = {}

    # -- starting -------------------------------------------------------------------------------

    def start(self, receiver: Receiver, cursor: Cursor, max_backlog: int, dead_letters: int = 0) -> None:
        """Deliver to a sink until it is stopped; `cursor` is where it stands. After `end` nothing is started.

        Raises:
            ValueError: the sink is running: two loops would deliver everything twice.
        """
        if not self._ended:
            self.sinks[receiver.name] = self.open_(receiver, cursor, max_backlog, dead_letters)
            METRICS.dead_letters.labels(sink=receiver.name).set(dead_letters)

    def start_routed(
        self,
        receiver: Receiver,
        naming: Naming,
        cursors: Sequence[Cursor],
        max_backlog: int,
        dead_letters: Mapping[str, int],
    ) -> None:
        """Deliver to the destinations of a sink; `cursors` are all of its own, `max_backlog` is each one's.

        Raises:
            ValueError: as `start`.
        """
        if self._ended:
            return
        openings = _Openings(self, max_backlog, dead_letters)
        router = Router(receiver, naming, cursors, self._store, self._log, self._events, self._clock, openings)
        self._run(receiver.name, router, receiver, max_backlog)
        self.sinks[receiver.name] = router
        METRICS.dead_letters.labels(sink=receiver.name).set(sum(dead_letters.values()))

    def open_(self, receiver: Receiver, cursor: Cursor, max_backlog: int, dead_letters: int) -> Delivery:
        """Start the loop of one destination."""
        status = SinkStatus(receiver.name, cursor.destination, dead_letters=dead_letters)
        delivery = Delivery(receiver, cursor, self._store, self._log, self._events, self._clock, status)
        label = _label(delivery)
        self._run(label, delivery, receiver, max_backlog)
        self.deliveries[label] = delivery
        return delivery

    def _run(self, label: str, work: Delivery | Router, receiver: Receiver, max_backlog: int) -> None:
        if label in self._tasks:
            work.close()
            raise ValueError(f"sink {label} is running already")
        self._let_go(label)
        METRICS.declare_sink(receiver.name)
        self._claims[label] = Claim(work, receiver.required, max_backlog)
        name = "delivery" if isinstance(work, Delivery) else "router"
        loop = supervise(name, partial(_after, self._ending.get(label, []), work.run), self._clock)
        self._tasks[label] = self._group.create_task(loop, name=f"sink {label}")

    # -- stopping -------------------------------------------------------------------------------

    async def stop(self, names: Iterable[str], seconds: float) -> list[str]:
        """Stop these: after the batch they are at, or in the middle of it when that takes longer.

        Their claims stay until `start` or `forget`. Returns those that hang and have not ended: a new loop of theirs
        begins when they have.
        """
        leaving = {name: self.sinks.pop(name) for name in names if name in self.sinks}
        if not leaving:
            return []
        routers = {name: one for name, one in leaving.items() if isinstance(one, Router)}
        await self._end(routers, 0.0)
        await self._end({label: one for label, one in self.deliveries.items() if one.receiver.name in leaving}, seconds)
        return [name for name in leaving if any(self._ending.get(label) for label in self._labels({name}))]

    async def close(self, delivery: Delivery) -> None:
        """Stop one loop; its claim stays until it is opened again, or `let_go`."""
        await self._end({_label(delivery): delivery}, _HANG_SECONDS)

    def let_go(self, delivery: Delivery) -> None:
        """A closed destination has everything: the log need not keep anything for it."""
        self._let_go(_label(delivery))

    async def _end(self, leaving: Mapping[str, Delivery | Router], seconds: float) -> None:
        tasks = {label: self._tasks.pop(label) for label in leaving}
        for label, one in leaving.items():
            self.deliveries.pop(label, None)
            self._left[label] = one
            self._ending.setdefault(label, []).append(tasks[label])
            one.stop()
        deadline = self._clock.monotonic() + seconds
        try:
            while not all(one.stopped for one in leaving.values()) and self._clock.monotonic() < deadline:
                await self._clock.sleep(_LOOK_SECONDS)
        finally:
            for task in tasks.values():
                task.cancel()
        await self._wait_for([task for label in leaving for task in self._ending[label]])
        for label in leaving:
            self._ending[label] = [task for task in self._ending[label] if not task.done()]

    async def _wait_for(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait until they have ended, but not for ever: a thread that waits for its disk can't be cancelled."""
        pending, ended = set(tasks), asyncio.Event()
        if not pending:
            return

        def note(task: asyncio.Task[None]) -> None:
            pending.discard(task)
            if not pending:
                ended.set()

        for task in list(pending):
            task.add_done_callback(note)
        await pause(self._clock, _HANG_SECONDS, ended)

    def forget(self, name: str) -> None:
        """A stopped sink that does not come back: the log need not keep anything for it."""
        for label in self._labels({name}):
            self._let_go(label)
            self._ending.pop(label, None)
        METRICS.forget(sink=name)

    def _let_go(self, label: str) -> None:
        self._claims.pop(label, None)
        if label in self._left:
            left = self._left.pop(label)
            left.status.gone = True
            left.close()

    def _labels(self, names: Collection[str]) -> list[str]:
        return [label for label in {**self._claims, **self._ending} if label.partition("/")[0] in names]

    async def end(self, seconds: float) -> None:
        """Stop all, within so long, and store how far each has come; what was not settled comes at the next start."""
        self._ended = True
        await self._pass_over(self.deliveries.values())
        await self.stop(list(self.sinks), seconds)
        await self._pass_over([one for one in self._left.values() if isinstance(one, Delivery)])

    # -- looking after them ---------------------------------------------------------------------

    def claims(self) -> Sequence[Claim]:
        """What the janitor has to respect."""
        return list(self._claims.values())

    def statuses(self) -> list[SinkStatus]:
        """One for each destination; of a sink without any, or that can't open one, its own."""
        found: list[SinkStatus] = []
        for name, one in self.sinks.items():
            if isinstance(one, Router):
                at_work = [delivery.status for _, delivery in sorted(one.deliveries.items())]
                found += at_work if at_work and one.status.state == "ok" else [one.status, *at_work]
            else:
                found.append(self.deliveries[name].status)
        return found

    def retry(self, name: str, letters: Iterable[DeadLetter]) -> None:
        """Have dead letters of a sink sent again, to where their events go by now."""
        one = self.sinks[name]
        for letter in letters:
            delivery = one.delivery_for(self._events.of_dead_letter(letter)) if isinstance(one, Router) else one
            delivery.retry([letter.id])

    def waiting(self) -> list[str]:
        """The required sinks that have not delivered everything in the log."""
        late = {one.receiver.name for one in (*self.sinks.values(), *self.deliveries.values()) if not one.idle}
        return [name for name, one in self.sinks.items() if one.receiver.required and name in late]

    async def drained(self, seconds: float) -> list[str]:
        """Wait until every required sink has delivered everything, at most so long; returns those that have not."""
        deadline = self._clock.monotonic() + seconds
        while self.waiting() and self._clock.monotonic() < deadline:
            await self._clock.sleep(_LOOK_SECONDS)
        return self.waiting()

    async def pass_over(self) -> None:
        """Move the cursors of those that only skip, every now and then, for ever."""
        while True:
            await self._clock.sleep(_PASS_SECONDS)
            await self._pass_over(self.deliveries.values())

    async def _pass_over(self, deliveries: Iterable[Delivery]) -> None:
        moved = [cursor for delivery in deliveries if (cursor := delivery.passed()) is not None]
        for one in self.sinks.values():
            if isinstance(one, Router):
                moved += one.passed()
        if moved:
            with suppress(StoreFull):  # nothing is lost by a cursor that stays behind
                await self._store.pass_over(moved)


@dataclass(frozen=True, slots=True)
class _Openings:
    """What a router needs to open and close destinations."""

    delivering: Delivering
    max_backlog: int
    dead_letters: Mapping[str, int]

    def open_(self, receiver: Receiver, cursor: Cursor, /) -> Delivery:
        letters = self.dead_letters.get(cursor.destination, 0)
        return self.delivering.open_(receiver, cursor, self.max_backlog, letters)

    async def close(self, delivery: Delivery, /) -> None:
        await self.delivering.close(delivery)

    def let_go(self, delivery: Delivery, /) -> None:
        self.delivering.let_go(delivery)


def _label(delivery: Delivery) -> str:
    destination = delivery.status.destination
    return f"{delivery.receiver.name}/{destination}" if destination else delivery.receiver.name


async def _after(before: Sequence[asyncio.Task[None]], run: Callable[[], Awaitable[None]]) -> None:
    if before:
        await asyncio.wait(before)
    await run()
