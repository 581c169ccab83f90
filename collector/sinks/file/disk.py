"""What makes names and bytes durable: synced files, synced directories, created parents."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


def write_all(fd: int, content: bytes) -> None:
    """Append everything; a full disk takes a part of it first and then raises `OSError`."""
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


def read_range(fd: int, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, fewer where the file ends before."""
    chunks = []
    while start < end and (chunk := os.pread(fd, end - start, start)):
        chunks.append(chunk)
        start += len(chunk)
    return b"".join(chunks)


def cut(fd: int, size: int) -> None:
    """Shorten a file, durably: a torn line must not come back after a power cut."""
    os.ftruncate(fd, size)
    os.fsync(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable, where its file system knows how (SMB does not)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(fd)


def make_directories(path: str, file_mode: int) -> None:
    """Create a directory and its missing parents; whoever may read the files may enter it."""
    os.makedirs(path, mode=0o700 | file_mode | ((file_mode & 0o444) >> 2), exist_ok=True)  # noqa: PTH103


def nearest_directory(path: str) -> str:
    """The path itself or the nearest of its parents that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)  # noqa: PTH120
    return path


def sync_parents(paths: Iterable[str], base: str) -> None:
    """Make the names of files durable all the way up: any of their directories may be as new as they are.

    Those above `base` are not ours, so one that may not be read is passed over.
    """
    for directory in _parents(paths):
        try:
            sync_directory(directory)
        except PermissionError:
            if len(directory) >= len(base):
                raise


def _parents(paths: Iterable[str]) -> list[str]:
    """All directories above these files, each once, deepest first."""
    found: set[str] = set()
    for path in paths:
        directory = os.path.dirname(path)  # noqa: PTH120
        while directory not in found:
            found.add(directory)
            directory = os.path.dirname(directory)  # noqa: PTH120
    return sorted(found, key=len, reverse=True)
