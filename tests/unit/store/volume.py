"""A small volume to fill up: a tmpfs of its own, or where none may be mounted, what SQLite meets on a full one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from collector.store import Store

SIZE = 4 << 20


class Volume(Protocol):
    path: Path

    async def fill(self, store: Store | None = None) -> None:
        """Leave no room."""
        ...

    async def make_room(self, store: Store | None = None) -> None:
        """Make it empty again, but for the state."""
        ...


class Tmpfs:
    """A file system of four MiB."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "collector.db"
        self._ballast = folder / "ballast"

    async def fill(self, store: Store | None = None) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    async def make_room(self, store: Store | None = None) -> None:
        self._ballast.unlink()


class Pretended:
    """For machines where nothing may be mounted: SQLite may grow no file and open none, statvfs tells of no room."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = folder / "collector.db"
        self._patch = patch

    async def fill(self, store: Store | None = None) -> None:
        values = list(os.statvfs(self.path.parent))
        values[3] = values[4] = 0
        full = os.statvfs_result(values)
        self._patch.setattr(os, "statvfs", lambda _: full)
        if store is None:
            self._patch.setattr(sqlite3, "connect", _refuse)
        else:
            count = await store._writer.call(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
            await store._writer.call(lambda c: c.execute(f"PRAGMA max_page_count={count}").fetchall())

    async def make_room(self, store: Store | None = None) -> None:
        self._patch.undo()
        if store is not None:
            await store._writer.call(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchall())


def _refuse(*_: object, **__: object) -> NoReturn:
    exc = sqlite3.OperationalError("unable to open database file")
    exc.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    raise exc


@contextmanager
def small_volume(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Volume]:
    """An empty folder that is a small volume, or pretends to be one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield Tmpfs(folder) if mounted else Pretended(folder, patch)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
