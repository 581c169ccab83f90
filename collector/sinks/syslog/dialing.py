"""From an address to an open connection: every connection resolves the name anew and tries each of its addresses."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from collector.errors import SinkDenied, SinkUnavailable
from collector.sinks.syslog.config import Address, SyslogConfig
from collector.sinks.syslog.connection import Connection
from collector.tls import client_context

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
_AT_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address that a name resolves to; `where` as sockets take it."""

    family: int
    kind: int
    protocol: int
    where: tuple[Any, ...]


class Dialer:
    """Opens connections for one sink. TLS files are read when it is made ready, once per opening of the sink."""

    def __init__(self, config: SyslogConfig) -> None:
        self._config = config
        self._address = config.target
        self._context: ssl.SSLContext | None = None

    async def make_ready(self) -> None:
        """Read the TLS files.

        Raises:
            SinkDenied: they can't be used.
        """
        tls = self._config.tls
        if self._address.transport != "tls":
            return
        try:
            self._context = await asyncio.to_thread(
                client_context,
                ca_file=tls.ca_file,
                cert_file=tls.cert_file,
                key_file=tls.key_file,
                key_password=tls.key_password.get_secret_value() if tls.key_password else "",
                verify=tls.verify,
            )
        except (OSError, ValueError) as exc:
            raise SinkDenied(f"the TLS files can't be used: {_reason(exc)}") from exc

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A new connection, ready to send; closed on leaving.

        Raises:
            SinkUnavailable: it can't be had in time.
            SinkDenied: a certificate is not accepted.
        """
        seconds = self._config.connect_timeout.total_seconds()
        deadline = asyncio.get_running_loop().time() + seconds
        sock = await self._connect(deadline)
        connection = Connection(sock, self._config.send_timeout.total_seconds())
        try:
            if self._context is not None:
                try:
                    async with asyncio.timeout_at(deadline):
                        await connection.secure(self._context, self._config.tls.server_name or self._address.host)
                except TimeoutError:
                    raise SinkUnavailable(f"no TLS handshake within {seconds:g} s") from None
            yield connection
        finally:
            connection.close()

    async def _connect(self, deadline: float) -> socket.socket:
        """The first of the addresses that answers; each gets its share of the time that is left."""
        now = asyncio.get_running_loop().time
        candidates = await resolve(self._address, deadline - now())
        failures: list[str] = []
        for index, candidate in enumerate(candidates):
            share = max(_AT_LEAST_SECONDS, (deadline - now()) / (len(candidates) - index))
            try:
                async with asyncio.timeout(share):
                    return await _connected(candidate)
            except TimeoutError:
                failures.append(f"{candidate.where[0]}: no answer in time")
            except OSError as exc:
                failures.append(f"{candidate.where[0]}: {_reason(exc)}")
        raise SinkUnavailable(f"no connection to {self._address}: {'; '.join(failures)}")


async def resolve(address: Address, seconds: float) -> list[Candidate]:
    """Where the address leads now, in the system's order of preference; never empty.

    Raises:
        SinkUnavailable: nowhere.
    """
    kind = socket.SOCK_DGRAM if address.transport == "udp" else socket.SOCK_STREAM
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=kind)
    except TimeoutError:
        raise SinkUnavailable(f"the name {address.host} can't be resolved in time") from None
    except (OSError, UnicodeError) as exc:
        raise SinkUnavailable(f"the name {address.host} can't be resolved: {_reason(exc)}") from exc
    return [Candidate(family, kind, protocol, where) for family, kind, protocol, _, where in found]


async def _connected(candidate: Candidate) -> socket.socket:
    sock = socket.socket(candidate.family, candidate.kind, candidate.protocol)
    try:
        sock.settimeout(0.0)
        _watch_for_silence(sock)
        await asyncio.get_running_loop().sock_connect(sock, candidate.where)
    except BaseException:
        sock.close()
        raise
    return sock


def _watch_for_silence(sock: socket.socket) -> None:
    """Have the kernel notice a peer that has gone without a word, also where a firewall forgot the connection."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError):
        return str(exc.reason or "not what OpenSSL expects").lower().replace("_", " ")
    if isinstance(exc, OSError) and exc.errno and exc.errno > 0:  # below: getaddrinfo's
        return os.strerror(exc.errno)
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
