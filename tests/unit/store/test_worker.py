"""Group commit: in call order, durable before it is answered, and one bad write harms its own caller only."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from collector.errors import CollectorError, PageRefused, StoreError, StoreFull
from collector.store.worker import MAX_GROUP, Reader, Work, Writer


class Sabotaged(sqlite3.Connection):
    """Raises what a test says when it comes to a statement; notes the statements of transactions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.raises: dict[str, list[Exception]] = {}
        self.transactions: list[str] = []

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        verb = sql.split(maxsplit=1)[0]
        if self.raises.get(verb):
            raise self.raises[verb].pop(0)
        if verb in {"BEGIN", "COMMIT"}:
            self.transactions.append(verb)
        return super().execute(sql, *args)

    def rollback(self) -> None:
        super().rollback()
        if self.raises.get("ROLLBACK"):
            raise self.raises["ROLLBACK"].pop(0)


def connect(path: Path) -> Sabotaged:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Sabotaged)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    path = tmp_path / "rows.db"
    writer = Writer(partial(connect, path), path, idle)
    await writer.call(lambda c: c.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)").fetchall())
    yield writer
    await writer.close()


def idle(_: sqlite3.Connection) -> None:
    """Tidy nothing up."""


def insert(number: Any) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO rows VALUES (?)", (number,))
        return int(number)

    return work


def fail(exc: BaseException) -> Work[int]:
    def work(_: sqlite3.Connection) -> int:
        raise exc

    return work


async def rows(writer: Writer) -> list[int]:
    """In the order in which they were written to the table is in the order of their numbers."""
    return await writer.call(lambda c: [row[0] for row in c.execute("SELECT n FROM rows ORDER BY n")])


async def sabotage(writer: Writer, verb: str, *errors: Exception) -> None:
    def work(connection: sqlite3.Connection) -> None:
        assert isinstance(connection, Sabotaged)
        connection.raises[verb] = list(errors)

    await writer.call(work)


async def transactions(writer: Writer) -> list[str]:
    def work(connection: sqlite3.Connection) -> list[str]:
        assert isinstance(connection, Sabotaged)
        return connection.transactions

    return await writer.call(work)


async def in_one_group(writer: Writer, works: list[Work[int]], told: list[int] | None = None) -> list[Any]:
    """What each of the writes returned or raised."""
    go_on = threading.Event()
    then = None if told is None else told.append
    async with asyncio.TaskGroup() as group:
        holding = group.create_task(writer.call(lambda _: go_on.wait()))
        writes = [group.create_task(outcome(writer.write(work, then=then))) for work in works]
        await asyncio.sleep(0)  # all of them are queued now
        go_on.set()
    assert holding.done()
    return [write.result() for write in writes]


async def outcome(write: Any) -> Any:
    try:
        return await write
    except CollectorError as exc:
        return exc


async def test_a_write_returns_what_its_work_returned(writer: Writer) -> None:
    assert await writer.write(insert(7)) == 7
    assert await rows(writer) == [7]


async def test_what_is_queued_shares_one_transaction(writer: Writer) -> None:
    assert await in_one_group(writer, [insert(n) for n in range(10)]) == list(range(10))
    assert await transactions(writer) == ["BEGIN", "COMMIT"]


async def test_a_group_has_an_end(writer: Writer) -> None:
    await in_one_group(writer, [insert(n) for n in range(MAX_GROUP + 1)])
    assert await transactions(writer) == ["BEGIN", "COMMIT"] * 2


async def test_one_poisoned_write_is_refused_and_the_others_are_stored_in_order(writer: Writer) -> None:
    told: list[int] = []
    works = [insert(3), insert(1), fail(ValueError("no number")), insert(2)]
    results = await in_one_group(writer, works, told)
    assert results[:2] == [3, 1]
    assert results[3] == 2
    assert isinstance(results[2], PageRefused)
    assert isinstance(results[2].__cause__, ValueError)
    assert told == [3, 1, 2]
    assert await rows(writer) == [1, 2, 3]


async def test_a_write_that_breaks_a_constraint_is_refused_alone(writer: Writer) -> None:
    results = await in_one_group(writer, [insert(1), insert(1), insert(2)])
    assert isinstance(results[1], PageRefused)
    assert await rows(writer) == [1, 2]


async def test_a_refused_write_leaves_nothing_of_itself(writer: Writer) -> None:
    def half(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        raise LookupError

    with pytest.raises(PageRefused):
        await writer.write(half)
    assert await rows(writer) == []


async def test_our_own_errors_pass_as_they_are(writer: Writer) -> None:
    refusal = PageRefused("not this one")
    with pytest.raises(PageRefused) as caught:
        await writer.write(fail(refusal))
    assert caught.value is refusal


async def test_a_commit_that_fails_is_tried_write_by_write(writer: Writer) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    await sabotage(writer, "COMMIT", full, full)
    results = await in_one_group(writer, [insert(1), insert(2)])
    assert isinstance(results[0], StoreFull)
    assert results[1] == 2
    assert await rows(writer) == [2]


async def test_a_rollback_that_fails_is_an_error_of_the_state(writer: Writer) -> None:
    await sabotage(writer, "ROLLBACK", sqlite3.OperationalError("disk I/O error"))
    with pytest.raises(StoreError, match="disk I/O error"):
        await writer.write(fail(ValueError("no number")))
    assert await writer.write(insert(1)) == 1


async def test_a_transaction_that_can_not_begin_is_an_error_of_the_state(writer: Writer) -> None:
    await sabotage(writer, "BEGIN", sqlite3.OperationalError("database is locked"))
    with pytest.raises(StoreError, match="locked"):
        await writer.write(insert(1))


async def test_a_system_error_is_translated(writer: Writer) -> None:
    with pytest.raises(StoreError, match=r"rows\.db: broken"):
        await writer.write(fail(OSError(5, "broken")))


async def test_a_bug_of_ours_ends_the_wait_and_shows_its_cause(writer: Writer) -> None:
    results = await in_one_group(writer, [insert(1), fail(RuntimeError("a bug")), insert(2)])
    assert all(isinstance(result, StoreError) for result in results)
    assert isinstance(results[0].__cause__, RuntimeError)
    assert await rows(writer) == []
    assert await writer.write(insert(3)) == 3


async def test_listeners_are_told_in_commit_order(writer: Writer) -> None:
    told: list[int] = []
    await in_one_group(writer, [insert(n) for n in (5, 3, 4)], told)
    assert told == [5, 3, 4]


async def test_a_cancelled_caller_s_write_is_stored_and_told_all_the_same(writer: Writer) -> None:
    told: list[int] = []
    go_on = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.call(lambda _: go_on.wait()))
        first = group.create_task(writer.write(insert(1), then=told.append))
        cancelled = group.create_task(writer.write(insert(2), then=told.append))
        last = group.create_task(writer.write(insert(3), then=told.append))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        go_on.set()
    assert cancelled.cancelled()
    assert (first.result(), last.result()) == (1, 3)
    assert told == [1, 2, 3]
    assert await rows(writer) == [1, 2, 3]


async def test_a_refused_write_of_a_cancelled_caller_disturbs_nobody(writer: Writer) -> None:
    go_on = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.call(lambda _: go_on.wait()))
        cancelled = group.create_task(writer.write(fail(ValueError())))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        go_on.set()
    assert await writer.write(insert(1)) == 1


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_listener_that_fails_harms_no_other_caller(writer: Writer, cancel: bool) -> None:
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))

    def stumble(_: int) -> None:
        raise RuntimeError("a bug")

    go_on = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.call(lambda _: go_on.wait()))
        stumbling = group.create_task(outcome(writer.write(insert(1), then=stumble)))
        other = group.create_task(writer.write(insert(2)))
        await asyncio.sleep(0)
        if cancel:
            stumbling.cancel()
        go_on.set()
    assert other.result() == 2
    assert cancel or isinstance(stumbling.result(), StoreError)
    assert [str(context["exception"]) for context in seen] == ["a bug"]


async def test_closing_finishes_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    writer = Writer(partial(connect, path), path, idle)
    await writer.call(lambda c: c.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)").fetchall())
    async with asyncio.TaskGroup() as group:
        writes = [group.create_task(writer.write(insert(n))) for n in range(MAX_GROUP * 3)]
        await asyncio.sleep(0)
        await writer.close()
    assert [write.result() for write in writes] == list(range(MAX_GROUP * 3))


async def test_closing_goes_to_its_end_although_the_caller_is_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    writer = Writer(partial(connect, path), path, idle)
    await writer.call(lambda c: c.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)").fetchall())
    go_on = threading.Event()

    def slow(connection: sqlite3.Connection) -> int:
        go_on.wait()
        return insert(1)(connection)

    async with asyncio.TaskGroup() as group:
        write = group.create_task(writer.write(slow))
        await asyncio.sleep(0)
        closing = group.create_task(writer.close())
        await asyncio.sleep(0)
        closing.cancel()
        threading.Timer(0.05, go_on.set).start()
        await asyncio.wait({closing})
        assert writer._connection is None  # else the lock would go while the thread still writes
    assert closing.cancelled()
    assert write.result() == 1


@pytest.mark.parametrize("kind", [Reader, Writer])
async def test_a_closed_state_says_so(tmp_path: Path, kind: Callable[..., Any]) -> None:
    path = tmp_path / "rows.db"
    worker = (
        Reader(partial(connect, path), path, "readers")
        if kind is Reader
        else Writer(partial(connect, path), path, idle)
    )
    await worker.close()
    await worker.close()
    with pytest.raises(StoreError, match="closed"):
        await worker.call(lambda _: None)
    if isinstance(worker, Writer):
        with pytest.raises(StoreError, match="closed"):
            await worker.write(insert(1))


def test_a_loop_that_is_gone_hinders_no_write(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    go_on = threading.Event()

    async def abandon() -> Writer:
        writer = Writer(partial(connect, path), path, idle)
        await writer.call(lambda c: c.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)").fetchall())
        writer._executor.submit(go_on.wait)
        task = asyncio.get_running_loop().create_task(writer.write(insert(1)))
        await asyncio.sleep(0)
        task.cancel()
        return writer

    writer = asyncio.run(abandon())
    go_on.set()
    writer._executor.submit(writer._disconnect)
    writer._executor.shutdown(wait=True)
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT n FROM rows").fetchall() == [(1,)]


async def test_a_reader_reads_and_translates(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    reader = Reader(partial(connect, path), path, "delivery")
    assert await reader.read(lambda c: c.execute("SELECT 1").fetchone()) == (1,)
    with pytest.raises(StoreError, match="no such table"):
        await reader.read(lambda c: c.execute("SELECT * FROM elsewhere").fetchone())
    with pytest.raises(StoreError, match="is damaged"):
        await reader.read(fail(OverflowError("date value out of range")))
    with pytest.raises(StoreError, match="gone"):
        await reader.read(fail(FileNotFoundError(2, "gone")))
    await reader.close()


async def test_a_connection_that_can_not_be_made_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "rows.db"
    reader = Reader(partial(connect, path), path, "delivery")
    with pytest.raises(StoreError, match="unable to open"):
        await reader.read(lambda c: c.execute("SELECT 1").fetchone())
    path.parent.mkdir()
    assert await reader.read(lambda c: c.execute("SELECT 1").fetchone()) == (1,)
    await reader.close()


async def test_after_every_group_the_writer_tidies_up_outside_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    tidied: list[bool] = []
    writer = Writer(partial(connect, path), path, lambda connection: tidied.append(connection.in_transaction))
    await writer.call(lambda c: c.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)").fetchall())
    await in_one_group(writer, [insert(n) for n in range(3)])
    await in_one_group(writer, [insert(9), fail(ValueError())])
    await writer.close()
    assert tidied == [False, False]


async def test_where_there_is_no_connection_there_is_nothing_to_tidy_up(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "rows.db"
    tidied: list[object] = []
    writer = Writer(partial(connect, path), path, tidied.append)
    with pytest.raises(StoreError, match="unable to open"):
        await writer.write(insert(1))
    await writer.close()
    assert tidied == []
