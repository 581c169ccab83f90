"""One HTTP request, one answer: shared connections, hard limits, errors in the program's own words.

Nothing happens behind the caller's back, because every request is counted at the vendor: no redirect is followed (the
credential would travel along), no request is sent twice on a connection that turned out dead, no cookie is kept, the
environment's proxy settings and netrc are not read. Messages name method, host and path; never userinfo, query,
headers or bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from collector import __version__
from collector.errors import SourceUnavailable
from collector.room import Room

USER_AGENT = f"edr-collector/{__version__}"
MAX_ANSWER_BYTES = 64 << 20
MAX_IN_FLIGHT_BYTES = 64 << 20

_TIMEOUT = aiohttp.ClientTimeout(total=300, connect=30, sock_connect=30, sock_read=60)
_MAX_RETRY_AFTER = 3600.0
# A connection nobody uses is closed before the server does so: a request that meets its end would be lost.
_IDLE_SECONDS = 15.0


class AnswerTooLarge(SourceUnavailable):
    """The body is over the cap: ask for less at once."""


class _DeadConnection(aiohttp.ClientError):
    """A kept-alive connection was dead: unlike its cause, aiohttp does not send the request again for this."""


@dataclass(frozen=True, slots=True)
class Egress:
    """How to get to a server; requests of equal egress share their TLS context and connections.

    `ca_file` replaces the system's authorities. `cert_file` and `key_file` are PEM files of our own certificate.
    `proxy` is an http URL, userinfo included. `local_address` is the address of this host to connect from.
    """

    ca_file: Path | None = None
    verify: bool = True
    proxy: str | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    local_address: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. `headers` ignore case; `date` is the server's clock, None without one."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    date: datetime | None


# In this order: the first kind that fits.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the server's TLS certificate is not trusted: {reason}"),
    (aiohttp.ClientSSLError, "TLS failed: {reason}"),
    (aiohttp.ClientConnectorDNSError, "the host's name can't be resolved: {reason}"),
    (aiohttp.ClientProxyConnectionError, "the proxy can't be reached: {reason}"),
    (aiohttp.ClientHttpProxyError, "the proxy refuses: {reason}"),
    (TimeoutError, "no answer in time"),
    (aiohttp.ClientConnectorError, "no connection: {reason}"),
    (aiohttp.ClientPayloadError, "the answer broke off or can't be unpacked"),
    (aiohttp.ClientResponseError, "what came is not HTTP"),
    (_DeadConnection, "the connection was lost: {reason}"),
    (aiohttp.ClientConnectionError, "the connection was lost: {reason}"),
    (OSError, "the connection was lost: {reason}"),
)


class HttpClients:
    """Sends requests; one object for the whole program, since a TLS context alone costs 0.8 MiB.

    Async context manager: leaving it closes every connection.
    """

    def __init__(
        self,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
        max_bytes: int = MAX_ANSWER_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT_BYTES,
    ) -> None:
        self._timeout = timeout
        self.room = Room(max_in_flight)
        self._max_bytes = max_bytes
        self._sessions: dict[Egress, aiohttp.ClientSession] = {}
        self._contexts: dict[Egress, ssl.SSLContext] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        _use_fast_inflate()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, egress: Egress
    ) -> Answer:
        """Send exactly one request and read its whole answer.

        Raises:
            AnswerTooLarge: the decompressed body is over the cap; the rest of it was not read.
            SourceUnavailable: no whole answer came, and why.
        """
        what = f"{method} {_place(url)}"
        try:
            session = await self._session(egress)
        except (OSError, ValueError) as exc:
            # An unreadable CA file; `ssl.SSLError` is an OSError and says nothing of the file.
            raise SourceUnavailable(f"{what}: the TLS files can't be used: {_reason(exc)}") from exc
        try:
            async with session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
                content = await self._read(response, what)
                # An old name of gzip (RFC 9110, 8.4.1.3) that aiohttp passes through as it came.
                if content and response.headers.get("Content-Encoding", "").strip().lower() == "x-gzip":
                    content = await asyncio.to_thread(self._gunzip, content, what)
                return Answer(response.status, response.headers, content, parse_date(response.headers.get("Date")))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise SourceUnavailable(f"{what}: {_explain(exc)}") from exc

    async def _read(self, response: aiohttp.ClientResponse, what: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._max_bytes:
                    response.close()
                    raise AnswerTooLarge(f"{what}: the answer is over {self._max_bytes} bytes")
                await self.room.grow(response, len(chunk))
        finally:
            self.room.release(response)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _gunzip(self, content: bytes, what: str) -> bytes:
        inflating = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            body = inflating.decompress(content, self._max_bytes + 1)
        except zlib.error as exc:
            raise aiohttp.ClientPayloadError from exc
        if len(body) > self._max_bytes:
            raise AnswerTooLarge(f"{what}: the answer is over {self._max_bytes} bytes")
        if not inflating.eof:
            raise aiohttp.ClientPayloadError
        return body

    async def _session(self, egress: Egress) -> aiohttp.ClientSession:
        session = self._sessions.get(egress)
        if session is not None:
            return session
        async with self._opening:
            if egress not in self._sessions:
                # The way to the server makes no difference to TLS.
                trust = replace(egress, proxy=None, local_address=None)
                if trust not in self._contexts:
                    self._contexts[trust] = await asyncio.to_thread(_tls_context, trust)
                self._sessions[egress] = self._open(egress, self._contexts[trust])
            return self._sessions[egress]

    def _open(self, egress: Egress, context: ssl.SSLContext) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limit of connections: a request that has had its turn must leave now, not bunched with later ones.
            connector=aiohttp.TCPConnector(
                ssl=context,
                limit=0,
                ttl_dns_cache=60,
                keepalive_timeout=_IDLE_SECONDS,
                local_addr=(egress.local_address, 0) if egress.local_address else None,
            ),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            middlewares=[_send_once],
            proxy=egress.proxy,
            trust_env=False,
            auto_decompress=True,
            requote_redirect_url=False,
        )


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending an idempotent request a second time when a kept-alive connection was dead.

    Its client loop does so on these two errors (3.14, client.py, "retry_persistent_connection").
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _DeadConnection(_reason(exc)) from exc


def _use_fast_inflate() -> None:
    """Let aiohttp inflate with isal, 1.7 times as fast, where there is a build of it for this machine."""
    with contextlib.suppress(ImportError):
        from isal import isal_zlib  # noqa: PLC0415 -- absent on some machines

        aiohttp.set_zlib_backend(isal_zlib)


def _tls_context(egress: Egress) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(egress.ca_file) if egress.ca_file else None)
    if not egress.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if egress.cert_file:
        context.load_cert_chain(egress.cert_file, egress.key_file)
    return context


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _explain(exc: Exception) -> str:
    """What went wrong, without what an exception's own text may hold of the URL."""
    for kind, words in _WORDS:
        if isinstance(exc, kind):
            return words.format(reason=_reason(exc))
    return f"the request can't be sent ({type(exc).__name__})"


def _reason(exc: BaseException) -> str:
    match exc:
        case _DeadConnection():
            return str(exc)
        case aiohttp.ClientConnectorCertificateError():
            cause: BaseException = exc.certificate_error
        case aiohttp.ClientConnectorError():
            cause = exc.os_error
        case aiohttp.ClientHttpProxyError():
            return f"status {exc.status}"
        case _:
            cause = exc
    text = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None)
    return str(text or type(cause).__name__)


def parse_date(text: str | None) -> datetime | None:
    """Read an HTTP date as aware UTC; None where it is none."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or an HTTP date; `now` is the server's clock.

    At most an hour, at least 0.0; None for no header or one that can't be read.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text, re.ASCII):
        return min(_MAX_RETRY_AFTER, float(text))
    moment = parse_date(text) if text else None
    return None if moment is None else min(_MAX_RETRY_AFTER, max(0.0, (moment - now).total_seconds()))
