"""Whether a state file may be opened: judged by its bytes alone, so that a damaged file stays as it is."""

from __future__ import annotations

import struct
from pathlib import Path

from collector.errors import StoreError

APPLICATION_ID = 0x45445243  # "EDRC"
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_ADVICE = "nothing was changed: keep the file, restore a backup, or move it away to start afresh"


def inspect(path: Path, newest_version: int) -> None:
    """Refuse what must not be opened. File format: https://www.sqlite.org/fileformat2.html, 1.3 and 4.

    Raises:
        StoreError: no SQLite file, not ours, shorter than its header says, or of a newer version.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as exc:
        msg = f"{path}: {exc.strerror}"
        raise StoreError(msg) from exc
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        _refuse(path, "is damaged: its header is not that of a state file")
    application, version = struct.unpack(">I", header[68:72])[0], struct.unpack(">I", header[60:64])[0]
    if application != APPLICATION_ID:
        _refuse(path, "is an SQLite file, but not one of the collector")
    if version > newest_version:
        _refuse(
            path, f"is of version {version}, newer than this program knows ({newest_version}): use a newer collector"
        )
    page_size = struct.unpack(">H", header[16:18])[0]
    page_size = 65536 if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):
        _refuse(path, f"is damaged: impossible page size {page_size}")
    pages = struct.unpack(">I", header[28:32])[0]
    # A crash while the WAL was being copied back may leave the file short: the WAL then holds what is missing.
    missing = set(range(size // page_size + 1, pages + 1)) if pages * page_size > size else set()
    if missing and not missing <= _pages_in_wal(wal, page_size):
        _refuse(path, f"is damaged: {size} bytes long, its header says {pages} pages of {page_size}")


def _refuse(path: Path, what: str) -> None:
    msg = f"{path} {what}; {_ADVICE}"
    raise StoreError(msg)


def _pages_in_wal(wal: Path, page_size: int) -> set[int]:
    """The pages of the WAL's committed frames, by their salts; checksums are SQLite's business."""
    if not wal.exists():
        return set()
    found: set[int] = set()
    pending: set[int] = set()
    with wal.open("rb") as file:
        head = file.read(_WAL_HEADER_BYTES)
        if len(head) < _WAL_HEADER_BYTES:
            return set()
        salts = head[16:24]
        while len(frame := file.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES and frame[8:16] == salts:
            page, size_after_commit = struct.unpack(">II", frame[:8])
            pending.add(page)
            if size_after_commit:
                found |= pending
                pending = set()
            file.seek(page_size, 1)
    return found
