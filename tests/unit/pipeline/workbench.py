"""The pipeline around a real store, with a source and sinks of the test's own making."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from collector.errors import StoreFull
from collector.model import Checkpoint, Event, Lane, Normalized, Page, Record, StreamId
from collector.pipeline.batching import Stage
from collector.pipeline.delivery import Delivery
from collector.pipeline.events import Events, Vendor
from collector.pipeline.log import Log
from collector.pipeline.receiver import Receiver
from collector.pipeline.status import SinkStatus
from collector.store import Cursor, DeadLetter, Position, Store
from collector.testing import FakeClock, RecordingConfig, RecordingSink, make_record, recording_plugin
from collector.testing.clock import START

GIB = 1 << 30
BEGIN = Position(1)
ACME = StreamId("acme", "withsecure", "security_events")
BETA = StreamId("beta", "withsecure", "security_events")


def normalize(feed: str, record: Record) -> Normalized:
    """Understands every record but those that say they are broken."""
    if b"broken" in record.raw:
        raise ValueError(feed)
    unknown = ("surprise",) if b"surprise" in record.raw else ()
    return Normalized(
        id=record.id,
        kind="security_event",
        severity="medium",
        severity_vendor="warning",
        title="",
        recorded_at=record.recorded_at,
        unknown=unknown,
    )


VENDORS = {"withsecure": Vendor("WithSecure", "Elements", normalize)}


def encode(event: Event) -> bytes:
    """The vendor's own bytes; fails for events that say so."""
    if b"unwritable" in event.raw:
        raise ValueError(event.id)
    return event.raw


@dataclass
class Route:
    """What a sink takes: streams, and of those the events that are not marked."""

    streams: frozenset[StreamId] | None = None
    but: bytes = b"\x00"
    asked: list[StreamId] = field(default_factory=list)

    def takes_stream(self, stream: StreamId) -> bool:
        self.asked.append(stream)
        return self.streams is None or stream in self.streams

    def takes(self, event: Event) -> bool:
        return self.but not in event.raw

    @property
    def stage(self) -> Stage:
        return Stage(self.takes_stream, self.takes, encode)


def only(*streams: StreamId) -> Route:
    return Route(frozenset(streams))


class FullStore:
    """A store on a volume that is full for as long as a test says; counts what it refused."""

    def __init__(self, store: Store, *verbs: str) -> None:
        self._store = store
        self.full = set(verbs)
        self.refused: list[str] = []

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in self.full:
            return verb

        async def refuse(*args: object, **kwargs: object) -> None:
            self.refused.append(name)
            await asyncio.sleep(0)
            raise StoreFull("no room")

        return refuse


class Workbench:
    """Commits pages and runs loops; everything ends with the context."""

    def __init__(self, store: Store, clock: FakeClock, *, tail_bytes: int = 1 << 24) -> None:
        self.store = store
        self.clock = clock
        self.log = Log(store, 0, tail_bytes)
        self.events = Events(VENDORS, {})
        self.tasks: list[asyncio.Task[Any]] = []
        self.numbers = 0
        store.on_page = self.log.append

    async def __aenter__(self) -> Self:
        for stream in (ACME, BETA):
            await self.store.add_stream(stream, "withsecure", "WithSecure")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def append(self, count: int = 1, stream: StreamId = ACME, **changes: Any) -> list[Record]:
        """Commit a page of so many new records."""
        records = [make_record(self.numbers + number, **changes) for number in range(count)]
        self.numbers += count
        await self.commit(records, stream)
        return records

    async def commit(self, records: list[Record], stream: StreamId = ACME, at: datetime = START) -> None:
        await self.store.commit_page(stream, Lane.TIP, Page(records, Checkpoint(at), more=False, fetched_at=at))

    async def delivery(
        self,
        sink: RecordingSink,
        name: str = "archive",
        route: Route | None = None,
        *,
        required: bool = True,
        volume: FullStore | None = None,
    ) -> Delivery:
        """A delivery loop that is not yet run, with its cursor at the beginning unless the store knows better."""
        cursor = await self.cursor(name)
        receiver = Receiver(name, recording_plugin(sink), RecordingConfig(), (route or Route()).stage, required)
        store: Any = volume or self.store  # the one stands in for the other
        return Delivery(receiver, cursor, store, self.log, self.events, self.clock, SinkStatus(name, ""))

    async def cursor(self, name: str = "archive") -> Cursor:
        cursors = await self.store.prepare_cursors({name: "earliest"}, {})
        return next(cursor for cursor in cursors if cursor.sink == name)

    async def pass_over(self, delivery: Delivery, volume: FullStore | None = None) -> None:
        """Store where a delivery has come to without delivering, as is done now and then."""
        moved = delivery.passed()
        if moved is not None:
            store: Any = volume or self.store
            with suppress(StoreFull):
                await store.pass_over([moved])

    async def position(self, name: str = "archive") -> Position:
        return (await self.cursor(name)).position

    async def letters(self) -> list[DeadLetter]:
        return await self.store.dead_letters()

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def delivered(self, sink: RecordingSink, count: int) -> None:
        """Wait until the sink has so many events."""
        await until(lambda: len(sink.lines) >= count)

    async def settled(self, position: Position, name: str = "archive") -> None:
        """Wait until the cursor has come so far."""

        async def there() -> bool:
            return await self.position(name) >= position

        await until_async(there)


async def until(condition: Callable[[], object]) -> None:
    """Let everything run, threads too, until it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- threads run too, and nobody tells
            await asyncio.sleep(0.001)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.001)


async def quiet(turns: int = 30) -> None:
    """Let everything run for a little while, to see that nothing happens."""
    for _ in range(turns):
        await asyncio.sleep(0.001)


def ids(lines: list[bytes]) -> list[int]:
    """The numbers of the events that were delivered, in order."""
    return [int(line.split(b'"')[3].removeprefix(b"event-")) for line in lines]
