"""What has no key of its own, as JSON in one bounded value: names as in the envelope of the `json` format.

Always whole JSON, however little room there is: what is too long is cut inside its own text, longest last, and what
finds no room at all is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from collector.formats.fitting import fit

_LEAST_ROOM = 24
_UNSENDABLE = re.compile("[\x7f-\x9f\u2028\u2029]")


def to_json(rest: Mapping[str, Any], most: int) -> tuple[str, bool]:
    """One object of at most so many characters, and whether anything had to be cut or left out.

    Raises:
        TypeError: a value is no JSON value.
    """
    whole = _dump(rest)
    if len(whole) <= most:
        return whole, False
    pieces = {name: _dump({name: value})[1:-1] for name, value in rest.items()}
    kept = {}
    room = most - len("{}")
    for name, piece in sorted(pieces.items(), key=lambda item: len(item[1])):
        fitted = piece if len(piece) <= room else _shortened(name, rest[name], room)
        if fitted:
            kept[name] = fitted
            room -= len(fitted) + len(",")
    return "{" + ",".join(kept[name] for name in pieces if name in kept) + "}", True


def _shortened(name: str, value: Any, room: int) -> str:
    """A member of the object with its value cut, as text, to the room there is; "" where that is too little."""
    spare = room - len(_dump({name: ""})) + len("{}")
    if spare < _LEAST_ROOM:
        return ""
    text = (value if isinstance(value, str) else _dump(value))[:spare]
    while text:
        piece = _dump({name: text})[1:-1]
        if len(piece) <= room:
            return piece
        # A character takes at least one of the piece's, so that this never takes away too little at the end.
        text = text[: room - len(piece)]
    return ""


def _dump(value: Any) -> str:
    try:
        text = orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    except orjson.JSONEncodeError:
        text = orjson.dumps(fit(value), option=orjson.OPT_UTC_Z).decode()
    # Of what no line may hold, the encoder escapes what stands below a space; the rest is rare.
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSENDABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
