"""Bodies of requests: objects one behind the other, no more bytes than the receiver takes, compressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType

_deflating: ModuleType = zlib
with suppress(ImportError):  # there is no build of it for some machines
    from isal import isal_zlib  # ten times as fast at the same level

    _deflating = isal_zlib

_BLOCKING_BYTES = 64 << 10
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Piece:
    """The object of one event, and the event's position in its batch."""

    position: int
    content: bytes


Part = Sequence[Piece]


def pack(pieces: Part, most: int) -> list[Part]:
    """Consecutive pieces, as many to a body as fit in `most` bytes; one that is larger goes alone."""
    parts: list[Part] = []
    first = size = 0
    for at, piece in enumerate(pieces):
        length = len(piece.content) + 1
        if at > first and size + length > most:
            parts.append(pieces[first:at])
            first, size = at, 0
        size += length
    return [*parts, pieces[first:]] if pieces else []


def length_of(part: Part) -> int:
    """Bytes of the body, before compression."""
    return sum(len(piece.content) + 1 for piece in part)


async def body_of(part: Part, *, compress: bool) -> bytes:
    """The body; off the loop where compressing it takes long."""
    body = b"\n".join([piece.content for piece in part])
    if not compress:
        return body
    return _gzip(body) if len(body) <= _BLOCKING_BYTES else await asyncio.to_thread(_gzip, body)


def _gzip(body: bytes) -> bytes:
    packing = _deflating.compressobj(1, zlib.DEFLATED, _GZIP)
    return bytes(packing.compress(body) + packing.flush())
