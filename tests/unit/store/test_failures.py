"""What SQLite and the system raise becomes what the caller should do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from collector.errors import CollectorError, PageRefused, StoreError, StoreFull
from collector.store import failures


def sqlite_error(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    exc = kind("in SQLite's words")
    exc.sqlite_errorcode = code
    return exc


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_CORRUPT, StoreError),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreError),
        (sqlite3.SQLITE_NOTADB, StoreError),
        (sqlite3.SQLITE_IOERR_WRITE, StoreError),
        (sqlite3.SQLITE_CANTOPEN, StoreError),
        (sqlite3.SQLITE_BUSY, StoreError),
        (sqlite3.SQLITE_READONLY, StoreError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, PageRefused),
        (sqlite3.SQLITE_TOOBIG, PageRefused),
        (sqlite3.SQLITE_MISMATCH, PageRefused),
    ],
)
def test_a_code_says_what_to_do(tmp_path: Path, code: int, expected: type[CollectorError]) -> None:
    assert type(failures.translate(sqlite_error(code), tmp_path / "collector.db")) is expected


@pytest.mark.parametrize("kind", [sqlite3.DataError, sqlite3.InterfaceError])
def test_what_python_refuses_to_bind_concerns_that_write_alone(tmp_path: Path, kind: type[sqlite3.Error]) -> None:
    assert isinstance(failures.translate(kind("string longer than INT_MAX bytes"), tmp_path / "c.db"), PageRefused)


def test_an_error_without_a_code_is_the_state_s(tmp_path: Path) -> None:
    exc = sqlite3.ProgrammingError("Cannot operate on a closed database.")
    assert isinstance(failures.translate(exc, tmp_path / "c.db"), StoreError)


def test_damage_comes_with_advice(tmp_path: Path) -> None:
    message = str(failures.translate(sqlite_error(sqlite3.SQLITE_CORRUPT), tmp_path / "c.db"))
    assert str(tmp_path / "c.db") in message
    assert "restore a backup" in message


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN])
def test_an_io_error_without_room_means_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(failures, "_ALMOST_NOTHING_BYTES", 1 << 62)
    assert isinstance(failures.translate(sqlite_error(code), tmp_path / "c.db"), StoreFull)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_io_error_at_a_quota_that_the_volume_does_not_show_means_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    exc = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
    assert isinstance(failures.translate(exc, tmp_path / "c.db"), StoreFull)


def test_the_probe_for_room_leaves_nothing_behind(tmp_path: Path) -> None:
    failures.translate(sqlite_error(sqlite3.SQLITE_IOERR_WRITE), tmp_path / "c.db")
    assert list(tmp_path.iterdir()) == []


def test_an_io_error_in_a_folder_that_is_gone_is_an_io_error(tmp_path: Path) -> None:
    exc = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
    assert isinstance(failures.translate(exc, tmp_path / "gone" / "c.db"), StoreError)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EACCES, StoreError), (errno.EROFS, StoreError)],
)
def test_the_system_s_errors_too(tmp_path: Path, number: int, expected: type[CollectorError]) -> None:
    exc = OSError(number, os.strerror(number), str(tmp_path / "there"))
    found = failures.translate(exc, tmp_path / "c.db")
    assert type(found) is expected
    assert expected is StoreFull or str(found) == f"{tmp_path / 'there'}: {os.strerror(number)}"
