"""Runs a state under load in a process that is killed, again and again; after each time the state must be whole.

`python crashing.py STATE ROUNDS SEED` ends with status 0, or says what it missed.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from collector.clock import Clock
from collector.model import Checkpoint, Lane, Page, Record, StreamId
from collector.store import Position, Store

POLLERS = [StreamId(f"tenant-{number}", "withsecure", "security_events") for number in range(4)]
MAX_SIZE = 3 << 20  # a WAL of 300 KiB: it is copied back all the time
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def record(stream: StreamId, page: int, index: int) -> Record:
    raw = random.Random(f"{stream}{page}{index}").randbytes(3_000)
    return Record(f"{stream.tenant}-{page}-{index}", page, NOW, raw)


async def poll(store: Store, stream: StreamId, acknowledged: int) -> None:
    """Commit page after page; number `n` holds `n % 4` records and the checkpoint that says so."""
    checkpoint = await store.checkpoint(stream, Lane.TIP)
    number = 0 if checkpoint is None or checkpoint.run is None else checkpoint.run["page"]
    while True:
        number += 1
        records = [record(stream, number, index) for index in range(number % 4)]
        page = Page(records, Checkpoint(NOW, {"page": number}), more=True, fetched_at=NOW)
        await store.commit_page(stream, Lane.TIP, page)
        os.write(acknowledged, f"page {POLLERS.index(stream)} {number}\n".encode())


async def deliver(store: Store, acknowledged: int) -> None:
    (cursor,) = await store.prepare_cursors({"siem": "earliest"}, {})
    position, state = cursor.position, cursor.state
    while True:
        chunk = await store.read(position, POLLERS, 20_000)
        count = sum(len(page.records) for page in chunk.pages) + int(state or b"0")
        state = str(count).encode()
        position = chunk.end
        await store.settle("siem", "", position, state=state, delivered={POLLERS[0]: (1, 1)})
        os.write(acknowledged, f"settle {position.seq} {count}\n".encode())
        await store.prune_bodies(Position(position.seq - 60), None)
        await store.vacuum(0)


async def live(path: Path, acknowledged: int) -> None:
    async with Store.open(path, max_size=MAX_SIZE, clock=Clock()) as store, asyncio.TaskGroup() as group:
        for stream in POLLERS:
            await store.add_stream(stream, "withsecure", "WithSecure")
        group.create_task(deliver(store, acknowledged))
        for stream in POLLERS:
            group.create_task(poll(store, stream, acknowledged))


async def inspect(path: Path, acknowledged: list[list[str]]) -> None:
    """Everything that was acknowledged is there; of what was not, nothing half."""
    async with Store.open(path, max_size=MAX_SIZE, clock=Clock()) as store:
        pages = {(words[1], int(words[2])) for words in acknowledged if words[0] == "page"}
        total = 0
        for which, stream in enumerate(POLLERS):
            await store.add_stream(stream, "withsecure", "WithSecure")  # it may have been killed before it did
            checkpoint = await store.checkpoint(stream, Lane.TIP)
            last = 0 if checkpoint is None or checkpoint.run is None else checkpoint.run["page"]
            lost = [page for poller, page in pages if poller == str(which) and page > last]
            expect(not lost, f"{stream}: pages {lost} were acknowledged, the checkpoint says {last}")
            ids = [(page, index) for page in range(1, last + 1) for index in range(page % 4)]
            again = [Record(f"{stream.tenant}-{page}-{index}", page, NOW, b"{}") for page, index in ids]
            known = await store.commit_page(stream, Lane.SWEEP, Page(again, Checkpoint(), more=False, fetched_at=NOW))
            expect(known.appended == 0, f"{stream}: the checkpoint says {last}, {known.appended} records are not there")
            total += len(ids)
        cursor = (await store.prepare_cursors({"siem": "earliest"}, {}))[0]
        settled = [words for words in acknowledged if words[0] == "settle"]
        if settled:
            expect(cursor.position.seq >= int(settled[-1][1]), "a settle was acknowledged and is gone")
        delivered = int(cursor.state or b"0")
        backlog = await store.backlog(cursor.position)
        expect(delivered + backlog.events == total, f"{delivered} + {backlog.events} events of {total}")
        after, seen = cursor.position, []
        while (chunk := await store.read(after, POLLERS, 1 << 20)).end > after:
            seen += [one for page in chunk.pages for one in page.records]
            after = chunk.end
        expect(
            len({one.id for one in seen}) == len(seen) == backlog.events, "the log holds a record twice or not at all"
        )
        for one in seen:
            tenant, number, page, index = one.id.split("-")
            expect(one == record(POLLERS[int(number)], int(page), int(index)), f"{tenant}-{number}: {one.id} differs")
        rows = await store._operators.read(lambda connection: connection.execute("PRAGMA integrity_check").fetchall())
        expect(rows == [("ok",)], str(rows))


def expect(good: bool, complaint: str) -> None:
    if not good:
        raise SystemExit(complaint)


def main(path: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    done = 0
    for turn in range(rounds):
        ends = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ends[0])
            asyncio.run(live(path, ends[1]))
        os.close(ends[1])
        if turn % 4:  # every fourth time it may not even have begun
            select.select([ends[0]], [], [])
        time.sleep(chance.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        with os.fdopen(ends[0]) as pipe:
            acknowledged = [line.split() for line in pipe if line.endswith("\n")]
        os.waitpid(child, 0)
        done += len(acknowledged)
        asyncio.run(inspect(path, acknowledged))
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
