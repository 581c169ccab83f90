"""What all vendors' pages have in common: records are cut out of the vendor's bytes, hardly anything is read of them.

msgspec finds the records of a page two thirds faster than a parser that builds them, and hands out the vendor's bytes;
they are copied, since a slice would keep its page alive. msgspec refuses a whole page for one lone surrogate or raw
control character: then the slower `json_spans` finds the records, every one keeps its exact bytes, the odd one too.
The functions here read what is found either way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b

import msgspec
import orjson

from collector.errors import SourceUnavailable
from collector.sources.json_spans import Child, TornError, children
from collector.timestamps import from_epoch_millis, parse_rfc3339

BOM = b"\xef\xbb\xbf"
REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnreadablePage(SourceUnavailable):
    """The body is no page. Mostly torn on its way: ask again; each source has its way to pass one that stays so."""


def value_of(text: bytes) -> object:
    """A scalar as strict or odd as it is; False for a container, None where nothing sound comes out."""
    if text[:1] in (b"{", b"["):
        return False
    try:
        value: object = json.loads(text.decode(), strict=False)
    except ValueError:
        return None
    return value


def members_of(raw: bytes) -> list[Child]:
    """The members of an object however odd; none where it is no object or torn."""
    if raw[:1] != b"{":
        return []
    try:
        return children(raw)
    except TornError:
        return []


def is_clean(text: str) -> bool:
    """Whether a text can be stored as it is: neither empty nor with lone surrogates."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def content_id(raw: bytes, may_change: Callable[[str], bool]) -> str:
    """The name of a record that has none: a hash of what does not change when the record is served again.

    `may_change`: tells the members to leave out. Equal ones count as one. The prefix keeps it apart from the vendor's
    own ids.
    """
    try:
        value = orjson.loads(raw)
        if isinstance(value, dict):
            value = {key: value[key] for key in value if not may_change(key)}
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        kept = sorted(child for child in members_of(raw) if not may_change(child.key.decode(errors="replace")[1:-1]))
        canonical = b"\x1f".join(part for child in kept for part in child) or raw
    return f"content:{blake2b(canonical, digest_size=16).hexdigest()}"


def moment_of(value: object) -> datetime | None:
    """RFC 3339, or milliseconds since the epoch; None for anything else."""
    try:
        match value:
            case str() if value.isdigit():
                return from_epoch_millis(int(value))
            case str():
                return parse_rfc3339(value)
            case bool():
                return None
            case int() | float():
                return from_epoch_millis(int(value))
    except (ValueError, OverflowError):
        pass
    return None
