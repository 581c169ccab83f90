"""The running sinks: each with its delivery loop, started and stopped together with its cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collector.clock import Clock
from collector.metrics import METRICS
from collector.pipeline.delivery import Delivery, Receiver
from collector.pipeline.events import Events
from collector.pipeline.janitor import Claim
from collector.pipeline.log import Log
from collector.pipeline.status import SinkStatus
from collector.store import Cursor, Store
from collector.supervisor import supervise


class Delivering:
    """Starts and stops sinks inside the task group it was given."""

    def __init__(self, group: asyncio.TaskGroup, store: Store, log_: Log, events: Events, clock: Clock) -> None:
        self._group = group
        self._store = store
        self._log = log_
        self._events = events
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._claims: dict[str, Claim] = {}
        self.deliveries: dict[str, Delivery] = {}

    def start(self, receiver: Receiver, cursor: Cursor, max_backlog: int) -> None:
        """Deliver to a sink until it is stopped; `cursor` is where it stands."""
        name = receiver.name
        METRICS.declare_sink(name)
        status = SinkStatus(name, cursor.destination)
        delivery = Delivery(receiver, cursor, self._store, self._log, self._events, self._clock, status)
        self.deliveries[name] = delivery
        self._claims[name] = Claim(delivery, receiver.stage.takes_stream, receiver.required, max_backlog)
        loop = supervise("delivery", delivery.run, self._clock)
        self._tasks[name] = self._group.create_task(loop, name=f"sink {name}")

    async def stop(self, name: str) -> None:
        """Stop delivering to a sink and wait until it has stopped; its cursor stays in the state."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait({task})
        del self.deliveries[name], self._claims[name]

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

    def cancel(self) -> None:
        """End every delivery loop; what was not settled comes again at the next start."""
        for task in self._tasks.values():
            task.cancel()


_LOOK_SECONDS = 0.05
