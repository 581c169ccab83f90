"""One connection to a syslog receiver that notices at once what comes from the peer.

A syslog receiver says nothing. Whatever it sends, and its close before ours, makes the connection useless: `send` and
`half_close` raise from then on. TLS runs over the same bare socket (`ssl.MemoryBIO`), because asyncio's TLS transport
hides what matters here: when our half is closed, whether the peer's close_notify came, what the kernel still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios

from collector.errors import SinkDenied, SinkError, SinkUnavailable

_CHUNK = 64 << 10
_LOOK_SECONDS = 0.5

# Parts of OpenSSL's words for the alerts with which a peer turns us down, until a person changes something. In TLS 1.2
# a missing certificate is but a "handshake failure".
_REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION", "UNRECOGNIZED_NAME")


class Unanswered(SinkUnavailable):
    """Our half was closed, and the peer did not close its own in time."""


class Connection:
    """A connected socket, with TLS inside once `secure` has returned.

    `sent` counts bytes of messages handed over: while it is 0 the peer can't have taken anything.
    """

    def __init__(self, sock: socket.socket, send_seconds: float) -> None:
        self.sent = 0
        self._sock = sock
        self._send_seconds = send_seconds
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._handshaking = False
        self._spoke = False
        self._half_closed = False
        self._eof = self._notified = False
        self._failure: SinkError | None = None
        self._changed = asyncio.Event()
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        """Let go of the socket; what is under way is lost."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    # -- TLS ---------------------------------------------------------------------------------------

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Do the TLS handshake; the caller sets the deadline.

        Raises:
            SinkDenied: the certificate of one side is not accepted by the other.
            SinkUnavailable: anything else.
        """
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._handshaking = True
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._raise_if_ended()
                await self._next_change()
            except (ssl.SSLError, ValueError) as exc:
                await self._flush_alert()
                raise _tls_error(exc) from exc
            else:
                break
        await self._flush()
        self._handshaking = False
        self._read_tls()

    async def wait_for_objection(self, seconds: float) -> None:
        """Give the peer a moment to turn us down before the first message is sent.

        In TLS 1.3 our handshake has ended before the peer judges our certificate; its session ticket, which most
        servers send, says that it was accepted and ends the wait. A balancer without a backend closes about now.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (self._spoke or self._eof or self._failure):
                    await self._next_change()
        except TimeoutError:
            pass
        self.check()

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, content: bytes) -> None:
        """Hand messages to the kernel.

        Raises:
            SinkUnavailable: the connection is broken or takes nothing; the peer may have got a part.
            SinkDenied: the peer turned our certificate down.
        """
        view = memoryview(content)
        for start in range(0, len(view), _CHUNK):
            self.check()
            chunk = view[start : start + _CHUNK]
            self.sent += len(chunk)
            if self._tls is None:
                await self._send(chunk)
                continue
            try:
                self._tls.write(chunk)
            except ssl.SSLError as exc:
                raise _tls_error(exc) from exc
            await self._flush()

    def check(self) -> None:
        """Look for what came from the peer.

        Raises:
            SinkUnavailable: the connection can't be used any more.
            SinkDenied: the peer turned our certificate down.
        """
        self._read()
        self._raise_if_ended()

    async def half_close(self) -> None:
        """Say that nothing more comes. True from then on: the peer's close came after ours.

        Raises:
            SinkError: the peer had closed, or objected, before.
        """
        self.check()
        if self._tls is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                pass  # our close_notify is on its way, the peer's is still to come
            except ssl.SSLError as exc:
                raise _tls_error(exc) from exc
            else:
                raise SinkUnavailable("the receiver closed the connection before the batch was complete")
            await self._flush()
            self._raise_if_ended()
        self._half_closed = True
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as exc:
            raise SinkUnavailable(f"the connection was lost: {_reason(exc)}") from exc

    async def closed_by_peer(self, seconds: float) -> None:
        """Return when the peer has read everything and has closed its half in an orderly way.

        Raises:
            Unanswered: it did not within so many seconds, counted from the last sign of its kernel taking something.
            SinkUnavailable: it ended the connection in another way: nothing is known of what it read.
        """
        left = self._unacknowledged()
        deadline = self._loop.time() + seconds
        while not (self._eof or self._failure):
            now = self._loop.time()
            if self._unacknowledged() < left:
                left, deadline = self._unacknowledged(), now + seconds
            if now >= deadline:
                raise Unanswered("the receiver does not answer half-close")
            await self._next_change(min(_LOOK_SECONDS, deadline - now))
        if self._failure is not None:
            raise self._failure
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error or self._unacknowledged():
            raise SinkUnavailable("the receiver closed the connection before it had everything")
        if self._tls is not None and not self._notified:
            raise SinkUnavailable("the connection was cut: it ended without TLS close_notify")

    async def say_goodbye(self, seconds: float) -> None:
        """Close in an orderly way, and give the peer so long to read what it has not read yet.

        Without that wait its answer to our close would meet a closed socket, whose reset takes the rest away from it.
        """
        with contextlib.suppress(SinkError):
            await self.half_close()
            await self.closed_by_peer(seconds)

    def _unacknowledged(self) -> int:
        """Bytes the peer's kernel has not acknowledged, our FIN among them."""
        answer = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return int(struct.unpack("i", answer)[0])

    async def _flush(self) -> None:
        pending = self._outgoing.read()
        if pending:
            await self._send(pending)

    async def _flush_alert(self) -> None:
        with contextlib.suppress(SinkError):
            await self._flush()

    async def _send(self, chunk: bytes | memoryview) -> None:
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._loop.sock_sendall(self._sock, chunk)
        except TimeoutError:
            raise SinkUnavailable(f"the receiver takes nothing for {self._send_seconds:g} s") from None
        except OSError as exc:
            self._read()  # the peer's reason, if it gave one, says more than a broken pipe
            if isinstance(self._failure, SinkDenied):
                raise self._failure from exc
            raise SinkUnavailable(f"the connection was lost: {_reason(exc)}") from exc

    # -- in ----------------------------------------------------------------------------------------

    async def _next_change(self, seconds: float | None = None) -> None:
        """Wait until something came from the peer, at most so long."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _read(self) -> None:
        """Take in what there is; called by the loop whenever there is something."""
        if self._eof or self._failure:
            return
        try:
            received = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(SinkUnavailable(f"the connection was lost: {_reason(exc)}"))
            return
        if not received:
            self._eof = True
            self._stop_reading()
        elif self._tls is None:
            self._fail(SinkUnavailable("the receiver answers, which syslog receivers never do: is it one?"))
        else:
            self._incoming.write(received)
            if not self._handshaking:
                self._spoke = True
                self._read_tls()
        self._changed.set()

    def _read_tls(self) -> None:
        """See what of TLS came: tickets, the peer's close_notify, an alert."""
        if self._tls is None or self._notified:
            return
        try:
            content = self._tls.read(1)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._notified = True
        except ssl.SSLError as exc:
            self._fail(_tls_error(exc))
        else:
            if content:
                self._fail(SinkUnavailable("the receiver answers, which syslog receivers never do: is it one?"))
            else:
                self._notified = True

    def _fail(self, failure: SinkError) -> None:
        self._failure = failure
        self._stop_reading()
        self._changed.set()

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._sock)

    def _raise_if_ended(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._eof or self._notified:
            raise SinkUnavailable("the receiver closed the connection")


def _tls_error(exc: ssl.SSLError | ValueError) -> SinkError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return SinkDenied(f"the receiver's certificate is not trusted: {exc.verify_message}")
    reason = str(getattr(exc, "reason", None) or type(exc).__name__)
    text = reason.lower().replace("_", " ")
    if "ALERT" in reason and any(word in reason for word in _REFUSALS):
        return SinkDenied(f"the receiver refuses us (our certificate?): {text}")
    return SinkUnavailable(f"TLS failed: {text}")


def _reason(exc: OSError) -> str:
    return exc.strerror or type(exc).__name__
