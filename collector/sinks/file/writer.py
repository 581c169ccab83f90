"""Appending batches to files so that each line stands there once, whatever happens in between.

`prepare` looks, `deliver` writes; what `prepare` returned is stored in between, and what `deliver` returns, after it
(`recovery` says what a start makes of it). All of it blocks: the sink runs it in a thread of its own, one call at a
time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from collector import faults
from collector.sinks.base import Batch
from collector.sinks.file.disk import make_directories, nearest_directory, sync_directory, sync_parents, write_all
from collector.sinks.file.paths import PathTemplate
from collector.sinks.file.recovery import Extent, Intent, Tail, cut_tails, is_torn, kept_length, open_existing, recover
from collector.sinks.file.rotation import Rotation, rotate

_MAX_TAILS = 128
_MAX_STATE_BYTES = 60_000


@dataclass(slots=True)
class _Part:
    """What one batch means for one file.

    `size`: what of the file is settled; `present`: its size now; `kept`: how many bytes of `lines` stand there already.
    `fd` is None until the file exists.
    """

    name: str
    path: str
    lines: bytes
    fd: int | None = None
    inode: int | None = None
    size: int = 0
    present: int = 0
    kept: int = 0

    @property
    def extent(self) -> Extent:
        return Extent(self.inode, self.size, max(self.present, self.size + len(self.lines)))

    @property
    def is_wholly_kept(self) -> bool:
        return self.kept == len(self.lines)


class Writer:
    """The files of one sink. Files are open from `prepare` to the end of `deliver` only.

    `rotated` is called with the name of each file that was rotated. After any call raised, only `close` may follow.
    Every method raises `OSError` (with the file it is about) for whatever the disk refuses.
    """

    def __init__(
        self,
        template: PathTemplate,
        *,
        mode: int,
        rotation: Rotation,
        now: Callable[[], datetime],
        rotated: Callable[[str], None],
    ) -> None:
        self._template = template
        self._mode = mode
        self._rotation = rotation
        self._now = now
        self._rotated = rotated
        self._parts: list[_Part] = []
        self._tails: dict[str, Tail] = {}
        self._events = 0

    def recover(self, state: bytes) -> None:
        """Take up the state that `prepare` or `deliver` returned last and the store kept.

        Raises:
            SinkDenied: it can't be understood.
        """
        intent = Intent.decode(state)
        self._tails = recover(intent, self._template.base)
        self._events = intent.events if self._tails else 0

    def prepare(self, batch: Batch) -> bytes:
        """Find out what the batch's files hold, rotate those that are full; returns the intent."""
        self.close()
        lines: dict[str, list[bytes]] = {}
        for event, payload in zip(batch.events, batch.payloads, strict=True):
            lines.setdefault(self._template.render(event), []).append(payload)
        for name, payloads in lines.items():
            self._parts.append(_Part(name, self._template.absolute(name), b"\n".join(payloads) + b"\n"))
            self._look(self._parts[-1])
        # A name that is gone must be so for good before an intent says "no such file": if it came back with a power
        # cut, the file would be taken for the begin of this batch.
        for directory in {nearest_directory(os.path.dirname(part.path)) for part in self._parts if part.fd is None}:  # noqa: PTH120
            sync_directory(directory)
        return self._intent(len(batch))

    def deliver(self, batch: Batch) -> bytes:
        """Write and sync what `prepare` found missing; returns the state to settle with."""
        for part in self._parts:
            with _about(part.path):
                self._write(part)
                faults.point("write.after")
        faults.point("fsync.before")
        self._sync()
        faults.point("fsync.after")
        self._forget(len(batch))
        self.close()
        return self._state()

    def close(self) -> None:
        for part in self._parts:
            if part.fd is not None:
                os.close(part.fd)
        self._parts = []

    def _look(self, part: _Part) -> None:
        with _about(part.path):
            part.fd = open_existing(part.path)
            if part.fd is None:
                self._tails.pop(part.name, None)
                return
            found = os.fstat(part.fd)
            tail = self._tails.get(part.name)
            if tail is not None and (tail.inode, tail.end) != (found.st_ino, found.st_size):
                tail = None  # moved, shortened or written to by others since it was read: no longer ours to judge
                del self._tails[part.name]
            now = self._now().timestamp()
            if tail is None and self._rotation.is_due(found.st_size, len(part.lines), found.st_mtime, now):
                os.close(part.fd)
                part.fd = None
                self._rotated(rotate(self._template, part.path, self._now()))
                return
            part.inode = found.st_ino
            part.present = found.st_size
            part.size = found.st_size if tail is None else tail.size
            if is_torn(part.fd, part.size) if tail is None else tail.torn:
                part.lines = b"\n" + part.lines  # never the second half of somebody's torn line
            if tail is not None:
                part.kept = kept_length(tail.content, part.lines)

    def _write(self, part: _Part) -> None:
        if part.fd is None:
            make_directories(os.path.dirname(part.path), self._mode)  # noqa: PTH120
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            part.fd = os.open(part.path, flags, self._mode)
            os.fchmod(part.fd, self._mode)  # the mode as configured, whatever the umask
        elif os.fstat(part.fd).st_size != part.present:
            raise OSError(0, "it was changed by others while a batch was on its way", part.path)
        if part.is_wholly_kept:
            return
        if part.size + part.kept < part.present:
            os.ftruncate(part.fd, part.size + part.kept)
        try:
            write_all(part.fd, part.lines[part.kept :])
        except OSError:  # a full disk: whoever reads along shall not see half a line until there is room
            with contextlib.suppress(OSError):
                os.ftruncate(part.fd, part.size + part.kept)
            raise

    def _sync(self) -> None:
        try:
            for part in self._parts:
                with _about(part.path):
                    _sync_linked(_opened(part), part.path)
        except OSError:
            # After a failed sync the kernel shows the lines as written though they may never reach the disk: they
            # must be written again, so they must not be found by the next start.
            for part in self._parts:
                with contextlib.suppress(OSError):
                    os.ftruncate(_opened(part), part.size)
            raise
        created = [part.path for part in self._parts if part.inode is None]
        if created:
            sync_parents(created, self._template.base)

    def _forget(self, events: int) -> None:
        """What this batch reconciled is known now; once all events of the unsettled batch came, nothing else is."""
        for part in self._parts:
            tail = self._tails.pop(part.name, None)
            if tail is not None and part.is_wholly_kept and part.size + part.kept < tail.end:
                self._tails[part.name] = Tail(tail.inode, part.size + part.kept, tail.content[part.kept :], torn=False)
        self._events = max(0, self._events - events)
        if not self._events:
            self._cut_tails(self._tails)

    def _cut_tails(self, names: Iterable[str]) -> None:
        cut = list(names)
        cut_tails({self._template.absolute(name): self._tails[name] for name in cut})
        for name in cut:
            del self._tails[name]

    def _intent(self, events: int) -> bytes:
        touched = {part.name for part in self._parts}
        waiting = [name for name in self._tails if name not in touched]
        state = self._encode(max(events, self._events))
        if len(touched) + len(waiting) > _MAX_TAILS or len(state) > _MAX_STATE_BYTES:
            # Only where routes or templates changed meanwhile. The events come again: cutting loses nothing.
            self._cut_tails(waiting)
            state = self._encode(max(events, self._events))
        return state

    def _state(self) -> bytes:
        return self._encode(self._events)

    def _encode(self, events: int) -> bytes:
        extents = {name: Extent(tail.inode, tail.size, tail.end) for name, tail in self._tails.items()}
        extents |= {part.name: part.extent for part in self._parts}
        return Intent(self._template.base, events if extents else 0, extents).encode()


def _opened(part: _Part) -> int:
    if part.fd is None:
        raise OSError(0, "it was not opened", part.path)
    return part.fd


@contextlib.contextmanager
def _about(path: str) -> Iterator[None]:
    """Name the file in errors of calls that know a descriptor only."""
    try:
        yield
    except OSError as exc:
        if exc.filename is None:
            exc.filename = path
        raise


def _sync_linked(fd: int, path: str) -> None:
    """Make a file durable that still has a name: in one that others removed meanwhile, nobody finds the lines."""
    os.fsync(fd)
    if os.fstat(fd).st_nlink == 0:
        raise OSError(0, "it was removed by others while a batch was on its way", path)
