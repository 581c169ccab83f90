"""One process, one state: made whole, kept private, brought forward, refused to a second one."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import CollectorError, StoreError, StoreFull
from collector.model import Checkpoint, Lane
from collector.store import Position, Store, opening
from collector.testing import make_record
from collector.testing.clock import START
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, GIB, commit, contents, ids

STORED = Path(__file__).parents[2] / "data" / "store"
VERSIONS = [version for version, _ in opening.migrations()]

# Holds the state until its input ends.
HOLDER = """
import asyncio, sys
from pathlib import Path
from collector.clock import Clock
from collector.store import Store

async def hold():
    async with Store.open(Path(sys.argv[1]), max_size=1 << 30, clock=Clock()):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


# -- a new state -----------------------------------------------------------------------------


async def test_a_state_is_made_with_its_folder_for_its_owner_alone(opened: Open, path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened() as store:
            await store.prepare_cursors({"siem": "latest"}, {})
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["collector.db", "collector.db-wal", "collector.db-shm", "collector.db.lock"], 0o600)


async def test_a_closed_state_is_one_file_beside_its_lock(opened: Open, path: Path) -> None:
    async with opened():
        pass
    assert sorted(contents(path.parent)) == ["collector.db"]


async def test_what_a_crash_in_the_middle_of_creation_left_is_in_nobody_s_way(opened: Open, path: Path) -> None:
    path.parent.mkdir()
    for suffix in (".new", ".new-wal", ".new-shm", ".new-journal"):
        path.with_name(path.name + suffix).write_bytes(b"half a state")
    async with opened() as store:
        assert await store.last_seq() == 0
    assert sorted(contents(path.parent)) == ["collector.db"]


async def test_creation_that_fails_leaves_no_state(opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "migrations", lambda: [(1, "CREATE TABLE one (a); CREATE NONSENSE")])
    with pytest.raises(StoreError, match="syntax error"):
        async with opened():
            pass
    assert not path.exists()
    monkeypatch.undo()
    async with opened() as store:
        assert await store.last_seq() == 0


async def test_the_state_is_set_up_to_be_durable(store: Store) -> None:
    def pragmas(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "page_size", "application_id", "secure_delete")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    for worker in (store._writer, store._delivery, store._operators):
        assert await worker.call(pragmas) == ["wal", 2, 2, 4096, 0x45445243, 2]


async def test_readers_can_not_write(store: Store) -> None:
    for worker in (store._delivery, store._operators):
        with pytest.raises(StoreError, match="readonly"):
            await worker.call(lambda connection: connection.execute("DELETE FROM pages"))


@pytest.mark.parametrize(
    ("max_size", "expected"), [(GIB, 16 << 20), (20 << 20, 2 << 20), (1 << 50, 16 << 20), (1000, 100)]
)
def test_the_wal_may_take_a_tenth_at_most_16_mib(tmp_path: Path, max_size: int, expected: int) -> None:
    assert opening.wal_limit(tmp_path / "collector.db", max_size) == expected


def test_a_connection_that_can_not_be_set_up_is_not_left_open(tmp_path: Path) -> None:
    garbage = tmp_path / "collector.db"
    garbage.write_bytes(os.urandom(5000))
    with pytest.raises(sqlite3.DatabaseError):
        opening.connect(garbage, max_size=GIB)
    held = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(garbage) not in held


# -- the lock --------------------------------------------------------------------------------


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the state open."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process


async def test_a_second_process_is_refused(opened: Open, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreError, match="in use by another collector"):
        async with opened():
            pass
    holder.communicate()
    assert holder.returncode == 0
    async with opened() as store:
        assert await store.last_seq() == 0


async def test_a_process_that_was_killed_holds_nothing(opened: Open, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    async with opened() as store:
        assert await store.last_seq() == 0


async def test_another_name_for_the_same_file_finds_the_same_lock(
    store: Store, opened: Open, path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for name in (elsewhere / "link.db", tmp_path / "folder" / path.name, path.parent / ".." / "state" / path.name):
        with pytest.raises(StoreError, match="in use by another collector"):
            async with opened(name):
                pass


async def test_the_lock_is_held_until_the_last_write_is_done(opened: Open, path: Path) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
    with opening.lock(path), pytest.raises(StoreError, match="in use"), opening.lock(path):
        pass
    with opening.lock(path):
        pass


async def test_a_state_can_be_opened_again_after_a_failure_inside(opened: Open) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened():
            raise ZeroDivisionError
    async with opened() as store:
        assert await store.last_seq() == 0


async def test_a_file_system_that_can_not_lock_is_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="No locks available"):
        async with opened():
            pass


@pytest.mark.parametrize(("number", "expected"), [(errno.EACCES, StoreError), (errno.ENOSPC, StoreFull)])
async def test_a_folder_that_can_not_be_written_is_refused(
    opened: Open, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[CollectorError]
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(expected):
        async with opened():
            pass


async def test_a_file_in_the_folder_s_place_is_refused(opened: Open, path: Path) -> None:
    path.parent.write_bytes(b"")
    with pytest.raises(StoreError, match="File exists"):
        async with opened():
            pass


# -- versions --------------------------------------------------------------------------------


def test_versions_count_from_one_without_a_gap() -> None:
    assert list(range(1, len(VERSIONS) + 1)) == VERSIONS


def test_a_state_of_every_version_is_kept_to_be_opened() -> None:
    stored = {path.name for path in STORED.iterdir()}
    assert stored == {f"version-{version}.db.gz" for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_state_of_any_version_is_brought_forward_with_all_that_is_in_it(
    opened: Open, path: Path, version: int
) -> None:
    path.parent.mkdir()
    path.write_bytes(gzip.decompress((STORED / f"version-{version}.db.gz").read_bytes()))
    for _ in range(2):
        async with opened() as store:
            assert store.streams() == {ACME: "withsecure"}
            assert await ids(store) == [f"event-{number}" for number in range(6)]
            assert await store.checkpoint(ACME, Lane.TIP) == Checkpoint(START, {"anchor": "a-2"}, {"pages": 2})
            assert len(await store.gaps()) == 1
            (cursor,) = await store.cursors()
            assert (cursor.sink, cursor.position, cursor.state) == ("archive", Position(2, 1), b"files")
            (letter,) = await store.dead_letters()
            assert (letter.record, letter.reason) == (make_record(3), "too long")
            assert (await commit(store, range(6), lane=Lane.SWEEP)).appended == 0
            version_now = await store._writer.call(lambda c: c.execute("PRAGMA user_version").fetchone()[0])
            assert version_now == VERSIONS[-1]
    async with opened() as store, opened(path.with_name("fresh.db")) as fresh:
        assert await schema(store) == await schema(fresh)


async def schema(store: Store) -> list[tuple[str, str]]:
    return await store._writer.call(
        lambda c: c.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    )


async def test_steps_forward_are_taken_in_order_and_once(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = opening.migrations()
    async with opened():
        pass
    more = [*known, (98, "CREATE TABLE new (a);\nINSERT INTO new VALUES (1);"), (99, "UPDATE new SET a = a + 1;")]
    monkeypatch.setattr(opening, "migrations", lambda: more)
    for _ in range(2):
        async with opened() as store:
            found = await store._writer.call(lambda c: c.execute("SELECT a FROM new").fetchall())
            assert found == [(2,)]
    monkeypatch.setattr(opening, "migrations", lambda: known)
    with pytest.raises(StoreError, match="of version 99, newer"):
        async with opened():
            pass


async def test_a_step_that_fails_leaves_the_state_as_it_was(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [1])
    before = contents(path.parent)
    more = [
        *opening.migrations(),
        (98, "CREATE TABLE new (a);\nDROP TABLE gaps;"),
        (99, "INSERT INTO nowhere VALUES (1);"),
    ]
    monkeypatch.setattr(opening, "migrations", lambda: more)
    with pytest.raises(StoreError, match="no such table: nowhere"):
        async with opened():
            pass
    assert contents(path.parent) == before
    monkeypatch.undo()
    async with opened() as store:
        assert await ids(store) == ["event-1"]


async def test_a_copy_that_lost_the_wal_mode_gets_it_back(opened: Open, path: Path) -> None:
    async with opened():
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    async with opened() as store:
        mode = await store._writer.call(lambda c: c.execute("PRAGMA journal_mode").fetchone())
        assert mode == ("wal",)
