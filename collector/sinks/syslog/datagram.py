"""One datagram per message: best effort by nature.

An event counts when the kernel has taken it. What the network or the receiver drops is lost unseen; only a host that
says that nobody listens there (ICMP) is heard, and the batch is sent again later.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from collector.errors import SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext
from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.dialing import resolve
from collector.sinks.syslog.messages import Messages

# Small batches: the receiver's buffer is, and what settling them takes gives it time.
_MAX_EVENTS, _MAX_BYTES = 100, 64 << 10
_RESOLVE_EVERY_SECONDS = 60.0
_FULL_SECONDS = 0.01


class DatagramSink:
    """One receiver over UDP; its name is resolved again every minute."""

    limits = BatchLimits(max_events=_MAX_EVENTS, max_bytes=_MAX_BYTES)
    max_in_flight = 1

    def __init__(self, config: SyslogConfig, context: SinkContext) -> None:
        self._address = config.target
        self._messages = Messages(config, context.encode)
        self._connect_seconds = config.connect_timeout.total_seconds()
        self._send_seconds = config.send_timeout.total_seconds()
        self._clock = context.clock
        self._sock: socket.socket | None = None
        self._resolved_at = 0.0

    def partition(self, event: Event) -> str:  # noqa: ARG002 -- the protocol's
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:  # noqa: ARG002 -- the protocol's
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        written = self._messages.of(batch)
        if written.messages:
            sock = await self._socket()
            try:
                async with asyncio.timeout(self._send_seconds):
                    for message in written.messages:
                        await self._send(sock, message)
            except TimeoutError:
                raise SinkUnavailable(f"the network takes nothing for {self._send_seconds:g} s") from None
            except OSError as exc:
                raise SinkUnavailable(f"can't send to {self._address}: {exc.strerror or exc}") from exc
        return Receipt(rejected=written.rejected)

    async def probe(self) -> None:
        """Whether the name resolves and there is a way there: nobody answers a datagram."""
        await self._socket()

    async def close(self) -> None:
        """Let go of the socket."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    async def _send(self, sock: socket.socket, message: bytes) -> None:
        while True:
            try:
                sock.send(message)
            except BlockingIOError:
                await self._clock.sleep(_FULL_SECONDS)
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                await self._clock.sleep(_FULL_SECONDS)
            else:
                return

    async def _socket(self) -> socket.socket:
        """A socket for the address the name leads to now."""
        now = self._clock.monotonic()
        if self._sock is not None and now - self._resolved_at < _RESOLVE_EVERY_SECONDS:
            return self._sock
        await self.close()
        failure: OSError | None = None
        for candidate in await resolve(self._address, self._connect_seconds):
            sock = socket.socket(candidate.family, candidate.kind, candidate.protocol)
            try:
                sock.settimeout(0.0)
                sock.connect(candidate.where)
            except OSError as exc:
                failure = exc
                sock.close()
            else:
                self._sock, self._resolved_at = sock, now
                return sock
        raise SinkUnavailable(f"no way to {self._address}: {failure.strerror if failure else 'no address'}")
