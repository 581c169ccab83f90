"""A page of the vendor's bytes becomes records; of each only the id and two times are read.

msgspec finds the items of a page two thirds faster than a parser that builds them, and hands out the vendor's bytes;
they are copied, since a slice would keep its page alive. msgspec refuses a whole page for one lone surrogate or raw
control character (the vendor sends NUL and invalid UTF-8 at times, says SEKOIA's connector, 2.16.3): then the slower
`json_spans` finds the items, every record keeps its exact bytes, the odd one too.

An item that is no object is a record as well: whatever the vendor serves is delivered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TypeGuard, TypeVar

import msgspec
import orjson

from collector.errors import SourceUnavailable
from collector.model import Record
from collector.sources.json_spans import Child, TornError, children
from collector.timestamps import from_epoch_millis, parse_rfc3339

_BOM = b"\xef\xbb\xbf"
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnreadablePage(SourceUnavailable):
    """The body is no page. Mostly torn on its way: ask again; `narrowing` deals with one that stays so."""


@dataclass(frozen=True, slots=True)
class Slices:
    """A page taken apart. `anchor` leads to the next page, None on the last one."""

    records: Sequence[Record]
    anchor: str | None


class _Envelope(msgspec.Struct):
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    nextAnchor: object = None  # noqa: N815 -- the vendor's name


class _Head(msgspec.Struct):
    id: object = None
    serverTimestamp: object = None  # noqa: N815 -- the vendor's name
    persistenceTimestamp: object = None  # noqa: N815 -- the vendor's name


Head = TypeVar("Head", bound=msgspec.Struct)

_PAGE = msgspec.json.Decoder(_Envelope)
_HEAD = msgspec.json.Decoder(_Head)


def slice_page(body: bytes, make: Callable[[bytes], Record] | None = None) -> Slices:
    """Take a page apart; `make` gives the record of an item that is no security event.

    Raises:
        UnreadablePage: the body is truncated, no JSON object, or an object that is no page.
    """
    text, make = body.removeprefix(_BOM), make or _record
    try:
        return _slice_plain_page(text, make) or _slice_odd_page(text, make)
    except TornError as exc:
        raise UnreadablePage(f"the page can't be read: {exc}") from exc


def _slice_plain_page(text: bytes, make: Callable[[bytes], Record]) -> Slices | None:
    try:
        envelope = _PAGE.decode(text)
    except _REFUSALS:
        return None
    if envelope.items is msgspec.UNSET:
        return None
    items = [bytes(item) for item in envelope.items or ()]
    return Slices([make(item) for item in items], _anchor(envelope.nextAnchor))


def _slice_odd_page(text: bytes, make: Callable[[bytes], Record]) -> Slices:
    if text.lstrip(b" \t\r\n\0")[:1] != b"{":
        raise TornError("it is no JSON object")
    members = {child.key: child.value for child in children(text)}
    anchor = _anchor(_value(members.pop(b'"nextAnchor"', b"null")))
    items = members.pop(b'"items"', None)
    if items is None:
        # An error, say. Taken for an empty page it would move the position past events nobody saw.
        raise TornError("it has no items")
    if items == b"null":
        return Slices([], anchor)
    if items[:1] != b"[":
        raise TornError("its items are no list")
    return Slices([make(child.value) for child in children(items)], anchor)


def _anchor(value: object) -> str | None:
    if value is None or value == "":
        return None
    if is_name(value):
        return value
    raise TornError("its nextAnchor is no text")


def _record(raw: bytes) -> Record:
    head = read_head(raw, _HEAD)
    received = moment_of(head.serverTimestamp)
    return Record(
        id=head.id if is_name(head.id) else content_id(raw),
        bucket=minute_of(received),
        recorded_at=moment_of(head.persistenceTimestamp),
        raw=raw,
    )


def read_head(raw: bytes, decoder: msgspec.json.Decoder[Head]) -> Head:
    """The scalars of a record that a struct of optional objects names; None where they are missing or odd."""
    try:
        return decoder.decode(raw)
    except _REFUSALS:
        members = {child.key: child.value for child in _members(raw)}
        kind = decoder.type
        return kind(*(_value(members.get(b'"%s"' % name.encode(), b"null")) for name in kind.__struct_fields__))


def _members(raw: bytes) -> list[Child]:
    if raw[:1] != b"{":
        return []
    try:
        return children(raw)
    except TornError:
        return []


def _value(text: bytes) -> object:
    """A scalar as strict or odd as it is; None for a container, or where nothing sound comes out."""
    if text[:1] in (b"{", b"["):
        return False
    try:
        value: object = json.loads(text.decode(), strict=False)
    except ValueError:
        return None
    return value


def is_name(value: object) -> TypeGuard[str]:
    """Whether a value can be a record's id."""
    return isinstance(value, str) and _is_clean(value)


def minute_of(moment: datetime | None) -> int:
    """The minute since the epoch, a record's bucket; 0 where there is no time."""
    return 0 if moment is None else math.floor(moment.timestamp() / 60)


def _is_clean(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def content_id(raw: bytes) -> str:
    """The name of a record that has none: a hash of what does not change when the record is served again.

    Equal ones count as one. The prefix keeps it apart from the vendor's own ids.
    """
    try:
        value = orjson.loads(raw)
        if isinstance(value, dict):
            value = {key: value[key] for key in value if not _may_change(key)}
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        kept = sorted(child for child in _members(raw) if not _may_change(child.key.decode(errors="replace")[1:-1]))
        canonical = b"\x1f".join(part for child in kept for part in child) or raw
    return f"content:{blake2b(canonical, digest_size=16).hexdigest()}"


def _may_change(key: str) -> bool:
    return key.startswith("acknowledged") or key in {"ackTimestamp", "persistenceTimestamp"}


def moment_of(value: object) -> datetime | None:
    """RFC 3339, or milliseconds since the epoch as the legacy envelope has them; None for anything else."""
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
