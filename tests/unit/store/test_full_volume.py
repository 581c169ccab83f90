"""A full volume: nothing is lost, nothing half stored, and it goes on when there is room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import StoreFull
from collector.model import Lane
from collector.store import Position, Store
from collector.testing import make_record
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, BEGIN, STREAMS, commit, ids, make_letter
from tests.unit.store.volume import SIZE, Pretended, Volume, small_volume


@pytest.fixture(params=["tmpfs", "pretended"])
def volume(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Volume]:
    if request.param == "tmpfs":
        with small_volume(tmp_path / "volume", monkeypatch) as volume:
            yield volume
    else:
        (tmp_path / "pretended").mkdir()
        yield Pretended(tmp_path / "pretended", monkeypatch)


async def begin(store: Store) -> None:
    await store.add_stream(ACME, "withsecure", "WithSecure")
    await store.prepare_cursors({"siem": "earliest"}, {})
    await commit(store, [0, 1, 2])


async def commit_until_full(store: Store) -> int:
    """Pages of one large record each; returns the number of the one that found no room."""
    for number in range(3, 1000):
        try:
            await commit(store, [make_record(number, raw=os.urandom(50_000))], run={"n": number})
        except StoreFull as exc:
            assert "no room" in str(exc)  # noqa: PT017 -- the loop needs the number
            return number
    pytest.fail("it never filled up")


async def test_what_finds_no_room_is_not_stored_and_all_else_is(volume: Volume, opened: Open) -> None:
    async with opened(volume.path) as store:
        await begin(store)
        await volume.fill(store)
        refused = await commit_until_full(store)
        for _ in range(3):
            with pytest.raises(StoreFull):
                await commit(store, [make_record(refused, raw=os.urandom(900_000))], run={"n": refused})
        assert await ids(store) == [f"event-{number}" for number in range(refused)]
        await volume.make_room(store)
        assert (await commit(store, [refused - 1, refused], run={"n": refused})).appended == 1
        checkpoint = await store.checkpoint(ACME, Lane.TIP)
        assert checkpoint is not None
        assert checkpoint.run == {"n": refused}
    async with opened(volume.path) as store:
        assert await ids(store) == [f"event-{number}" for number in range(refused + 1)]


async def test_a_full_volume_loses_no_settle_and_takes_it_when_there_is_room(volume: Volume, opened: Open) -> None:
    large = make_letter(1, record=make_record(1, raw=os.urandom(900_000)))
    async with opened(volume.path) as store:
        await begin(store)
        await store.settle("siem", "", Position(1, 1), state=b"before")
        await volume.fill(store)
        await commit_until_full(store)
        with pytest.raises(StoreFull):
            await store.settle("siem", "", Position(1, 2), state=b"after", dead_letters=[large])
        (cursor,) = await store.cursors()
        assert (cursor.position, cursor.state) == (Position(1, 1), b"before")
        await volume.make_room(store)
        await store.settle("siem", "", Position(1, 2), state=b"after", dead_letters=[large])
        assert (await store.cursors())[0].position == Position(1, 2)
        assert [letter.record for letter in await store.dead_letters()] == [large.record]


async def test_a_group_in_which_one_page_finds_no_room_stores_what_fits(volume: Volume, opened: Open) -> None:
    async with opened(volume.path) as store:
        await begin(store)
        if isinstance(volume, Pretended):
            await volume.fill(store)
        small = [commit(store, [number]) for number in range(10, 13)]
        large = commit(store, [make_record(20, raw=os.urandom(SIZE))])
        results = await asyncio.gather(small[0], large, *small[1:], return_exceptions=True)
        assert isinstance(results[1], StoreFull)
        refused = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(result, StoreFull) for result in refused)
        assert len(refused) < len(results)
        assert len(await ids(store)) == 3 + len(results) - len(refused)


async def test_reading_and_pruning_work_on_a_full_volume(volume: Volume, opened: Open) -> None:
    async with opened(volume.path) as store:
        await begin(store)
        await volume.fill(store)
        last = await commit_until_full(store)
        assert len(await ids(store)) == last
        assert (await store.backlog(BEGIN, STREAMS)).events == last
        usage = await store.usage()
        assert usage.volume_free < 600_000
        assert await store.checkpoints()
        await volume.make_room(store)
        assert await store.prune_bodies(Position(2), None) == 1


async def test_a_state_that_can_not_be_made_for_want_of_room_is_made_later(volume: Volume, opened: Open) -> None:
    await volume.fill()
    with pytest.raises(StoreFull):
        async with opened(volume.path):
            pass
    assert not volume.path.exists()
    await volume.make_room()
    async with opened(volume.path) as store:
        await begin(store)


async def test_a_state_that_can_not_be_opened_for_want_of_room_is_opened_later(volume: Volume, opened: Open) -> None:
    async with opened(volume.path) as store:
        await begin(store)
    for suffix in ("-wal", "-shm"):
        volume.path.with_name(volume.path.name + suffix).unlink(missing_ok=True)
    await volume.fill()
    before = volume.path.read_bytes()
    with pytest.raises(StoreFull):
        async with opened(volume.path):
            pass
    assert volume.path.read_bytes() == before
    await volume.make_room()
    async with opened(volume.path) as store:
        assert await ids(store) == ["event-0", "event-1", "event-2"]


async def test_a_backup_that_finds_no_room_leaves_nothing(store: Store, volume: Volume) -> None:
    for number in range(60):
        await commit(store, [make_record(number, raw=os.urandom(100_000))])
    await volume.fill()
    with pytest.raises(StoreFull):
        await store.backup(volume.path)
    assert not [file for file in volume.path.parent.iterdir() if file.name.startswith(volume.path.name)]
    await volume.make_room()
    assert len(await ids(store)) == 60


async def test_a_machine_where_nothing_may_be_mounted_pretends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with small_volume(tmp_path / "volume", monkeypatch) as volume:
        assert isinstance(volume, Pretended)
