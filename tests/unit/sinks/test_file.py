import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from collector.errors import SinkDenied, SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, SinkContext
from collector.sinks.file import PLUGIN, FileConfig, conflict_key
from collector.sinks.file.sink import FileSink
from collector.testing import FakeClock, make_batch, make_event


class Archive:
    """A file sink below one directory, together with what the store would hold for it."""

    def __init__(self, directory: Path, path: str = "{tenant}.ndjson", **settings: Any) -> None:
        self.directory = directory
        self.config = FileConfig(path=f"{directory}/{path}", **settings)
        self.clock = FakeClock()
        self.state: bytes | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FileSink]:
        async with PLUGIN.open(self.config, SinkContext("archive", self.clock), self.state) as sink:
            assert isinstance(sink, FileSink)
            yield sink

    async def prepare(self, sink: FileSink, events: Sequence[Event]) -> Batch:
        batch = make_batch(events)
        self.state = await sink.prepare(batch)
        return batch

    async def deliver(self, sink: FileSink, events: Sequence[Event]) -> None:
        receipt = await sink.deliver(await self.prepare(sink, events))
        assert receipt.state is not None
        self.state = receipt.state

    def lines(self, name: str) -> list[bytes]:
        return (self.directory / name).read_bytes().splitlines()

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())

    def intent(self) -> dict[str, Any]:
        assert self.state is not None
        body: dict[str, Any] = orjson.loads(self.state)
        return body


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def events(*numbers: int, **changes: Any) -> list[Event]:
    return [make_event(number, **changes) for number in numbers]


def raws(*numbers: int) -> list[bytes]:
    return [make_event(number).raw for number in numbers]


async def test_each_event_is_a_line_in_the_file_of_its_name(archive: Archive) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, [*events(1), *events(2, tenant="Globex/Oy"), *events(3)])

    assert archive.names() == ["Globex%2FOy.ndjson", "acme.ndjson"]
    assert archive.lines("acme.ndjson") == raws(1, 3)
    assert (archive.directory / "acme.ndjson").read_bytes().endswith(b"\n")


async def test_the_intent_says_what_every_file_holds_before_the_first_byte(archive: Archive) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        size = len(raws(1)[0]) + 1
        await archive.prepare(sink, [*events(2), *events(3, tenant="globex")])

        inode = (archive.directory / "acme.ndjson").stat().st_ino
        assert archive.intent()["files"] == {
            "acme.ndjson": [inode, size, 2 * size],
            "globex.ndjson": [None, 0, size],
        }
        assert archive.names() == ["acme.ndjson"]


async def test_what_is_settled_is_never_judged_again(archive: Archive) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, events(1, 2))
    assert archive.intent()["files"] == {}

    async with archive.open() as sink:
        assert archive.lines("acme.ndjson") == raws(1, 2)
        await archive.deliver(sink, events(3))

    assert archive.lines("acme.ndjson") == raws(1, 2, 3)


async def test_a_reader_never_sees_a_kept_line_vanish(archive: Archive) -> None:
    """Lines that were written but not settled stay where they are, so that who follows the file reads them once."""
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, events(1, 2, 3, 4)))
    path = archive.directory / "acme.ndjson"
    os.truncate(path, path.stat().st_size - 5)
    inode, sizes = path.stat().st_ino, []

    async with archive.open() as sink:
        for numbers in [(1,), (2, 3, 4), (5,)]:
            sizes.append(path.stat().st_size)
            await archive.deliver(sink, events(*numbers))

    assert archive.lines("acme.ndjson") == raws(1, 2, 3, 4, 5)
    assert path.stat().st_ino == inode
    assert sizes[0] == sizes[1] == 3 * len(raws(1)[0]) + 3


async def test_lines_of_files_the_next_batch_does_not_touch_wait_for_their_events(archive: Archive) -> None:
    acme, globex = events(1), events(2, tenant="globex")
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, [*acme, *globex]))

    async with archive.open() as sink:
        await archive.deliver(sink, acme)
        assert list(archive.intent()["files"]) == ["globex.ndjson"]
    async with archive.open() as sink:
        await archive.deliver(sink, globex)
        assert archive.intent()["files"] == {}

    assert archive.lines("globex.ndjson") == raws(2)


async def test_lines_wait_for_their_events_over_several_crashes(archive: Archive) -> None:
    first, second, last = events(1), events(2), events(3, tenant="globex")
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, [*first, *second, *last]))
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, first))

    async with archive.open() as sink:
        for part in (first, second):
            await archive.deliver(sink, part)
            assert archive.lines("globex.ndjson") == raws(3)
        await archive.deliver(sink, last)

    assert archive.lines("globex.ndjson") == raws(3)


async def test_lines_whose_events_never_come_again_are_cut(archive: Archive) -> None:
    """As when the route changed: after as many events as the batch had, all of it has come that will."""
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, [*events(1, tenant="globex"), *events(2), *events(3)]))

    async with archive.open() as sink:
        await archive.deliver(sink, events(2, 3))
        assert len(archive.lines("globex.ndjson")) == 1
        await archive.deliver(sink, events(4))

    assert archive.lines("globex.ndjson") == []
    assert archive.lines("acme.ndjson") == raws(2, 3, 4)
    assert archive.intent()["files"] == {}


async def test_lines_that_differ_from_what_comes_are_cut(archive: Archive) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        await sink.deliver(await archive.prepare(sink, events(2, 3)))

    async with archive.open() as sink:
        await archive.deliver(sink, events(2, 4))

    assert archive.lines("acme.ndjson") == raws(1, 2, 4)


async def test_a_file_moved_away_is_never_touched_and_a_new_one_begun(archive: Archive) -> None:
    moved = archive.directory / "acme.ndjson.1"
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        (archive.directory / "acme.ndjson").rename(moved)
        await archive.deliver(sink, events(2))
        await sink.deliver(await archive.prepare(sink, events(3)))
    (archive.directory / "acme.ndjson").rename(archive.directory / "acme.ndjson.2")

    async with archive.open() as sink:
        await archive.deliver(sink, events(3, 4))

    assert archive.lines("acme.ndjson.1") == raws(1)
    assert archive.lines("acme.ndjson.2") == raws(2, 3)
    assert archive.lines("acme.ndjson") == raws(3, 4)


async def test_a_file_emptied_by_others_is_continued_at_its_end(archive: Archive) -> None:
    path = archive.directory / "acme.ndjson"
    async with archive.open() as sink:
        await archive.deliver(sink, events(1, 2))
        os.truncate(path, 0)
        await archive.deliver(sink, events(3))
        await archive.prepare(sink, events(4))
    os.truncate(path, 0)

    async with archive.open() as sink:
        await archive.deliver(sink, events(4))

    assert archive.lines("acme.ndjson") == raws(4)


async def test_a_file_changed_between_intent_and_delivery_stops_the_batch(archive: Archive) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, events(1, 2))
        batch = await archive.prepare(sink, events(3))
        os.truncate(archive.directory / "acme.ndjson", 0)
        with pytest.raises(SinkUnavailable, match="changed by others"):
            await sink.deliver(batch)

    async with archive.open() as sink:
        await archive.deliver(sink, events(3))

    assert archive.lines("acme.ndjson") == raws(3)


async def test_somebody_elses_torn_line_is_ended_before_ours_begins(archive: Archive) -> None:
    path = archive.directory / "acme.ndjson"
    path.write_bytes(b"torn")
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, events(1, 2)))
    os.truncate(path, path.stat().st_size - 3)

    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        await archive.deliver(sink, events(2, 3))

    assert archive.lines("acme.ndjson") == [b"torn", *raws(1, 2, 3)]


async def test_a_path_that_changed_takes_unsettled_lines_along(tmp_path: Path) -> None:
    old, new = Archive(tmp_path / "old"), Archive(tmp_path / "new")
    async with old.open() as sink:
        await old.deliver(sink, events(1))
        await sink.deliver(await old.prepare(sink, events(2)))
    new.state = old.state

    async with new.open() as sink:
        await new.deliver(sink, events(2))

    assert old.lines("acme.ndjson") == raws(1)
    assert new.lines("acme.ndjson") == raws(2)


def failing(error: OSError) -> Callable[..., None]:
    def fail(*args: object) -> None:
        raise error

    return fail


def noting_syncs(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes that were synced from now on."""
    synced: set[int] = set()
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        real_fsync(fd)
        synced.add(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
async def test_a_full_disk_makes_the_sink_unavailable_and_loses_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        batch = await archive.prepare(sink, [*events(2), *events(3, tenant="globex")])
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing(OSError(28, "No space left on device")))
            with pytest.raises(SinkUnavailable, match=r"can't write .*(acme|globex).ndjson: No space left on device"):
                await sink.deliver(batch)
        with pytest.raises(SinkUnavailable, match="opened again"):
            await sink.prepare(batch)

    async with archive.open() as sink:
        await archive.deliver(sink, [*events(2), *events(3, tenant="globex")])

    assert archive.lines("acme.ndjson") == raws(1, 2)
    assert archive.lines("globex.ndjson") == raws(3)


async def test_lines_that_could_not_be_synced_are_written_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops the pages after a failed sync, yet a reader sees them: found lines would prove nothing."""
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        batch = await archive.prepare(sink, events(2))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(OSError(5, "Input/output error")))
            with pytest.raises(SinkUnavailable, match="Input/output error"):
                await sink.deliver(batch)

    assert archive.lines("acme.ndjson") == raws(1)


async def test_kept_lines_are_synced_before_they_count(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, events(1)))
    synced = noting_syncs(monkeypatch)

    async with archive.open() as sink:
        batch = await archive.prepare(sink, events(1))
        synced.clear()
        await sink.deliver(batch)

    assert (archive.directory / "acme.ndjson").stat().st_ino in synced


async def test_that_there_is_no_file_is_durable_before_the_intent_says_so(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file moved away came back with a power cut, it would be taken for the batch's own and cut to nothing."""
    async with archive.open() as sink:
        await archive.deliver(sink, events(1))
        (archive.directory / "acme.ndjson").rename(archive.directory / "acme.ndjson.1")
        synced = noting_syncs(monkeypatch)
        await archive.prepare(sink, events(2))

    assert archive.directory.stat().st_ino in synced


async def test_directories_of_a_new_file_are_made_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path, "new/{tenant}/{date}.ndjson", mode="0640")
    synced = noting_syncs(monkeypatch)

    async with archive.open() as sink:
        await archive.deliver(sink, events(1))

    for path in ("", "new", "new/acme", "new/acme/2026-11-22.ndjson"):
        assert (tmp_path / path).stat().st_ino in synced
    assert (tmp_path / "new/acme").stat().st_mode & 0o777 & ~0o750 == 0


async def test_files_get_the_mode_as_configured_whatever_the_umask(tmp_path: Path) -> None:
    archive = Archive(tmp_path, mode="0666")
    before = os.umask(0o077)
    try:
        async with archive.open() as sink:
            await archive.deliver(sink, events(1))
    finally:
        os.umask(before)

    assert (tmp_path / "acme.ndjson").stat().st_mode & 0o777 == 0o666


async def test_a_directory_in_the_way_is_said_so(archive: Archive) -> None:
    (archive.directory / "acme.ndjson").mkdir()

    async with archive.open() as sink:
        with pytest.raises(SinkUnavailable, match=r"acme.ndjson: Is a directory"):
            await archive.prepare(sink, events(1))


async def test_a_file_in_the_way_of_a_directory_is_said_so(tmp_path: Path) -> None:
    archive = Archive(tmp_path, "{tenant}/{date}.ndjson")
    (tmp_path / "acme").touch()

    async with archive.open() as sink:
        with pytest.raises(SinkUnavailable, match="Not a directory"):
            await archive.prepare(sink, events(1))


async def test_a_denied_directory_is_said_so(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    async with archive.open() as sink:
        batch = await archive.prepare(sink, events(1))
        monkeypatch.setattr(os, "open", failing(PermissionError(13, "Permission denied", "/srv/acme.ndjson")))
        with pytest.raises(SinkUnavailable, match=r"can't write /srv/acme\.ndjson: Permission denied"):
            await sink.deliver(batch)


async def test_a_damaged_state_denies_instead_of_guessing(archive: Archive) -> None:
    archive.state = b"?"

    with pytest.raises(SinkDenied):
        async with archive.open():
            pass


async def test_a_batch_that_was_not_prepared_is_refused(archive: Archive) -> None:
    async with archive.open() as sink:
        with pytest.raises(RuntimeError, match="prepared"):
            await sink.deliver(make_batch(events(1)))


async def test_closing_waits_for_a_write_that_was_cancelled(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the sink next would otherwise judge files that are still being written."""
    loop, writing, going_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    real_write = os.write

    def slow_write(fd: int, content: bytes) -> int:
        loop.call_soon_threadsafe(writing.set)
        asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(10)
        return real_write(fd, content)

    monkeypatch.setattr(os, "write", slow_write)

    async def session() -> None:
        async with archive.open() as sink:
            await archive.deliver(sink, events(1))

    running = asyncio.create_task(session())
    await writing.wait()
    running.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    going_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert archive.lines("acme.ndjson") == raws(1)


async def test_a_full_file_is_rotated_before_the_next_batch(tmp_path: Path) -> None:
    archive = Archive(tmp_path, rotate={"max_size": "100B"})
    async with archive.open() as sink:
        for number in range(5):
            await archive.deliver(sink, events(number))

    assert archive.names() == [
        "acme-20261122T101112.345Z-1.ndjson",
        "acme-20261122T101112.345Z.ndjson",
        "acme.ndjson",
    ]
    assert [len(archive.lines(name)) for name in archive.names()] == [2, 2, 1]


async def test_an_old_file_is_rotated_when_a_new_span_begins(tmp_path: Path) -> None:
    archive = Archive(tmp_path, rotate={"every": "1h"})
    path = tmp_path / "acme.ndjson"
    async with archive.open() as sink:
        for number in range(2):
            await archive.deliver(sink, events(number))
            os.utime(path, (archive.clock.now().timestamp(),) * 2)
        archive.clock.jump(timedelta(hours=1))
        await archive.deliver(sink, events(2))

    assert archive.lines("acme-20261122T111112.345Z.ndjson") == raws(0, 1)
    assert archive.lines("acme.ndjson") == raws(2)


async def test_a_file_with_unsettled_lines_is_not_rotated(tmp_path: Path) -> None:
    archive = Archive(tmp_path, rotate={"max_size": "100B"})
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, events(1, 2)))

    async with archive.open() as sink:
        await archive.deliver(sink, events(1, 2, 3))
        assert archive.names() == ["acme.ndjson"]
        await archive.deliver(sink, events(4))

    assert archive.lines("acme-20261122T101112.345Z.ndjson") == raws(1, 2, 3)
    assert archive.lines("acme.ndjson") == raws(4)


async def test_rotated_files_are_compressed_beside_the_deliveries(tmp_path: Path) -> None:
    archive = Archive(tmp_path, rotate={"max_size": "100B", "compress": "gzip"})
    async with archive.open() as sink:
        for number in range(3):
            await archive.deliver(sink, events(number))
        await asyncio.to_thread(sink._compressor.wait)

    assert archive.names() == ["acme-20261122T101112.345Z.ndjson.gz", "acme.ndjson"]
    compressed = (tmp_path / "acme-20261122T101112.345Z.ndjson.gz").read_bytes()
    assert gzip.decompress(compressed).splitlines() == raws(0, 1)


async def test_a_start_takes_up_compressions_that_were_left(tmp_path: Path) -> None:
    archive = Archive(tmp_path, rotate={"max_size": "100B", "compress": "gzip"})
    (tmp_path / "acme-20261122T101112.345Z.ndjson").write_bytes(b"one\n")
    (tmp_path / ".acme-20261122T101112.345Z.ndjson.gz.0123.tmp").write_bytes(b"half")

    async with archive.open() as sink:
        await asyncio.to_thread(sink._compressor.wait)

    assert archive.names() == ["acme-20261122T101112.345Z.ndjson.gz"]


async def test_the_probe_leaves_nothing_behind_and_says_what_is_wrong(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with archive.open() as sink:
        await sink.probe()
        assert archive.names() == []
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
            with pytest.raises(SinkUnavailable, match="No space left"):
                await sink.probe()
        await archive.deliver(sink, events(1))


async def test_the_probe_does_not_make_the_directory(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "not" / "yet")

    async with archive.open() as sink:
        await sink.probe()

    assert list(tmp_path.iterdir()) == []


async def test_the_longest_state_possible_fits_the_store(tmp_path: Path) -> None:
    archive = Archive(tmp_path, "{tenant}/{organization}/{source}/{feed}/{label.a}/{label.b}.ndjson")
    many = [
        make_event(
            number,
            tenant=f"{number:0100}",
            organization_id="o" * 100,
            source="s" * 100,
            feed="f" * 100,
            labels={"a": "a" * 100, "b": "b" * 100},
        )
        for number in range(128)
    ]
    async with archive.open() as sink:
        limit = sink.limits.max_destinations
        assert limit is not None
        assert 64 <= limit < 128
        await archive.prepare(sink, many[:limit])

    assert archive.state is not None
    assert 40_000 < len(archive.state) <= 65_536


async def test_no_more_than_128_files_are_open_for_one_batch(archive: Archive) -> None:
    async with archive.open() as sink:
        assert sink.limits.max_destinations == 128


async def test_tails_that_would_make_the_state_too_large_are_cut(archive: Archive) -> None:
    first = [make_event(number, tenant=f"a{number}") for number in range(65)]
    second = [make_event(number, tenant=f"b{number}") for number in range(65)]
    async with archive.open() as sink:
        await sink.deliver(await archive.prepare(sink, first))

    async with archive.open() as sink:
        await archive.prepare(sink, second)
    assert len(archive.intent()["files"]) == 65
    async with archive.open() as sink:
        await archive.deliver(sink, second)
        await archive.deliver(sink, first)

    assert {len(archive.lines(name)) for name in archive.names()} == {1}
    assert len(archive.names()) == 130


@pytest.mark.parametrize("mode", ["0640", "600", "0666"])
def test_modes_are_octal_digits_in_quotes(mode: str) -> None:
    assert FileConfig(path="/srv/a", mode=mode).mode == int(mode, 8)


@pytest.mark.parametrize("mode", [0o640, 640, "0o640", "9999", "", "0440", "-600", None])
def test_other_modes_are_refused(mode: object) -> None:
    with pytest.raises(ValidationError, match=r"octal digits|read and write"):
        FileConfig.model_validate({"path": "/srv/a", "mode": mode})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"path": "/srv/"},
        {"path": "/srv/{tenent}"},
        {"path": "/srv/a", "format": "nothing"},
        {"path": "/srv/a", "rotate": {"max_size": "0B"}},
        {"path": "/srv/a", "rotate": {"every": "0s"}},
        {"path": "/srv/a", "rotate": {"compress": "zip"}},
        {"path": "/srv/a", "fsync": False},
    ],
)
def test_other_configurations_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileConfig.model_validate(settings)


def test_the_loader_can_tell_that_path_is_a_path() -> None:
    assert FileConfig.model_fields["path"].json_schema_extra == {"path": True}


def test_sinks_that_write_the_same_files_have_the_same_key() -> None:
    assert conflict_key(FileConfig(path="/srv/x/../{tenant}")) == conflict_key(FileConfig(path="/srv//{tenant}"))
    assert conflict_key(FileConfig(path="/srv/a")) != conflict_key(FileConfig(path="/srv/b"))
