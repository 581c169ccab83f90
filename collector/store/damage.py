"""Whether a state file may be opened: judged by its bytes alone, so that a damaged file stays as it is."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NoReturn

from collector.errors import StoreError

APPLICATION_ID = 0x45445243  # "EDRC"
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
# A stale -wal beside a restored file would be copied into it.
_ADVICE = (
    "nothing was changed: keep the file, restore a backup (with no -wal and -shm file beside it), "
    "or move it away to start afresh"
)


def inspect(path: Path, newest_version: int) -> None:
    """Refuse what must not be opened. File format: https://www.sqlite.org/fileformat2.html, 1.3 and 4.

    Raises:
        StoreError: no SQLite file, not ours, shorter than its header says, or of a newer version.
    """
    try:
        _inspect(path, newest_version)
    except OSError as exc:
        msg = f"{exc.filename or path}: {exc.strerror}"
        raise StoreError(msg) from exc


def _inspect(path: Path, newest_version: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        _refuse(path, "is damaged: its header is not that of a state file")
    if _number(header, 68) != APPLICATION_ID:
        _refuse(path, "is an SQLite file, but not one of the collector")
    page_size = struct.unpack(">H", header[16:18])[0]
    page_size = 65536 if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):
        _refuse(path, f"is damaged: impossible page size {page_size}")
    # The newest header may stand in the WAL alone.
    wal = path.with_name(path.name + "-wal")
    frames = _committed_frames(wal, page_size)
    if 1 in frames:
        header = _read(wal, frames[1], _HEADER_BYTES)
    version, pages = _number(header, 60), _number(header, 28)
    if version > newest_version:
        _refuse(
            path, f"is of version {version}, newer than this program knows ({newest_version}): use a newer collector"
        )
    # A crash while the WAL was being copied back may leave the file short: the WAL then holds what is missing.
    if any(page not in frames for page in range(size // page_size + 1, pages + 1)):
        _refuse(path, f"is damaged: {size} bytes long, its header says {pages} pages of {page_size}")


def _refuse(path: Path, what: str) -> NoReturn:
    msg = f"{path} {what}; {_ADVICE}"
    raise StoreError(msg)


def _number(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4])


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _committed_frames(wal: Path, page_size: int) -> dict[int, int]:
    """Where the WAL's committed frames hold which page, judged by their salts; checksums are SQLite's business."""
    if not wal.exists():
        return {}
    found: dict[int, int] = {}
    pending: dict[int, int] = {}
    size = wal.stat().st_size
    with wal.open("rb") as file:
        head = file.read(_WAL_HEADER_BYTES)
        if len(head) < _WAL_HEADER_BYTES or _number(head, 8) != page_size:
            return {}
        salts = head[16:24]
        while len(frame := file.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES and frame[8:16] == salts:
            page, pages_after_commit = struct.unpack(">II", frame[:8])
            pending[page] = file.tell()
            if file.seek(page_size, 1) > size:
                break
            if pages_after_commit:
                found |= pending
                pending = {}
    return found
