"""Page bodies: how records lie in the log, msgpack under zstd."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from collector.model import Record
from collector.store.rows import from_micros, to_micros

_Rows = list[tuple[str, int, int | None, bytes, bytes | None]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Rows)


def encode(records: Sequence[Record]) -> bytes:
    """Compress at level 1: a higher one costs more time than the disk it saves.

    Raises:
        UnicodeEncodeError: an id holds a lone surrogate.
    """
    packed = _encoder.encode(
        [(r.id, r.bucket, None if r.recorded_at is None else to_micros(r.recorded_at), r.raw, r.extra) for r in records]
    )
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(packed)


def decode(body: bytes) -> list[Record]:
    """The records of `encode`, byte for byte.

    Raises:
        zstandard.ZstdError, msgspec.MsgspecError: the body is damaged.
    """
    rows = _decoder.decode(zstandard.ZstdDecompressor().decompress(body))
    return [
        Record(id=i, bucket=bucket, recorded_at=None if at is None else from_micros(at), raw=raw, extra=extra)
        for i, bucket, at, raw, extra in rows
    ]
