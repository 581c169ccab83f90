r"""The bytes a vendor sent as one event, made into one line of valid UTF-8 JSON.

Events are never re-serialized: bytes that can be sent as they are stay the same object. Vendors do send bytes that
can't (WithSecure: NUL and invalid UTF-8 in bodies), and a line-oriented sink can't take a newline between two tokens.

| found | becomes |
|---|---|
| newlines between tokens | spaces; not a repair, since no content changes |
| invalid UTF-8 | U+FFFD |
| half of a surrogate pair, as an escape | `\ufffd` |
| a control character inside a string | its `\u00XX` escape |
| a control character or a byte order mark between tokens | a space, nothing |
| `NaN`, `Infinity`, `-Infinity` | the same as a string |
| no JSON at all | a JSON string that holds the text |

Time and memory are linear in the length of the input.
"""

from __future__ import annotations

import re

import msgspec
import orjson

# Skips over the document without building it, four times as fast as parsing it. It lets invalid UTF-8 pass.
_DECODER = msgspec.json.Decoder(msgspec.Raw)

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

# Possessive quantifiers, and a piece that takes an unterminated string to its end: no text may cost the square of its
# length.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PIECE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[^"]++', re.DOTALL)
_IN_STRING = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    r"|\\[^u\x00-\x1f]"  # consumed, so that the second backslash of `\\ud800` begins no escape
    r"|([\x00-\x1f])"
)
_BETWEEN = re.compile(r"([\x00-\x1f])|(-?\b(?:NaN|Infinity)\b)")

_TOKEN = re.compile(
    rf"(?P<string>{_STRING})"
    r"|(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)"
    r"|(?P<mark>[\[\]{}:,])"
    r"|(?P<space>[ \t]++)",
)
_ESCAPES = re.compile(r'(?:[^\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')

# Which token may stand where: `v` a value, `k` a key, `:`, `,` (a comma or a closing bracket); `V` and `K` right
# behind an opening bracket, which may close at once; `e` is the end.
_ALLOWED = {"string": "vVkK", "scalar": "vV", "[": "vV", "{": "vV", "]": ",V", "}": ",K", ",": ",", ":": ":"}


def repair_json(raw: bytes) -> tuple[bytes, bool]:
    """Return one line of valid UTF-8 JSON, and whether content had to change for that.

    Never raises. The result holds no byte below 0x20 but the tabs between tokens, and is never empty.
    """
    if _is_valid(raw):
        if b"\n" in raw or b"\r" in raw:
            return raw.translate(_ONE_LINE), False
        return raw, False
    line = _rebuild(raw.decode("utf-8", "replace"))
    return line, line != raw.translate(_ONE_LINE)


def _is_valid(raw: bytes) -> bool:
    try:
        if not raw.isascii():
            raw.decode("utf-8")
        _DECODER.decode(raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True


def _rebuild(text: str) -> bytes:
    mended = _mend(text)
    encoded = mended.encode("utf-8")
    if _is_valid(encoded) or _is_deep_json(mended):
        return encoded
    return orjson.dumps(text)


def _mend(text: str) -> str:
    pieces: list[str] = []
    for match in _PIECE.finditer(text.removeprefix("\ufeff")):
        piece = match.group()
        if piece[0] == '"':
            pieces.append(_IN_STRING.sub(_mend_in_string, piece))
        else:
            pieces.append(_BETWEEN.sub(_mend_between, piece))
    return "".join(pieces)


def _mend_in_string(match: re.Match[str]) -> str:
    half, control = match.groups()
    if half is not None:
        return r"\ufffd"
    if control is not None:
        return f"\\u{ord(control):04x}"
    return match.group()


def _mend_between(match: re.Match[str]) -> str:
    control, word = match.groups()
    if word is not None:
        return f'"{word}"'
    return "\t" if control == "\t" else " "


def _is_deep_json(text: str) -> bool:
    """Whether text is JSON, however deep: parsers give up at some depth, which makes it no less valid."""
    closing: list[str] = []
    expected = "v"
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return False
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        if kind == "string" and _ESCAPES.fullmatch(text, match.start() + 1, position - 1) is None:
            return False
        expected = _after(match.group() if kind == "mark" else kind, expected, closing)
        if not expected:
            return False
    return expected == "e"


def _after(sign: str, expected: str, closing: list[str]) -> str:
    """What may follow `sign` (a mark or a kind of token), "" if it may not stand here; `closing`: brackets to come."""
    if expected not in _ALLOWED[sign] or (sign in "]}" and closing.pop() != sign):
        return ""
    if sign in "[{":
        closing.append("]" if sign == "[" else "}")
        return "V" if sign == "[" else "K"
    if sign == ",":
        return "k" if closing[-1] == "}" else "v"
    if expected in "kK" and sign == "string":
        return ":"
    if sign == ":":
        return "v"
    return "," if closing else "e"
