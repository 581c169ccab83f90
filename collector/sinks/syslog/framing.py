"""How messages are told apart on a stream (RFC 6587).

Octet counting, `LEN SP MSG`, is safe for any content. Line feeds separate only what holds none; nothing is replaced
here, who calls makes sure of it (`messages`).
"""

from __future__ import annotations

from collections.abc import Iterable


def octet_counted(messages: Iterable[bytes]) -> bytes:
    """Each message with its length in bytes in front."""
    return b"".join([b"%d %s" % (len(message), message) for message in messages])


def line_feeds(messages: Iterable[bytes]) -> bytes:
    """Each message with a line feed behind."""
    return b"".join([message + b"\n" for message in messages])
