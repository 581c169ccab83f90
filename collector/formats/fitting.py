"""JSON values made to fit an encoder that takes less than JSON allows.

`fields` may hold what a vendor's JSON or a third party's `normalize` can hold and orjson refuses: lone surrogates,
integers over 64 bits, nesting deeper than 254. The record itself travels in `raw`; here only the readable copy of it
is fitted, and only after the encoder has refused it, so that the usual event pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MAX_DEPTH = 100
TOO_DEEP = "(nested too deeply: see raw)"

_INT64_MIN = -(1 << 63)
_UINT64_MAX = (1 << 64) - 1
_MAX_DIGITS = 4000  # Python refuses to write more


def fit(value: Any, depth: int = 0) -> Any:
    """A copy of a JSON value that orjson takes; what is not JSON stays as it is, for orjson to refuse.

    Lone surrogates become U+FFFD, large integers keep all their digits (those no one can write become hex text), what
    lies deeper than `MAX_DEPTH` becomes a note. Keys that fall together this way: the last one stays.
    """
    if isinstance(value, str):
        # Through UTF-16, where two halves that belong together become one character again.
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not _INT64_MIN <= value <= _UINT64_MAX:
        return orjson.Fragment(str(value)) if value.bit_length() < 3 * _MAX_DIGITS else hex(value)
    if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {fit(str(key)): fit(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fit(inner, depth + 1) for inner in value]
    return value
