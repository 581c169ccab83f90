"""Streams, pages and whole logs to store; what a test is about is given, the rest is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from collector.model import Checkpoint, Gap, Lane, Page, Record, StreamId
from collector.store import Committed, LogPage, NewDeadLetter, Position, Store
from collector.store.pruning import FIRST_KEY
from collector.testing import make_record
from collector.testing.clock import START

ACME = StreamId("acme", "withsecure", "security_events")
GLOBEX = StreamId("globex", "withsecure", "security_events")
INITECH = StreamId("initech", "withsecure", "security_events")
STREAMS = (ACME, GLOBEX, INITECH)
BEGIN = Position(1)
GIB = 1 << 30
MONTH = timedelta(days=30)
UNSTORABLE = make_record(0, id="\ud800")


def make_page(
    records: Iterable[Record | int], *, at: datetime = START, run: Any = None, gaps: Sequence[Gap] = ()
) -> Page:
    """A page of records, or of `make_record` of these numbers; `run` tells checkpoints apart."""
    made = [make_record(record) if isinstance(record, int) else record for record in records]
    return Page(made, Checkpoint(at, run), more=False, fetched_at=at, gaps=gaps, request_id="x-1")


def make_letter(number: int = 0, **changes: Any) -> NewDeadLetter:
    record = changes.pop("record", make_record(number))
    return NewDeadLetter(ACME, record, f"uid-{number}", record.id, START, changes.pop("reason", "too long"))


async def commit(store: Store, records: Iterable[Record | int], stream: StreamId = ACME, **more: Any) -> Committed:
    lane = more.pop("lane", Lane.TIP)
    return await store.commit_page(stream, lane, make_page(records, **more))


async def whole_log(store: Store, streams: Sequence[StreamId] = STREAMS, max_bytes: int = 1 << 20) -> list[LogPage]:
    """Everything a sink at the beginning would read."""
    pages: list[LogPage] = []
    after = BEGIN
    while (chunk := await store.read(after, streams, max_bytes)).end > after:
        pages += chunk.pages
        after = chunk.end
    return pages


async def ids(store: Store, streams: Sequence[StreamId] = STREAMS) -> list[str]:
    return [record.id for page in await whole_log(store, streams) for record in page.records]


async def prune_everything(store: Store, older_than: timedelta) -> None:
    """What the janitor does over a day, as if every sink had everything."""
    end = Position(await store.last_seq() + 1)
    while await store.prune_bodies(end, older_than):
        pass
    while await store.prune_pages(end, older_than):
        pass
    after: tuple[int, int, bytes] | None = FIRST_KEY
    while after is not None:
        after = await store.prune_ids(after, older_than)
    await store.thin_settles(older_than)


async def held_up(store: Store) -> Callable[[], None]:
    """Keep the writer busy, so that what is asked meanwhile makes one group; returns what lets it go on."""
    started, go_on = Event(), Event()

    def wait(_: object) -> None:
        started.set()
        go_on.wait()

    task = asyncio.get_running_loop().create_task(store._writer.call(wait))
    await asyncio.to_thread(started.wait)

    def release() -> None:
        assert not task.done()
        go_on.set()

    return release


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder but the lock."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix != ".lock"}
