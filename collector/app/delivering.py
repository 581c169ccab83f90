"""The running sinks: each with its delivery loop, started and stopped together with its cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from collector.clock import Clock
from collector.metrics import METRICS
from collector.pipeline.backlogs import Claim
from collector.pipeline.delivery import Delivery
from collector.pipeline.events import Events
from collector.pipeline.log import Log
from collector.pipeline.pausing import pause
from collector.pipeline.receiver import Receiver
from collector.pipeline.status import SinkStatus
from collector.store import Cursor, Store
from collector.supervisor import supervise

_LOOK_SECONDS = 0.02
# A cursor that only passes over pages of others is stored this often; together, so that they share transactions.
_PASS_SECONDS = 10.0
# For a loop that was cancelled.
_HANG_SECONDS = 20.0
_TOGETHER = 64


class Delivering:
    """Starts and stops sinks inside the task group it was given.

    A sink's claim on the log outlives its loop: what it has not got stays in the log while a reload replaces it.
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
        self._left: dict[str, Delivery] = {}
        self._ended = False
        self.deliveries: dict[str, Delivery] = {}

    def start(self, receiver: Receiver, cursor: Cursor, max_backlog: int, dead_letters: int = 0) -> None:
        """Deliver to a sink until it is stopped; `cursor` is where it stands. After `end` nothing is started.

        Raises:
            ValueError: the sink is running: two loops would deliver everything twice.
        """
        if self._ended:
            return
        name = receiver.name
        if name in self._tasks:
            raise ValueError(f"sink {name} is running already")
        self._let_go(name)
        METRICS.declare_sink(name)
        status = SinkStatus(name, cursor.destination, dead_letters=dead_letters)
        delivery = Delivery(receiver, cursor, self._store, self._log, self._events, self._clock, status)
        self.deliveries[name] = delivery
        self._claims[name] = Claim(delivery, receiver.required, max_backlog)
        loop = supervise("delivery", partial(_after, self._ending.get(name, []), delivery.run), self._clock)
        self._tasks[name] = self._group.create_task(loop, name=f"sink {name}")

    async def stop(self, names: Iterable[str], seconds: float) -> list[str]:
        """Stop these: after the batch they are at, or in the middle of it when that takes longer.

        Their claims stay until `start` or `forget`. Returns those that hang and have not ended: a new loop of theirs
        begins when they have.
        """
        leaving = {name: self.deliveries.pop(name) for name in names if name in self.deliveries}
        if not leaving:
            return []
        for delivery in leaving.values():
            delivery.stop()
        deadline = self._clock.monotonic() + seconds
        while not all(one.stopped for one in leaving.values()) and self._clock.monotonic() < deadline:
            await self._clock.sleep(_LOOK_SECONDS)
        for name in leaving:
            task = self._tasks.pop(name)
            task.cancel()
            self._ending.setdefault(name, []).append(task)
        await self._wait_for([task for name in leaving for task in self._ending[name]])
        for name in leaving:
            self._ending[name] = [task for task in self._ending[name] if not task.done()]
        self._left |= leaving
        return [name for name in leaving if self._ending[name]]

    async def _wait_for(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait until they have ended, but not for ever: a thread that waits for its disk can't be cancelled."""
        pending, ended = set(tasks), asyncio.Event()

        def note(task: asyncio.Task[None]) -> None:
            pending.discard(task)
            if not pending:
                ended.set()

        for task in list(pending):
            task.add_done_callback(note)
        await pause(self._clock, _HANG_SECONDS, ended)

    def forget(self, name: str) -> None:
        """A stopped sink that does not come back: the log need not keep anything for it."""
        self._let_go(name)
        self._ending.pop(name, None)
        METRICS.forget(sink=name)

    def _let_go(self, name: str) -> None:
        self._claims.pop(name, None)
        if name in self._left:
            delivery = self._left.pop(name)
            delivery.status.gone = True
            delivery.close()

    def claims(self) -> Sequence[Claim]:
        """What the janitor has to respect."""
        return list(self._claims.values())

    def waiting(self) -> list[str]:
        """The required sinks that have not delivered everything in the log."""
        return [name for name, delivery in self.deliveries.items() if delivery.receiver.required and not delivery.idle]

    async def drained(self, seconds: float) -> list[str]:
        """Wait until every required sink has delivered everything, at most so long; returns those that have not."""
        deadline = self._clock.monotonic() + seconds
        while self.waiting() and self._clock.monotonic() < deadline:
            await self._clock.sleep(_LOOK_SECONDS)
        return self.waiting()

    async def end(self, seconds: float) -> None:
        """Stop all, within so long, and store how far each has come; what was not settled comes at the next start."""
        self._ended = True
        await self._pass_over()
        await self.stop(list(self._tasks), seconds)

    async def pass_over(self) -> None:
        """Move the cursors of those that only skip, every now and then, for ever."""
        while True:
            await self._clock.sleep(_PASS_SECONDS)
            await self._pass_over()

    async def _pass_over(self) -> None:
        deliveries = list(self.deliveries.values())
        for first in range(0, len(deliveries), _TOGETHER):
            async with asyncio.TaskGroup() as group:
                for delivery in deliveries[first : first + _TOGETHER]:
                    group.create_task(delivery.pass_over(), name="pass over")


async def _after(before: Sequence[asyncio.Task[None]], run: Callable[[], Awaitable[None]]) -> None:
    if before:
        await asyncio.wait(before)
    await run()
