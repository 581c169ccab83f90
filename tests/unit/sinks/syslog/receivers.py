"""Syslog receivers of ours on loopback, good and bad, each a thread with blocking sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

Conduct = Callable[["Receiver", socket.socket], None]
"""What a receiver does with one connection; the socket is closed behind it."""

_CHUNK = 65_536


class Receiver:
    """Listens on a free port of `host`; every connection is met by the next conduct, the last of which repeats.

    `streams` has what was read of each connection, in order of their arrival, also while it is being read.
    `context` makes it a TLS server; then a connection that fails in the handshake never meets a conduct.
    """

    def __init__(self, *conducts: Conduct, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.conducts = list(conducts)
        self.streams: list[bytearray] = []
        self.connections = 0
        self.ends = 0
        self.ended = threading.Event()
        self._context = context
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def stream(self, number: int = 0) -> bytes:
        return bytes(self.streams[number])

    @property
    def messages(self) -> list[bytes]:
        """All complete octet-counted messages of all connections."""
        return [message for stream in self.streams for message in octet_messages(bytes(stream))[0]]

    def until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for a receiver's thread; blocks, so run it in a thread where a loop runs."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "the receiver never got there"
            time.sleep(0.002)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            conduct = self.conducts.pop(0) if len(self.conducts) > 1 else self.conducts[0]
            self.connections += 1
            self._start(lambda connection=connection, conduct=conduct: self._meet(connection, conduct))  # type: ignore[misc]  # the defaults bind this turn's values

    def _meet(self, connection: socket.socket, conduct: Conduct) -> None:
        with contextlib.suppress(OSError), connection:
            if self._context is None:
                conduct(self, connection)
            else:
                with self._context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as secure:
                    conduct(self, secure)
        self.ends += 1

    def all_left(self) -> bool:
        """Every connection there was has ended."""
        return 0 < self.connections == self.ends


def octet_messages(stream: bytes) -> tuple[list[bytes], bytes]:
    """Messages framed by RFC 6587's octet counting, and what is left over."""
    messages: list[bytes] = []
    while True:
        digits, space, rest = stream.partition(b" ")
        if not space:
            return messages, stream
        assert digits.isdigit(), f"no length: {digits[:40]!r}"
        assert not digits.startswith(b"0"), f"no length: {digits[:40]!r}"
        length = int(digits)
        if len(rest) < length:
            return messages, stream
        messages.append(rest[:length])
        stream = rest[length:]


# -- conducts --------------------------------------------------------------------------------------


def read_all(receiver: Receiver, connection: socket.socket) -> None:
    """As it should be: read to the end, then close."""
    stream = bytearray()
    receiver.streams.append(stream)
    while chunk := connection.recv(_CHUNK):
        stream += chunk
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            connection.unwrap()


def lose_all(_: Receiver, connection: socket.socket) -> None:
    """Read to the end, throw it away, close: as a terminator whose backend is dead."""
    while connection.recv(_CHUNK):
        pass
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            connection.unwrap()


def close_at_once(_: Receiver, connection: socket.socket) -> None:
    """Accept, close."""


def close_after(count: int) -> Conduct:
    """Read so many bytes and close, whatever else there is."""

    def conduct(receiver: Receiver, connection: socket.socket) -> None:
        stream = bytearray()
        receiver.streams.append(stream)
        while len(stream) < count and (chunk := connection.recv(min(_CHUNK, count - len(stream)))):
            stream += chunk

    return conduct


def reset_after(count: int) -> Conduct:
    """Read so many bytes and reset the connection."""

    def conduct(receiver: Receiver, connection: socket.socket) -> None:
        close_after(count)(receiver, connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return conduct


def half_close_first(receiver: Receiver, connection: socket.socket) -> None:
    """Say that it has finished before we have begun, and read on."""
    stream = bytearray()
    receiver.streams.append(stream)
    connection.shutdown(socket.SHUT_WR)
    while chunk := connection.recv(_CHUNK):
        stream += chunk


def close_unread(receiver: Receiver, connection: socket.socket) -> None:
    """Say that it has finished when we have, with next to nothing read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    time.sleep(0.1)
    connection.shutdown(socket.SHUT_WR)
    receiver.ended.wait(30)


def never_close(receiver: Receiver, connection: socket.socket) -> None:
    """Read everything, then keep the connection."""
    stream = bytearray()
    receiver.streams.append(stream)
    while chunk := connection.recv(_CHUNK):
        stream += chunk
    receiver.ended.wait(30)


def never_read(receiver: Receiver, connection: socket.socket) -> None:
    """Accept, then hang; as a machine that is frozen or a half-open connection."""
    receiver.ended.wait(30)


def answer_batches_never(receiver: Receiver, connection: socket.socket) -> None:
    """Answer an empty connection as it should be, hang on any other."""
    if chunk := connection.recv(_CHUNK):
        receiver.streams.append(bytearray(chunk))
        never_close(receiver, connection)


def talk(receiver: Receiver, connection: socket.socket) -> None:
    """Read everything, then answer, as an HTTP server would, and close."""
    while connection.recv(_CHUNK):
        pass
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def greet(receiver: Receiver, connection: socket.socket) -> None:
    """Speak first, as a mail server would."""
    connection.sendall(b"220 ready\r\n")
    lose_all(receiver, connection)


def read_slowly(pause: float) -> Conduct:
    """Read everything in small sips, with a pause after each, out of a small buffer."""

    def conduct(receiver: Receiver, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        stream = bytearray()
        receiver.streams.append(stream)
        while not receiver.ended.is_set() and (chunk := connection.recv(16_384)):
            stream += chunk
            time.sleep(pause)

    return conduct


def forget_close_notify(receiver: Receiver, connection: socket.socket) -> None:
    """Read everything over TLS, then close the connection below it."""
    stream = bytearray()
    receiver.streams.append(stream)
    while chunk := connection.recv(_CHUNK):
        stream += chunk
    if isinstance(connection, ssl.SSLSocket):
        socket.socket(fileno=connection.detach()).close()


@contextlib.contextmanager
def datagrams(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket that receives datagrams."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(5.0)
        yield sock
