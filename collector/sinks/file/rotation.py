"""When a file is full or old, and what becomes of it: renamed, perhaps compressed.

A file is rotated between batches only: right before a batch would write to it, and never while lines of an unsettled
batch may stand in it. At no point does a crash leave the same lines under two names for good: a compressed file gets
its name when it is complete and synced; if the crash comes before the original is removed, `sweep` removes it, after
having compared the two.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from collector import faults
from collector.sinks.file.disk import sync_directory
from collector.sinks.file.paths import PathTemplate

_CHUNK = 1 << 20
_GZIP = 31  # zlib's word for a window of 32 KiB and gzip's header
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The rules: a file stays within `max_size` bytes (but for a single larger batch) and one span of `every`.

    Spans are counted from the epoch in UTC: `1h` rotates with the first batch after each full hour. A file nobody
    writes to any more is not rotated.
    """

    max_size: int | None = None
    every: timedelta | None = None
    compress: bool = False

    @property
    def is_on(self) -> bool:
        return self.max_size is not None or self.every is not None

    def is_due(self, size: int, added: int, written_at: float, now: float) -> bool:
        """Whether a file of that size, last written at that time, makes room before `added` bytes are written."""
        if size == 0:
            return False
        if self.max_size is not None and size + added > self.max_size:
            return True
        if self.every is None:
            return False
        span = self.every.total_seconds()
        return written_at // span != now // span


def rotate(template: PathTemplate, path: str, now: datetime) -> str:
    """Give a file its final name, durably, and return it; a name in use (also compressed) is never taken.

    The name must be durable before the next batch's intent says that there is no file of the old name: after a power
    cut the old one would be taken for that batch's beginning.
    """
    faults.point("rotate.before")
    now = now.astimezone(UTC)
    stamp = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
    counter = 0
    while _is_taken(target := template.rotated(path, stamp, counter)):
        counter += 1
    os.rename(path, target)  # noqa: PTH104
    sync_directory(os.path.dirname(path))  # noqa: PTH120
    faults.point("rotate.renamed")
    return target


def sweep(template: PathTemplate) -> list[str]:
    """Clean up after a crash during compression; returns the rotated files that are not compressed.

    Raises:
        OSError: a file can't be read or removed.
    """
    found = set(template.rotated_files())
    for path in found:
        if path.endswith(".tmp"):
            _remove(path)
    plain = [path for path in found if not path.endswith((".tmp", ".gz"))]
    for path in plain:
        if f"{path}.gz" in found:
            _remove_original(path)
    return sorted(path for path in plain if f"{path}.gz" not in found)


class Compressor:
    """Compresses rotated files one after the other in a thread of its own, which begins with the first of them.

    What is not done when it is closed stays as it is, for the next start.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compress")

    def add(self, path: str) -> None:
        self._thread.submit(self._compress, path)

    def close(self) -> None:
        """Stop within one chunk; returns when the thread has ended."""
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)

    def wait(self) -> None:
        """Return when everything added so far is done."""
        self._thread.submit(bool).result()

    def _compress(self, path: str) -> None:
        try:
            compress(path, self._stopped)
        except OSError as exc:
            # The plain file is still there and complete: nothing is lost but room.
            _log.warning("rotated file not compressed", path=path, error=exc.strerror)


def compress(path: str, stopped: threading.Event) -> None:
    """Replace a file by its `.gz`, which has the same mode and time; gives up without a trace when `stopped` is set.

    Raises:
        OSError: it did not work; the plain file is untouched.
    """
    # Never a name that another process's clean-up or compression could take for its own.
    directory, name = os.path.split(path)
    temporary = f"{directory}/.{name}.gz.{secrets.token_hex(8)}.tmp"
    try:
        if not _write_compressed(path, temporary, stopped):
            return
        if _is_taken(f"{path}.gz", compressed=False):
            raise FileExistsError(0, "there is a compressed file of that name already", path)
        os.rename(temporary, f"{path}.gz")  # noqa: PTH104
        sync_directory(directory)
        faults.point("rotate.compressed")
        os.unlink(path)  # noqa: PTH108
        sync_directory(directory)
    finally:
        _remove(temporary)


def _write_compressed(path: str, temporary: str, stopped: threading.Event) -> bool:
    with open(path, "rb") as original, open(temporary, "xb") as target:  # noqa: PTH123
        encoder = zlib.compressobj(level=6, wbits=_GZIP)
        while chunk := original.read(_CHUNK):
            if stopped.is_set():
                return False
            target.write(encoder.compress(chunk))
        target.write(encoder.flush())
        target.flush()
        like = os.fstat(original.fileno())
        os.fchmod(target.fileno(), like.st_mode & 0o777)
        os.utime(target.fileno(), ns=(like.st_atime_ns, like.st_mtime_ns))
        os.fsync(target.fileno())
    return True


def _remove_original(path: str) -> None:
    with open(path, "rb") as original:  # noqa: PTH123
        for chunk in _decompressed(f"{path}.gz"):
            if original.read(len(chunk)) != chunk:
                break
        else:
            if not original.read(1):
                os.unlink(path)  # noqa: PTH108
                sync_directory(os.path.dirname(path))  # noqa: PTH120
                return
    _log.warning("rotated file and its compressed twin differ; both are kept", path=path)


def _decompressed(path: str) -> Iterator[bytes]:
    """The content in pieces of bounded size; a damaged file gives a piece that equals nothing."""
    decoder = zlib.decompressobj(wbits=_GZIP)
    with open(path, "rb") as compressed:  # noqa: PTH123
        try:
            while chunk := compressed.read(_CHUNK):
                piece = decoder.decompress(chunk, _CHUNK)
                while piece:
                    yield piece
                    piece = decoder.decompress(decoder.unconsumed_tail, _CHUNK)
        except zlib.error:
            yield b"\0"
    if not decoder.eof:
        yield b"\0"


def _is_taken(path: str, *, compressed: bool = True) -> bool:
    return os.path.lexists(path) or (compressed and os.path.lexists(f"{path}.gz"))


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
