r"""Text made fit for a line of CEF: no control characters, no spaces around it, a length, escapes.

| found | in the header | in the extension |
|---|---|---|
| `\` | `\\` | `\\` |
| a pipe | with a backslash | as it is |
| `=` | as it is | `\=` |
| line feed, carriage return | a space | `\n`, `\r` |
| other control characters, U+2028, U+2029 | a space | a space |
| half of a surrogate pair | U+FFFD | U+FFFD |

A field of the header does not end in a backslash. Space around a value is gone: a reader can't tell it from what
separates the pairs. Lengths are counted before escaping, so that no escape is ever cut in two.
"""

from __future__ import annotations

import re
import unicodedata

from collector.formats.fitting import fit

SEPARATOR = "\x01"
"""Stands between key and value until a line is escaped; no cleaned text holds it."""

_CONTROLS = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_ENDS = re.compile("[\r\n]+")
_LONGEST_CLUSTER = 16
_JOINERS = "\u200d\ufe0e\ufe0f"


def clean(value: str) -> str:
    """The text without what no line may hold and without space around it; line ends inside stay, to be escaped."""
    # Printable is what usual texts are, and neither controls nor line separators nor surrogates.
    if not value.isprintable():
        fitted: str = fit(value)
        value = _CONTROLS.sub(" ", fitted)
    return value.strip()


def cut(value: str, most: int) -> str:
    """At most so many characters, not ending inside of what is seen as one (a letter and its accent, an emoji)."""
    if len(value) <= most:
        return value
    end = most
    while end > max(0, most - _LONGEST_CLUSTER) and _joined(value, end):
        end -= 1
    return value[: end if not _joined(value, end) else most].rstrip()


def _joined(value: str, at: int) -> bool:
    """Whether the characters on both sides of a position belong together."""
    after = value[at]
    return bool(unicodedata.combining(after)) or after in _JOINERS or value[at - 1 : at] == "\u200d"


def field(value: str, most: int) -> str:
    """A field of the header before it is escaped; "" where there is nothing to be seen in the value.

    It does not end in a backslash: many readers look one letter back to tell an escaped pipe from one that ends the
    field, and would take the escape of the backslash for one of the pipe.
    """
    beginning = value if len(value) <= 2 * most else value.lstrip()[: 2 * most]
    return cut(clean(_LINE_ENDS.sub(" ", beginning)), most).rstrip("\\ ")


def header(value: str, most: int) -> str:
    """A field of the header, escaped."""
    return field(value, most).replace("\\", "\\\\").replace("|", "\\|")


def extension(pairs: str) -> str:
    """Pairs of key, `SEPARATOR` and cleaned value, one space between them, escaped in one go."""
    escaped = pairs.replace("\\", "\\\\").replace("=", "\\=")
    if "\n" in escaped or "\r" in escaped:
        escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
    return escaped.replace(SEPARATOR, "=")
