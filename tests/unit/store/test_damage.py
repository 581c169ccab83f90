"""A file that is not whole, not ours or too new is refused, and stays as it is to the byte."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from collector.errors import StoreError
from collector.store import Position, Store, damage, opening
from collector.store.opening import PAGE_BYTES
from collector.testing import make_record
from tests.unit.store.conftest import Open
from tests.unit.store.samples import (
    ACME,
    BEGIN,
    STREAMS,
    commit,
    contents,
    ids,
    make_letter,
    prune_everything,
    whole_log,
)

NEWEST = opening.migrations()[-1][0]


@pytest.fixture
async def whole(opened: Open, path: Path) -> Path:
    """A closed state with some pages in it."""
    async with opened() as store:
        await fill(store)
    return path


async def fill(store: Store) -> None:
    for stream in STREAMS:
        await store.add_stream(stream, "withsecure", "WithSecure")
    await store.prepare_cursors({"siem": "earliest"}, {})
    for number in range(20):
        await commit(store, [make_record(number, raw=os.urandom(9_000))], STREAMS[number % 3])
    await store.settle("siem", "", Position(1), dead_letters=[make_letter()], delivered={ACME: (1, 1)})


async def assert_refused(opened: Open, path: Path, *words: str) -> None:
    before = contents(path.parent)
    with pytest.raises(StoreError) as caught:
        async with opened(path):
            pass
    assert contents(path.parent) == before
    for word in (path.name, *words):
        assert word in str(caught.value)


def change(path: Path, where: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(what)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 99])
async def test_a_file_too_short_for_a_header_is_refused(opened: Open, whole: Path, length: int) -> None:
    os.truncate(whole, length)
    await assert_refused(opened, whole, "is damaged", "restore a backup")


async def test_a_file_cut_at_any_length_is_refused(opened: Open, whole: Path) -> None:
    original = whole.read_bytes()
    size = len(original)
    lengths = {100, 101, size // 2, size - 1, size - 100, size - PAGE_BYTES, size - PAGE_BYTES - 1}
    lengths |= {page * PAGE_BYTES + offset for page in range(1, size // PAGE_BYTES) for offset in (-1, 0, 1)}
    for length in sorted(lengths):
        whole.write_bytes(original[:length])
        await assert_refused(opened, whole, f"{length} bytes long", "restore a backup")
    whole.write_bytes(original)
    async with opened() as store:
        assert len(await ids(store)) == 20


@pytest.mark.parametrize("size", [16, 100, PAGE_BYTES, 2 * PAGE_BYTES])
async def test_a_file_whose_beginning_is_zeros_is_refused(opened: Open, whole: Path, size: int) -> None:
    change(whole, 0, bytes(size))
    await assert_refused(opened, whole, "header is not that of a state file")


@pytest.mark.parametrize("content", [b"state: {path: collector.db}\n" * 20, os.urandom(50_000)])
async def test_what_is_no_sqlite_file_is_refused(opened: Open, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    await assert_refused(opened, path, "header is not that of a state file")


async def test_another_program_s_sqlite_file_is_refused(opened: Open, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    await assert_refused(opened, path, "not one of the collector")


async def test_a_newer_state_is_refused(opened: Open, whole: Path) -> None:
    change(whole, 60, struct.pack(">I", opening.migrations()[-1][0] + 1))
    await assert_refused(opened, whole, "newer", "use a newer collector")


async def test_a_state_whose_newer_version_stands_in_the_wal_alone_is_refused(
    opened: Open, whole: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(whole, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=999")
        stopped = stop_short(whole, tmp_path)
    assert struct.unpack(">I", stopped.read_bytes()[60:64])[0] < 999
    await assert_refused(opened, stopped, "999")


@pytest.mark.parametrize("page_size", [0, 2, 256, 16385, 12288])
async def test_an_impossible_page_size_is_refused(opened: Open, whole: Path, page_size: int) -> None:
    change(whole, 16, struct.pack(">H", page_size))
    await assert_refused(opened, whole, "page size")


async def test_pages_of_65536_bytes_are_possible(opened: Open, whole: Path) -> None:
    change(whole, 16, struct.pack(">H", 1))
    await assert_refused(opened, whole, "pages of 65536")


async def test_a_folder_in_its_place_is_refused(opened: Open, path: Path) -> None:
    path.mkdir(parents=True)
    await assert_refused(opened, path)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
async def test_the_rest_of_a_state_that_is_gone_is_no_empty_state(opened: Open, whole: Path, suffix: str) -> None:
    whole.with_name(whole.name + suffix).write_bytes(b"what was not copied back yet")
    whole.unlink()
    await assert_refused(opened, whole, "is gone", suffix)
    assert not whole.exists()


async def test_a_state_that_can_not_be_read_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        damage.inspect(path, NEWEST)


# -- short, but whole together with its WAL --------------------------------------------------


def stop_short(path: Path, folder: Path) -> Path:
    """The files as a process killed now would leave them."""
    target = folder / "stopped" / path.name
    target.parent.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        shutil.copyfile(path.with_name(path.name + suffix), target.with_name(target.name + suffix))
    return target


def frames(wal: Path) -> dict[int, bytes]:
    """The WAL's pages, the newest of each."""
    content = wal.read_bytes()
    step = PAGE_BYTES + 24
    starts = range(32, len(content) - step + 1, step)
    return {struct.unpack_from(">I", content, at)[0]: content[at + 24 : at + step] for at in starts}


@pytest.fixture
async def stopped(opened: Open, path: Path, tmp_path: Path) -> Path:
    """A state whose content all stands in the WAL."""
    async with opened() as store:
        await store._writer.call(lambda c: c.execute("PRAGMA wal_autocheckpoint=0").fetchall())
        await fill(store)
        return stop_short(path, tmp_path)


@pytest.mark.parametrize("copied", range(0, 40, 3))
async def test_a_file_left_short_while_its_wal_was_copied_back_is_opened(
    opened: Open, stopped: Path, copied: int
) -> None:
    newest = frames(stopped.with_name(stopped.name + "-wal"))
    assert len(newest) > 20
    for page in sorted(newest)[:copied]:  # SQLite copies them in the order of their numbers
        change(stopped, (page - 1) * PAGE_BYTES, newest[page])
    short = stopped.stat().st_size < struct.unpack_from(">I", newest[1], 28)[0] * PAGE_BYTES
    assert short or copied > 20
    async with opened(stopped) as store:
        assert len(await ids(store)) == 20


async def test_a_file_left_short_in_the_middle_of_a_page_is_opened(opened: Open, stopped: Path) -> None:
    newest = frames(stopped.with_name(stopped.name + "-wal"))
    change(stopped, 0, newest[1])
    os.truncate(stopped, stopped.stat().st_size + 777)
    async with opened(stopped) as store:
        assert len(await ids(store)) == 20


async def test_a_torn_commit_at_the_end_of_the_wal_does_not_matter(opened: Open, stopped: Path) -> None:
    wal = stopped.with_name(stopped.name + "-wal")
    os.truncate(wal, wal.stat().st_size - 100)
    async with opened(stopped) as store:
        assert len(await ids(store)) == 20  # the settle behind the last page was torn
        assert await store.dead_letters() == []


def copied_halfway(stopped: Path) -> None:
    newest = frames(stopped.with_name(stopped.name + "-wal"))
    for page in sorted(newest)[:5]:
        change(stopped, (page - 1) * PAGE_BYTES, newest[page])


def no_wal(wal: Path) -> None:
    wal.unlink()


def empty_wal(wal: Path) -> None:
    wal.write_bytes(b"")


def half_a_wal(wal: Path) -> None:
    os.truncate(wal, wal.stat().st_size // 2)


def other_salts(wal: Path) -> None:
    change(wal, 16, os.urandom(8))


def other_page_size(wal: Path) -> None:
    change(wal, 8, struct.pack(">I", 2 * PAGE_BYTES))


@pytest.mark.parametrize("spoil", [no_wal, empty_wal, other_salts, other_page_size])
async def test_a_file_that_is_short_is_refused_without_its_wal(
    opened: Open, stopped: Path, spoil: Callable[[Path], None]
) -> None:
    copied_halfway(stopped)
    spoil(stopped.with_name(stopped.name + "-wal"))
    with pytest.raises(StoreError) as caught:
        damage.inspect(stopped, NEWEST)
    assert "is damaged" in str(caught.value)


async def test_a_file_is_as_long_as_the_committed_part_of_its_wal_says(opened: Open, stopped: Path) -> None:
    """Frames without their commit are not there; then the last commit's count of pages holds."""
    wal = stopped.with_name(stopped.name + "-wal")
    half_a_wal(wal)
    damage.inspect(stopped, NEWEST)
    async with opened(stopped) as store:
        assert 0 < len(await ids(store)) < 20


async def test_a_wal_that_can_not_be_read_is_an_error_of_the_state(opened: Open, whole: Path) -> None:
    whole.with_name(whole.name + "-wal").mkdir()
    await assert_refused(opened, whole, "-wal")


# -- damage that no header shows -------------------------------------------------------------


async def use_everything(store: Store) -> None:
    """Every verb that reads or writes what a state holds."""
    await whole_log(store)
    for stream in STREAMS:
        await store.add_stream(stream, "withsecure", "WithSecure")
    await store.checkpoints()
    await store.gaps()
    await store.dead_letters()
    await store.backlog(BEGIN)
    await store.usage()
    await store.prepare_cursors({"siem": "latest", "archive": "latest"}, {})
    await commit(store, range(100, 120))
    await store.settle("siem", "", Position(3), dead_letters=[make_letter(3)], delivered={ACME: (1, 1)})
    await prune_everything(store, timedelta(days=-2))
    while await store.vacuum(0):
        pass
    await store.truncate_wal()


@pytest.mark.parametrize("garbage", [bytes(PAGE_BYTES), b"\xff" * PAGE_BYTES, os.urandom(PAGE_BYTES)])
async def test_garbage_in_any_page_is_an_error_of_the_state_with_advice(
    opened: Open, whole: Path, garbage: bytes
) -> None:
    original = whole.read_bytes()
    noticed = unnoticed = 0
    for page in range(1, len(original) // PAGE_BYTES):
        for suffix in ("-wal", "-shm"):
            whole.with_name(whole.name + suffix).unlink(missing_ok=True)
        whole.write_bytes(original)
        change(whole, page * PAGE_BYTES, garbage)
        try:
            async with opened() as store:
                await use_everything(store)
        except StoreError as exc:
            noticed += str(whole) in str(exc)
        else:
            unnoticed += 1
    assert noticed + unnoticed == len(original) // PAGE_BYTES - 1
    assert noticed > unnoticed  # a free page may hold anything


async def test_a_full_check_finds_nothing_in_a_whole_state(opened: Open, whole: Path) -> None:
    async with opened() as store:
        assert await store.full_check() == []


@pytest.mark.parametrize("damage", [b"\xff" * 40, b"\x01" * 3])
async def test_a_full_check_names_what_is_damaged(opened: Open, whole: Path, damage: bytes) -> None:
    async with opened() as store:
        root = await store._writer.call(
            lambda c: c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'settles_by_position'").fetchone()[0]
        )
    change(whole, root * PAGE_BYTES - len(damage), damage)
    async with opened() as store:
        assert await store.full_check() != []
