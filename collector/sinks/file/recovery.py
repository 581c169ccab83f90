"""What a batch that was cut short left behind, and how much of it counts.

Before a batch is written its `Intent` is stored: what each file it touches held by then. Whatever a crash, a full disk
or a cancelled write leaves beyond that size is of this batch and not settled, so the same events will come again, in
the same order, though perhaps in batches with other borders. Readers may have seen the whole lines already, so those
are kept as long as they equal the events that come; a torn or different rest is cut off. Never is more cut than the
batch can have written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from collector.errors import SinkDenied
from collector.sinks.file.disk import cut, read_range, sync_parents

_VERSION = 1
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Extent:
    """What one file held before a batch: `inode` None and `size` 0 where there was none.

    `end` is the most it can hold after it: a file larger than that was written to by others and is not cut.
    """

    inode: int | None
    size: int
    end: int


@dataclass(frozen=True, slots=True)
class Intent:
    """The sink's state: extents of the files (names relative to `base`) that a batch not yet settled may have changed.

    `events`: after that many events delivered, all that may lie beyond the extents has come again.
    """

    base: str
    events: int = 0
    extents: Mapping[str, Extent] = field(default_factory=dict)

    def encode(self) -> bytes:
        files = {name: (extent.inode, extent.size, extent.end) for name, extent in self.extents.items()}
        return orjson.dumps({"v": _VERSION, "base": self.base, "events": self.events, "files": files})

    @staticmethod
    def decode(state: bytes) -> Intent:
        """Read what `encode` wrote.

        Raises:
            SinkDenied: a newer version wrote it, or it is damaged; guessing would cut somebody's file.
        """
        try:
            body: dict[str, Any] = orjson.loads(state)
            if body["v"] != _VERSION:
                raise SinkDenied(f"the stored state of this file sink is of version {body['v']}, not {_VERSION}")
            extents = {name: Extent(*extent) for name, extent in body["files"].items()}
            return Intent(body["base"], body["events"], extents)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SinkDenied(f"the stored state of this file sink is damaged: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Tail:
    """Whole lines beyond `size` that nothing is known of yet: the events that come will tell.

    `torn` is true when the file's byte before `size` is no line end (others' work): our lines then begin with one.
    """

    inode: int
    size: int
    content: bytes
    torn: bool

    @property
    def end(self) -> int:
        return self.size + len(self.content)


def recover(intent: Intent, base: str) -> dict[str, Tail]:
    """Cut torn lines, give back the whole ones beyond each extent; runs once, when the sink is opened.

    Files that are gone, replaced (logrotate), shorter than recorded (copytruncate) or longer than possible are left
    alone.

    Raises:
        OSError: a file can't be read or cut.
    """
    if intent.base != base:
        _abandon(intent)
        return {}
    tails = {name: _recover_one(f"{base}/{name}", extent, base) for name, extent in intent.extents.items()}
    return {name: tail for name, tail in tails.items() if tail is not None}


def _abandon(intent: Intent) -> None:
    """The template has another fixed directory by now: the events come again, but never to these files."""
    for name, extent in intent.extents.items():
        path = f"{intent.base}/{name}"
        try:
            tail = _recover_one(path, extent, intent.base)
            cut_tails({path: tail} if tail else {})
        except OSError as exc:
            # The path may have been changed because of this very error: the new one must not suffer from it.
            _log.warning("file of the former path not cut back", path=path, size=extent.size, error=exc.strerror)


def cut_tails(tails: Mapping[str, Tail]) -> None:
    """Cut files (absolute path to tail) back to what is settled: what lies beyond comes again, or elsewhere.

    Raises:
        OSError: a file can't be cut.
    """
    for path, tail in tails.items():
        fd = open_existing(path)
        if fd is None:
            continue
        try:
            found = os.fstat(fd)
            if found.st_ino == tail.inode and found.st_size == tail.end:
                cut(fd, tail.size)
        finally:
            os.close(fd)


def _recover_one(path: str, extent: Extent, base: str) -> Tail | None:
    try:
        fd = open_existing(path)
    except (NotADirectoryError, IsADirectoryError):
        return None
    if fd is None:
        return None
    try:
        return _tail(path, fd, extent, base)
    finally:
        os.close(fd)


def open_existing(path: str) -> int | None:
    """Open for appending and reading; None when there is none.

    Raises:
        OSError: it is there, but no regular file of ours to write to.
    """
    try:
        # Not blocking: a pipe with this name would hang here, and never come to the check below.
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "it is not a regular file", path)
    return fd


def is_torn(fd: int, size: int) -> bool:
    """Whether the file's first `size` bytes end within a line."""
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _tail(path: str, fd: int, extent: Extent, base: str) -> Tail | None:
    found = os.fstat(fd)
    if extent.inode is None:
        # Created by the batch that was cut short: whether its name is durable is unknown.
        sync_parents([path], base)
    elif extent.inode != found.st_ino:
        return None
    if found.st_size > extent.end:
        _log.warning("file was written to by others", path=path, size=found.st_size, expected_at_most=extent.end)
        return None
    if found.st_size <= extent.size:
        return None
    content = read_range(fd, extent.size, found.st_size)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        cut(fd, extent.size + len(whole))
    return Tail(found.st_ino, extent.size, whole, is_torn(fd, extent.size)) if whole else None


def kept_length(content: bytes, lines: bytes) -> int:
    """How many bytes of `content`, in whole lines, equal the beginning of `lines`; both end with a line end."""
    if lines.startswith(content):
        return len(content)
    if content.startswith(lines):
        return len(lines)
    kept = 0
    while (end := content.find(b"\n", kept) + 1) and content[kept:end] == lines[kept:end]:
        kept = end
    return kept
