"""Whatever cuts a batch short, and wherever: each line is in its file once, in order, and none is torn."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import Event
from collector.sinks.base import Batch
from collector.sinks.file.paths import PathTemplate
from collector.sinks.file.rotation import Rotation
from collector.sinks.file.writer import Writer
from collector.testing import FakeClock, make_event

CHANGES_DISK = ("write", "fsync", "ftruncate", "rename", "mkdir", "open", "fchmod")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


@dataclass
class Disk:
    """Breaks the n-th call that changes the disk; a write is cut in the middle first."""

    left: int = -1
    error: BaseException = field(default_factory=Killed)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in CHANGES_DISK}
        for name, call in real.items():
            setattr(os, name, self._guarded(name, call))
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                if name == "write":
                    call(args[0], bytes(args[1])[: len(args[1]) * 2 // 3])
                raise self.error
            self.left -= 1
            return call(*args, **kwargs)

        return guarded


@dataclass
class Collector:
    """The delivery loop in small: what it remembers is all that a crash leaves."""

    directory: Path
    events: Sequence[Event]
    template: str = "{tenant}.ndjson"
    rotation: Rotation = field(default_factory=Rotation)
    cursor: int = 0
    state: bytes | None = None
    clock: FakeClock = field(default_factory=FakeClock)

    def run(self, sizes: Iterator[int], disk: Disk) -> bool:
        """Deliver until nothing is left, True, or until the disk breaks, False."""
        writer = Writer(
            PathTemplate(f"{self.directory}/{self.template}"),
            mode=0o640,
            rotation=self.rotation,
            now=self.clock.now,
            rotated=lambda path: None,
        )
        try:
            with disk.breaking():
                if self.state is not None:
                    writer.recover(self.state)
                while self.cursor < len(self.events):
                    events = self.events[self.cursor : self.cursor + next(sizes)]
                    batch = Batch("", events, [line_of(event) for event in events])
                    self.state = writer.prepare(batch)
                    self.state = writer.deliver(batch)
                    self.cursor += len(batch)
        except (Killed, OSError):
            return False
        finally:
            writer.close()
        return True

    def check(self) -> None:
        for tenant in {event.tenant for event in self.events}:
            expected = [line_of(event) for event in self.events if event.tenant == tenant]
            rotated = sorted(self.directory.glob(f"{tenant}-*.ndjson"), key=_counter)
            content = b"".join(path.read_bytes() for path in [*rotated, self.directory / f"{tenant}.ndjson"])
            assert content.endswith(b"\n")
            assert content.splitlines() == expected


def _counter(path: Path) -> int:
    """The clock stands still, so that names differ in their counter alone: `...Z`, `...Z-1`, `...Z-2`."""
    return int(path.stem.rpartition("Z")[2].removeprefix("-") or 0)


def line_of(event: Event) -> bytes:
    # Equal lengths and equal beginnings make wrong guesses of what stands where likely to be seen.
    return event.raw


def events_of(tenants: Sequence[int]) -> list[Event]:
    return [make_event(number, tenant=f"t{tenant}") for number, tenant in enumerate(tenants)]


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=5)
ERRORS = st.sampled_from([Killed(), OSError(28, "No space left on device"), OSError(5, "Input/output error")])


@settings(max_examples=300, deadline=None)
@given(
    tenants=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    crashes=st.lists(st.tuples(st.integers(0, 25), ERRORS, SIZES), max_size=6),
    rotate_at=st.sampled_from([None, 60, 200]),
)
def test_every_line_is_written_once_whatever_breaks_when(
    tenants: list[int], crashes: list[tuple[int, BaseException, list[int]]], rotate_at: int | None
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        collector = Collector(Path(directory), events_of(tenants), rotation=Rotation(max_size=rotate_at))

        for left, error, sizes in crashes:
            collector.run(_repeat(sizes), Disk(left, error))
        assert collector.run(_repeat([4]), Disk())

        collector.check()


@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("rotate_at", [None, 100])
def test_every_single_call_may_break(tmp_path: Path, error: BaseException, rotate_at: int | None) -> None:
    events = events_of([0, 1, 0, 2, 0, 1, 1, 0, 0, 3])
    finished = False
    for left in range(200):
        directory = tmp_path / str(left)
        directory.mkdir()
        collector = Collector(directory, events, rotation=Rotation(max_size=rotate_at))

        finished = collector.run(_repeat([4, 3]), Disk(left, error))
        if not finished:
            assert collector.run(_repeat([3, 5]), Disk())

        collector.check()
        if finished:
            break
    assert finished


def test_a_restart_breaks_as_well(tmp_path: Path) -> None:
    events = events_of([0, 1, 0, 0, 1, 1, 0, 0])
    for first in range(25):
        for second in range(12):
            directory = tmp_path / f"{first}-{second}"
            directory.mkdir()
            collector = Collector(directory, events)

            collector.run(_repeat([6]), Disk(first))
            collector.run(_repeat([2]), Disk(second))
            assert collector.run(_repeat([3]), Disk())

            collector.check()


def test_a_power_cut_takes_nothing_that_was_settled(tmp_path: Path) -> None:
    """What was not synced is lost to any extent: none of it, a part, or all."""
    events = events_of([0, 1, 0, 0, 1, 1, 0, 0])
    synced: dict[int, int] = {}
    real_fsync = os.fsync

    def noting_fsync(fd: int) -> None:
        real_fsync(fd)
        synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    for left in range(40):
        for survives in (0, 1, 20, 10_000):
            directory = tmp_path / f"{left}-{survives}"
            directory.mkdir()
            collector = Collector(directory, events)
            synced.clear()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", noting_fsync)
                collector.run(_repeat([3]), Disk(left))
            for path in directory.iterdir():
                size = synced.get(path.stat().st_ino, 0)
                os.truncate(path, min(path.stat().st_size, size + survives))
            assert collector.run(_repeat([2]), Disk())

            collector.check()


def test_rotation_by_time_breaks_nothing_either(tmp_path: Path) -> None:
    events = events_of([0, 1, 0, 0, 1, 1, 0, 0])
    for left in range(40):
        directory = tmp_path / str(left)
        directory.mkdir()
        collector = Collector(directory, events, rotation=Rotation(every=timedelta(hours=1)))

        collector.run(_repeat([3]), Disk(left))
        assert collector.run(_repeat([2]), Disk())

        collector.check()


def _repeat(sizes: Sequence[int]) -> Iterator[int]:
    while True:
        yield from sizes
