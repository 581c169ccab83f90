"""A backup of a running state is a state: whole, private, and never in place of another file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from collector.errors import StoreError
from collector.model import Lane
from collector.store import Position, Store, backup, reading
from collector.testing import make_record
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, BEGIN, GIB, STREAMS, commit, contents, ids, make_letter


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "collector.db"


async def test_a_backup_is_a_state_as_of_one_moment(store: Store, opened: Open, target: Path) -> None:
    for number in range(30):
        await commit(store, [2 * number, 2 * number + 1], STREAMS[number % 3], run={"n": number})
    await store.settle("siem", "", Position(7, 1), state=b"s", dead_letters=[make_letter()])
    await store.prune_bodies(Position(4), None)

    async def go_on() -> None:
        for number in range(30, 60):
            await commit(store, [2 * number, 2 * number + 1], run={"n": number})

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        group.create_task(store.backup(target))
    whole = await ids(store)
    async with opened(target) as copy:
        copied = await ids(copy)
        assert copied == whole[: len(copied)]
        assert len(copied) >= 54
        checkpoint = await copy.checkpoint(ACME, Lane.TIP)
        last = (len(copied) + 6) // 2 - 1
        assert checkpoint is not None
        assert last < 30 or checkpoint.run == {"n": last}
        assert [(c.position, c.state) for c in await copy.cursors()] == [(Position(7, 1), b"s")]
        assert len(await copy.dead_letters()) == 1
        assert (await commit(copy, [0, 1, 6, 7, 10**6])).records == [make_record(10**6)]
        assert await copy.last_seq() == last + 2


async def test_a_number_is_not_given_again_by_a_backup_either(store: Store, opened: Open, target: Path) -> None:
    await commit(store, [1])
    await store.prune_bodies(Position(2), None)
    await store.backup(target)
    async with opened(target) as copy:
        assert await copy.last_seq() == 1
        assert (await commit(copy, [2])).seq == 2


async def test_a_backup_is_one_file_for_its_owner_alone(store: Store, target: Path) -> None:
    before = os.umask(0)
    try:
        await store.backup(target)
    finally:
        os.umask(before)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"somebody's file"])
async def test_a_backup_overwrites_nothing(store: Store, target: Path, content: bytes) -> None:
    target.write_bytes(content)
    with pytest.raises(StoreError, match="overwrites nothing"):
        await store.backup(target)
    assert contents(target.parent) == {target.name: content}


async def test_the_state_itself_is_no_target(store: Store, path: Path) -> None:
    await commit(store, [1])
    with pytest.raises(StoreError, match="overwrites nothing"):
        await store.backup(path)
    assert await ids(store) == ["event-1"]


async def test_a_backup_that_fails_leaves_nothing(store: Store, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="Input/output error"):
            await store.backup(target)
    assert list(target.parent.iterdir()) == []
    await store.backup(target)
    assert target.exists()


async def test_a_backup_into_a_folder_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        await store.backup(tmp_path / "nowhere" / "collector.db")


async def test_what_a_killed_backup_left_is_in_nobody_s_way(store: Store, opened: Open, target: Path) -> None:
    target.with_name(target.name + ".part").write_bytes(b"half a backup")
    await commit(store, [1])
    await store.backup(target)
    async with opened(target) as copy:
        assert await ids(copy) == ["event-1"]


async def test_neither_readers_nor_the_janitor_wait_for_a_backup(
    store: Store, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, go_on = backup.write, threading.Event()

    def take_long(connection: sqlite3.Connection, to: Path) -> None:
        assert go_on.wait(60)
        write(connection, to)

    monkeypatch.setattr(backup, "write", take_long)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(store.backup(target))
        await asyncio.sleep(0)
        await commit(store, [1])
        await store.read(BEGIN, STREAMS, GIB)
        await store.backlog(BEGIN)
        assert not running.done()
        go_on.set()
    assert target.exists()


async def test_a_full_check_keeps_nobody_waiting_either(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def take_long(_: sqlite3.Connection) -> list[str]:
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(reading, "damage", take_long)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(store.full_check())
        await asyncio.sleep(0)
        await commit(store, [1])
        await store.usage()
        assert not running.done()
        go_on.set()
    assert running.result() == []
