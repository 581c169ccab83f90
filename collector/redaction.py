"""Takes secrets out of text that is about to leave the process.

Two nets: every secret the configuration holds, in each form in which it may turn up (as it is, escaped by JSON or by
`repr`, URL-encoded, inside base64 as in a Basic header), and patterns of what looks like a credential although nobody
told us of it, such as an access token that a library puts into its own message.

Secrets shorter than `SHORTEST` are left to the patterns: replacing "abc" everywhere would tell more than it hides.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4

_NAMES = r"(?:secret|password|passwd|passphrase|pwd|access_?token|refresh_?token|id_?token|token|api_?key|private_?key)"
# `key: value` as people, queries, reprs and JSON write it, also JSON inside JSON with its escaped quotes. What is
# quoted ends at its closing quote, which stays, so that a line of JSON stays one.
_SEPARATOR = r"""(?P<quote>\\?["']?)\s*[:=]\s*"""
_VALUE = (
    r"""(?:(?P<open>")(?:[^"\\]|\\.)*|(?P<escaped>\\")(?:(?!\\").)*|(?P<single>')(?:[^'\\]|\\.)*"""
    r"""|[^\s"'\\,;&)}\]\[({]+)"""
)

# Words that our own messages begin with: `client_secret: must not be empty`, `/oauth/token: the login is refused`. No
# such pair is one of a key and its secret, and an operator has to be able to read them.
_PROSE = (
    r"""(?!(?<!["']:\s)(?<=:\s)(?:\$\{|(?:the|an?|no|not|is|are|must|may|can't|cannot|required|unknown|there|either|without)"""
    r"""\s+[a-z]))"""
)

_SENSITIVE_KEY = re.compile(rf"(?:.*[._-])?(?:{_NAMES}|authorization)", re.IGNORECASE)
_PAIRS = (
    re.compile(
        rf"(?P<key>(?<![A-Za-z])authorization{_SEPARATOR})(?:(?:basic|bearer|splunk|apikey)\s+)?{_VALUE}", re.IGNORECASE
    ),
    re.compile(
        # The end of a path is no key, unless what follows belongs to it as to a parameter.
        rf"(?P<key>(?:(?<![A-Za-z/])|(?<=/)(?={_NAMES}\\?[\"']?\s*(?:=|:\S))){_NAMES}{_SEPARATOR}){_PROSE}{_VALUE}",
        re.IGNORECASE,
    ),
)
_SHAPES = (
    (re.compile(r"\b(bearer|basic|splunk|apikey)\s+[\w.~+/=-]{16,}", re.IGNORECASE), r"\1 " + MASK),
    (re.compile(r"(://)[^/\s@\"']+@"), r"\1" + MASK + "@"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
)


class Redactor:
    """The secrets known so far. Only ever grows: a secret that a reload replaced is still a secret."""

    def __init__(self) -> None:
        # By their first characters, so that a line costs one look-up per character however many secrets there are.
        self._forms: dict[str, tuple[str, ...]] = {}

    def hide(self, *values: str) -> None:
        """Take these out of every text from now on."""
        for value in values:
            for form in _forms(value):
                known = self._forms.get(form[:SHORTEST], ())
                if form not in known:
                    self._forms[form[:SHORTEST]] = tuple(sorted((*known, form), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """The text with `***` in place of every secret. Never raises, also for text with lone surrogates."""
        text = self._without_known(text)
        for pair in _PAIRS:
            text = pair.sub(_masked_pair, text)
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text

    def _without_known(self, text: str) -> str:
        if not self._forms:
            return text
        kept: list[str] = []
        begin = position = 0
        while position <= len(text) - SHORTEST:
            candidates = self._forms.get(text[position : position + SHORTEST], ())
            found = next((form for form in candidates if text.startswith(form, position)), None)
            if found is None:
                position += 1
                continue
            kept += (text[begin:position], MASK)
            begin = position = position + len(found)
        return "".join((*kept, text[begin:]))


def is_sensitive(key: str) -> bool:
    """Whether a field of this name holds a credential, whatever its value looks like."""
    return _SENSITIVE_KEY.fullmatch(key) is not None


def _masked_pair(found: re.Match[str]) -> str:
    opened = found["open"] or found["escaped"] or found["single"]
    if opened:
        return f"{found['key']}{opened}{MASK}"
    # A number or null of a JSON object becomes text, or the line would be no JSON any more.
    return f"{found['key']}{found['quote']}{MASK}{found['quote']}"


def _forms(value: str) -> Iterator[str]:
    lines = [line for line in value.splitlines() if len(line) >= 16] if "\n" in value else []
    for text in (value, value.strip(), *lines):
        plain = text.encode("utf-8", "surrogatepass")
        written = (
            text,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            repr(plain)[2:-1],
            quote(plain, safe=""),
            quote(plain),
            quote_plus(plain),
        )
        # What json.dumps makes of text that repr or another json.dumps has escaped already: bodies inside messages.
        nested = (json.dumps(form)[1:-1] for form in written[1:5])
        yield from (form for form in (*written, *nested) if len(form) >= SHORTEST)
        yield from _inside_base64(plain)


def _inside_base64(secret: bytes) -> Iterator[str]:
    """The characters that base64 makes of the secret alone, whatever stands before and behind it (`id:secret`)."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(secret)) * 8 // 6
        stable = encoded[first:last]
        if len(stable) >= 8:
            yield stable
            yield stable.translate(str.maketrans("+/", "-_"))
