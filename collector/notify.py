"""What a service manager is told, by the datagrams of sd_notify(3); nothing without `$NOTIFY_SOCKET`.

Nothing here raises: a manager that does not listen is no reason to stop collecting.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

# The manager's queue may be full for a moment; the loop waits no longer than this for it.
_SEND_SECONDS = 0.2


class Notifier:
    """Sends to `address`: a path, or `@name` for an abstract socket; None sends nothing.

    `watchdog_seconds`: the manager ends us when it hears no `alive` for so long, None: it does not watch us.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self.address = address
        self.watchdog_seconds = watchdog_seconds

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier:
        """What the manager asks for in `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = ours and microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watched else None)

    def ready(self, status: str) -> None:
        """Started, or done with reloading."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows whatever comes of it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the configuration again")

    def stopping(self) -> None:
        """On the way out."""
        self._send("STOPPING=1", "STATUS=stopping: what was fetched is being delivered")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(status))

    def alive(self, status: str) -> None:
        """Every loop turns; `status` as above."""
        self._send("WATCHDOG=1", _status(status))

    def _send(self, *assignments: str) -> None:
        if self.address is None:
            return
        target = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_SEND_SECONDS)
            sender.sendto("\n".join(assignments).encode(), target)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
