"""The WAL is kept short, whoever reads meanwhile, and never at the cost of a commit."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.store import Position, Store, opening, wal
from collector.testing import FakeClock, make_record
from tests.unit.store.samples import ACME, BEGIN, GIB, STREAMS, commit, make_letter

MAX_SIZE = 4 << 20
LIMIT = MAX_SIZE // 10


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with Store.open(path, max_size=MAX_SIZE, clock=clock) as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        yield store


@pytest.fixture
def file(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


async def test_the_wal_stays_under_its_limit_and_can_be_cut(store: Store, file: Path) -> None:
    largest = 0
    for number in range(100):
        await commit(store, [make_record(number, raw=os.urandom(20_000))])
        await store.read(Position(number // 2 + 1), STREAMS, 100_000)
        largest = max(largest, file.stat().st_size)
    assert largest <= LIMIT
    assert await store.truncate_wal()
    assert file.stat().st_size == 0


async def test_the_wal_stays_under_its_limit_while_readers_take_turns(store: Store, file: Path) -> None:
    committing = True
    largest = 0

    async def read() -> None:
        while committing:
            await store.read(BEGIN, STREAMS, GIB)

    async def measure() -> None:
        while committing:
            await store.backlog(BEGIN, STREAMS)
            await store.backlog(BEGIN)

    async with asyncio.TaskGroup() as group:
        for reader in (read(), read(), measure(), measure()):
            group.create_task(reader)
        for number in range(150):
            await commit(store, [make_record(number, raw=os.urandom(20_000))])
            largest = max(largest, file.stat().st_size)
        committing = False
    assert largest <= LIMIT + 2 * 40_000  # a reader may hold on for a moment


async def test_a_reader_that_holds_on_is_not_waited_for(store: Store, path: Path, file: Path) -> None:
    with closing(opening.connect(path, max_size=GIB, read_only=True)) as reader:
        await commit(store, [1])
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM pages").fetchone()
        began = time.perf_counter()
        for number in range(60):
            await commit(store, [make_record(number, raw=os.urandom(20_000))])
        assert not await store.truncate_wal()
        assert time.perf_counter() - began < 3.0
        assert file.stat().st_size > 2 * LIMIT
        await store.settle("siem", "", Position(1), dead_letters=[make_letter()])
        reader.execute("ROLLBACK")
    assert await store.truncate_wal()
    assert file.stat().st_size == 0


async def test_looking_after_the_wal_leaves_the_writer_s_patience_as_it_was(store: Store) -> None:
    await store.truncate_wal()
    patience = await store._writer.call(lambda c: c.execute("PRAGMA busy_timeout").fetchone())
    assert patience == (opening.BUSY_SECONDS * 1000,)


async def test_a_reader_in_the_way_is_tried_again_after_half_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, tries = 100.0, 0
    answers = [False, False, True, True]

    def truncate(_: sqlite3.Connection) -> bool:
        nonlocal tries
        tries += 1
        return answers[tries - 1]

    monkeypatch.setattr(wal, "truncate", truncate)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    (tmp_path / "collector.db-wal").write_bytes(bytes(1000))
    limit = wal.WalLimit(tmp_path / "collector.db", 1000)
    found = []
    with closing(sqlite3.connect(":memory:")) as connection:
        for now in (100.0, 100.4, 100.5, 100.9, 101.0, 101.1):  # noqa: B007 -- `monotonic` reads it
            limit.keep(connection)
            found.append(tries)
    assert found == [1, 1, 2, 2, 3, 4]


@pytest.mark.parametrize("exc", [sqlite3.OperationalError("disk I/O error"), OSError(5, "Input/output error")])
async def test_a_wal_that_can_not_be_cut_fails_no_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch, exc: Exception
) -> None:
    def refuse(_: sqlite3.Connection) -> bool:
        raise exc

    monkeypatch.setattr(wal, "truncate", refuse)
    await store._writer.call(wal.WalLimit(store.path, 0).keep)
    await store._writer.call(wal.WalLimit(store.path.with_name("gone"), 0).keep)
    for number in range(40):
        assert (await commit(store, [make_record(number, raw=os.urandom(20_000))])).appended == 1
