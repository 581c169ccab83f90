"""What the store knows of its streams, and how it lets go."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from collector import faults
from collector.errors import ConfigError, StoreError
from collector.model import Checkpoint, Lane, StreamId
from collector.store import Position, Store
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, GLOBEX, INITECH, STREAMS, commit, held_up, ids

HOOLI = StreamId("hooli", "withsecure", "security_events")


async def test_streams_are_known_by_name_and_type_also_after_a_new_start(opened: Open) -> None:
    async with opened() as store:
        assert store.streams() == {}
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await store.add_stream(GLOBEX, "eset", "ESET")
        assert store.streams() == {ACME: "withsecure", GLOBEX: "eset"}
    async with opened() as store:
        assert store.streams() == {ACME: "withsecure", GLOBEX: "eset"}


async def test_a_stream_made_known_twice_is_one_stream(store: Store) -> None:
    await commit(store, [1])
    await asyncio.gather(*[store.add_stream(HOOLI, "withsecure", "WithSecure") for _ in range(3)])
    await store.add_stream(ACME, "withsecure", "WithSecure")
    assert (await commit(store, [1])).appended == 0
    assert len(store.streams()) == 4


async def test_a_vendor_may_change_its_name(store: Store) -> None:
    await store.add_stream(ACME, "withsecure", "F-Secure")
    assert (await commit(store, [1])).appended == 1


async def test_a_stream_does_not_change_its_type(store: Store) -> None:
    await commit(store, [1])
    with pytest.raises(ConfigError, match="acme/withsecure/security_events is of type withsecure"):
        await store.add_stream(ACME, "eset", "ESET")
    assert store.streams()[ACME] == "withsecure"
    assert (await commit(store, [1])).appended == 0


async def test_a_page_of_a_stream_that_is_not_known_is_a_mistake(store: Store) -> None:
    with pytest.raises(KeyError):
        await commit(store, [1], HOOLI)


async def test_a_renamed_stream_goes_on_with_its_ids_positions_and_pages(opened: Open, store: Store) -> None:
    await commit(store, [1, 2])
    await store.rename_stream(ACME, HOOLI)
    assert set(store.streams()) == {HOOLI, GLOBEX, INITECH}
    assert (await commit(store, [1, 2, 3], HOOLI)).appended == 1
    assert await store.checkpoint(HOOLI, Lane.TIP) is not None
    assert await ids(store, [HOOLI]) == ["event-1", "event-2", "event-3"]


async def test_a_rename_of_what_is_not_there_or_onto_what_is_does_nothing(opened: Open) -> None:
    async with opened() as store:
        for stream in STREAMS:
            await store.add_stream(stream, "withsecure", "WithSecure")
        await store.rename_stream(HOOLI, ACME)
        await store.rename_stream(ACME, GLOBEX)
        assert set(store.streams()) == set(STREAMS)
        await store.rename_stream(ACME, HOOLI)
    async with opened() as store:
        assert set(store.streams()) == {HOOLI, GLOBEX, INITECH}


async def test_closing_stores_what_was_asked_for(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        release = await held_up(store)
        commits = [asyncio.ensure_future(commit(store, [number])) for number in range(100)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, release)
    assert [(await committed).appended for committed in commits] == [1] * 100
    async with opened() as store:
        assert len(await ids(store)) == 100


async def test_a_closed_store_says_so(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
    for call in (commit(store, [1]), store.cursors(), store.last_seq(), store.vacuum(0)):
        with pytest.raises(StoreError, match="closed"):
            await call


async def test_a_settle_of_a_cancelled_sink_is_stored_whole(store: Store) -> None:
    release = await held_up(store)
    settle = asyncio.ensure_future(store.settle("siem", "", Position(4), state=b"s", delivered={ACME: (3, 30)}))
    await asyncio.sleep(0)
    settle.cancel()
    release()
    await store.prepare_cursors({"siem": "latest"}, {})
    (cursor,) = await store.cursors()
    assert (cursor.position, cursor.state) == (Position(4), b"s")


async def test_the_named_points_of_a_crash_lie_around_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []

    def point(name: str) -> None:
        committed = sqlite3.connect(store.path)
        passed.append(f"{name} {committed.execute('SELECT count(*) FROM bodies').fetchone()[0]}")
        committed.close()

    await store.prepare_cursors({"siem": "latest"}, {})
    monkeypatch.setattr(faults, "point", point)
    await commit(store, [1])
    await store.set_checkpoint(ACME, Lane.TIP, Checkpoint())
    await store.settle("siem", "", Position(2))
    await store.prune_bodies(Position(2), None)
    assert passed == [
        "commit.before 0",
        "commit.after 1",
        "position.before 1",
        "position.after 1",
        "settle.before 1",
        "settle.after 1",
        "prune.inside 1",
        "prune.before 1",
        "prune.after 0",
    ]
    assert {name.split()[0] for name in passed} <= faults.POINTS
