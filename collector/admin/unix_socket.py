"""A unix socket to listen on that only this user may open."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collector.errors import CollectorError, ConfigError

# sun_path holds 108 bytes, the last of which is NUL.
LONGEST_PATH = 107


@contextmanager
def private_socket(path: Path) -> Iterator[socket.socket]:
    """A bound, non-blocking socket with mode 0600 from its creation on; removed at the end if it still is ours.

    The socket of a daemon that was killed is replaced; what else stands there is left alone.

    Raises:
        ConfigError: the path is too long for a socket.
        CollectorError: it can't be made, or another daemon answers there.
    """
    listening = _listen(path)
    made = path.stat()
    try:
        yield listening
    finally:
        listening.close()
        _remove_own(path, made)


def _listen(path: Path) -> socket.socket:
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        problem = f"{length} bytes are too long for a socket's path, {LONGEST_PATH} the most: choose a shorter one"
        raise ConfigError([f"admin.control: {path}: {problem}"])
    try:
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Linux gives the socket's file the mode of the unbound socket, so it is never open to others, not even
            # between bind and chmod; the process-wide umask would touch what other threads create meanwhile.
            os.fchmod(listening.fileno(), 0o600)
            listening.bind(os.fspath(path))
            listening.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        except OSError:
            listening.close()
            raise
    except OSError as exc:
        raise CollectorError(f"admin.control: can't make the socket {path}: {exc.strerror or exc}") from exc
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that was killed; whatever else stands there is none of ours."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CollectorError(f"admin.control: {path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise CollectorError(f"admin.control: another daemon answers on {path}")


def _remove_own(path: Path, made: os.stat_result) -> None:
    with suppress(OSError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()
