"""What has no key of its own, as JSON in one bounded value: names as in the envelope of the `json` format.

Always whole JSON, however little room there is: what is too long is cut inside its own text, longest last, and what
finds no room at all is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from collector.formats.cef.text import clean
from collector.formats.fitting import fit

_LEAST_ROOM = 24


def to_json(rest: Mapping[str, Any], most: int) -> tuple[str, bool]:
    """One object of at most so many characters, and whether anything had to be cut or left out.

    Raises:
        TypeError: a value is no JSON value.
    """
    whole = _dump(rest)
    if len(whole) <= most:
        return _sendable(whole), False
    pieces = {name: _dump({name: value})[1:-1] for name, value in rest.items()}
    kept = {}
    room = most - len("{}")
    for name, piece in sorted(pieces.items(), key=lambda item: len(item[1])):
        fitted = piece if len(piece) <= room else _shortened(name, rest[name], room)
        if fitted:
            kept[name] = fitted
            room -= len(fitted) + len(",")
    return _sendable("{" + ",".join(kept[name] for name in pieces if name in kept) + "}"), True


def _sendable(text: str) -> str:
    # JSON escapes the controls below a space; the others are rare, and looking for them letter by letter is dear.
    return text if text.isascii() and "\x7f" not in text else clean(text)


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
        return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(fit(value), option=orjson.OPT_UTC_Z).decode()
