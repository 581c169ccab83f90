"""What operators decide about tenants, and that a purge leaves no byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
import zstandard

from collector.model import Checkpoint, Gap, Lane, Record, StreamId
from collector.store import Position, Store, purging
from collector.testing import make_record
from collector.testing.clock import START
from tests.unit.store.conftest import Open
from tests.unit.store.samples import ACME, BEGIN, GLOBEX, commit, make_letter, make_page, whole_log

MAGIC = b"\x28\xb5\x2f\xfd"  # begins every zstd frame


def canary(number: int, size: int = 1) -> Record:
    """A record with a marked text of so many thousands of bytes that no compression can shorten much."""
    text = Random(number).randbytes(900 * size).hex().encode()
    return make_record(number, raw=b'{"text":"CANARY' + text + b'"}')


async def purge(store: Store, *streams: StreamId) -> None:
    since: int | None = 0
    while since is not None:
        since = await store.tenants.purge_pages(streams, since)
    while await store.tenants.purge_rest(streams):
        pass


async def tidy(store: Store) -> None:
    while await store.vacuum(0):
        pass
    assert await store.truncate_wal()


def bytes_of(path: Path) -> bytes:
    """Everything on disk, with all that can be unpacked out of it."""
    found = b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()) if file.is_file())
    return found + b"".join(_unpacked(found))


def _unpacked(found: bytes) -> Iterable[bytes]:
    at = found.find(MAGIC)
    while at >= 0:
        unpacking = zstandard.ZstdDecompressor().decompressobj()
        with suppress(zstandard.ZstdError):
            yield unpacking.decompress(found[at : at + (1 << 20)])
        at = found.find(MAGIC, at + 1)


async def compressed(store: Store) -> list[bytes]:
    """Pieces of every body, as they lie in the file."""
    rows = await store._writer.call(lambda c: c.execute("SELECT zstd FROM bodies").fetchall())
    return [body[at : at + 32] for (body,) in rows for at in range(64, len(body) - 32, 500)]


async def test_purge_leaves_no_byte_of_a_tenant_and_all_of_the_others(opened: Open, path: Path) -> None:
    async with opened() as store:
        for stream in (ACME, GLOBEX):
            await store.add_stream(stream, "withsecure", "WithSecure")
        # Delivered and pruned bodies leave their bytes in free pages.
        for number in range(0, 40, 2):
            await commit(store, [canary(number, 20)])
            await commit(store, [number + 1], GLOBEX)
        pieces = await compressed(store)
        await store.prune_bodies(Position(20), None)
        gap = Gap(START, START + timedelta(hours=1), "CANARY of a gap")
        await store.commit_page(ACME, Lane.TIP, make_page([canary(100)], gaps=[gap]))
        await store.prepare_cursors({"archive": "earliest"}, {})
        letter = make_letter(record=canary(101), reason="CANARY in the receiver's words")
        await store.settle("archive", "", BEGIN, dead_letters=[letter])
        pieces += await compressed(store)
        others = [page for page in await whole_log(store) if page.stream == GLOBEX]

        await purge(store, ACME)
        await store.tenants.forget("acme")
        await tidy(store)
        assert [page for page in await whole_log(store) if page.stream == GLOBEX] == others
        assert (await store.gaps(), await store.dead_letters()) == ([], [])
        assert store.streams() == {GLOBEX: "withsecure"}
        on_disk = bytes_of(path)
        assert b"CANARY" not in on_disk
        mine = [piece for piece in pieces if piece in on_disk]
        kept = await compressed(store)
        assert [piece for piece in mine if piece not in kept] == []
        assert await store.full_check() == []
        known = [make_record(number) for number in range(1, 40, 2)]
        assert (await commit(store, known, GLOBEX)).appended == 0


async def test_what_is_purged_is_overwritten_also_in_pages_that_stay_free(opened: Open, path: Path) -> None:
    """A free page may be used again before the file shrinks, and what it does not fill would stay."""
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        for number in range(10):
            await commit(store, [canary(number, 20)])
        pieces = await compressed(store)
        await purge(store, ACME)
        assert await store.truncate_wal()
        on_disk = bytes_of(path)
        assert [piece for piece in pieces if piece in on_disk] == []


async def test_search_for_bytes_finds_what_was_deleted_without_being_overwritten(opened: Open, path: Path) -> None:
    """Or the test above would prove nothing."""
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [canary(1, 20)])
        pieces = await compressed(store)
        assert await store.truncate_wal()
        await store.prune_bodies(Position(2), None)
        assert await store.truncate_wal()
        on_disk = bytes_of(path)
        assert [piece for piece in pieces if piece in on_disk]


async def test_purge_goes_through_a_long_log_in_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "_STRETCH", 50)
    monkeypatch.setattr(purging, "_STEP_PAGES", 3)
    for number in range(0, 120, 2):
        await commit(store, [number], ACME if number % 10 else GLOBEX)
        await commit(store, [number + 1], GLOBEX)
    steps, since = 0, 0
    while (next_ := await store.tenants.purge_pages([ACME], since)) is not None:
        assert next_ > since
        steps, since = steps + 1, next_

    assert steps >= 48 / 3
    assert {page.stream for page in await whole_log(store)} == {GLOBEX}
    assert len(await whole_log(store)) == 72


async def test_purged_stream_that_stays_keeps_its_positions(store: Store) -> None:
    await commit(store, range(3))
    await purge(store, ACME)

    assert await store.checkpoint(ACME, Lane.TIP) == Checkpoint(START)
    assert (await commit(store, range(3))).appended == 3

    await store.tenants.forget_positions(ACME)
    assert await store.checkpoint(ACME, Lane.TIP) is None
    assert (await commit(store, range(3))).appended == 0


async def test_record_is_taken_out_of_a_page_and_the_others_keep_their_places(opened: Open, path: Path) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        await commit(store, [make_record(0), canary(1, 20), make_record(2), canary(3)])
        pieces = await compressed(store)
        await store.tenants.purge_records(1, {1, 3})
        await tidy(store)

        (page,) = await whole_log(store, [ACME])
        assert [record.is_purged for record in page.records] == [False, True, False, True]
        assert [page.records[0], page.records[2]] == [make_record(0), make_record(2)]
        on_disk = bytes_of(path)
        assert b"CANARY" not in on_disk
        assert [piece for piece in pieces if piece in on_disk] == []
        assert (await store.backlog(Position(1, 2))).events == 2
        assert (await commit(store, [canary(1)])).appended == 0

        await store.tenants.purge_records(2, {0})  # a page that is not there


async def test_page_whose_body_was_pruned_is_not_rewritten(store: Store) -> None:
    await commit(store, range(3))
    await store.prune_bodies(Position(2), None)
    await store.tenants.purge_records(1, {1})

    assert await whole_log(store) == []


async def test_rebuilt_state_is_the_same_without_what_was_deleted(opened: Open, path: Path) -> None:
    async with opened() as store:
        for stream in (ACME, GLOBEX):
            await store.add_stream(stream, "withsecure", "WithSecure")
        for number in range(10):
            await commit(store, [canary(number, 5)])
        await commit(store, [10], GLOBEX)
        await purge(store, ACME)
        await store.tenants.rebuild()
        assert await store.truncate_wal()
        assert b"CANARY" not in bytes_of(path)
        assert [page.seq for page in await whole_log(store)] == [11]
    async with opened() as store:
        assert (await commit(store, [11], GLOBEX)).seq == 12
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


async def test_jobs_of_the_tenant_go_and_those_of_a_namesake_stay(store: Store) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        for target in ("acme", "acme/withsecure/security_events", "acme-oy/withsecure/security_events"):
            connection.execute(
                "INSERT INTO jobs (kind, target, body, state, at) VALUES ('backfill', ?, '', '', 0)", (target,)
            )

    await store._writer.write(fill)
    await store.tenants.forget("acme")

    left = await store._writer.call(lambda c: c.execute("SELECT target FROM jobs").fetchall())
    assert left == [("acme-oy/withsecure/security_events",)]


async def test_pause_is_remembered_over_a_restart_and_follows_the_tenants_name(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        for _ in range(2):
            await store.tenants.pause("acme")
        await store.tenants.pause("beta")
        await store.tenants.resume("beta")
        await store.rename_stream(ACME, StreamId("acme-oy", ACME.source, ACME.feed))
    async with opened() as store:
        assert await store.tenants.paused() == {"acme-oy"}
        await store.tenants.forget("acme-oy")
        assert await store.tenants.paused() == set()


async def test_account_of_a_stream_is_remembered_and_follows_its_name(opened: Open) -> None:
    async with opened() as store:
        await store.add_stream(ACME, "withsecure", "WithSecure")
        assert await store.tenants.accounts() == {}
        await store.tenants.set_account(ACME, "one")
        await store.tenants.set_account(ACME, "two")
        await store.rename_stream(ACME, GLOBEX)
    async with opened() as store:
        assert await store.tenants.accounts() == {GLOBEX: "two"}
