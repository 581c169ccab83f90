"""A page of the vendor's bytes becomes records; of each only the id and two times are read.

How, and why twice, stands in `collector.sources.slicing`: the vendor sends NUL and invalid UTF-8 at times, says
SEKOIA's connector (2.16.3), which strict readers refuse.

An item that is no object is a record as well: whatever the vendor serves is delivered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard, TypeVar

import msgspec

from collector.model import Record
from collector.sources.json_spans import TornError, children
from collector.sources.slicing import (
    BOM,
    REFUSALS,
    UnreadablePage,
    content_id,
    is_clean,
    members_of,
    moment_of,
    value_of,
)


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
    text, make = body.removeprefix(BOM), make or _record
    try:
        return _slice_plain_page(text, make) or _slice_odd_page(text, make)
    except TornError as exc:
        raise UnreadablePage(f"the page can't be read: {exc}") from exc


def _slice_plain_page(text: bytes, make: Callable[[bytes], Record]) -> Slices | None:
    try:
        envelope = _PAGE.decode(text)
    except REFUSALS:
        return None
    if envelope.items is msgspec.UNSET:
        return None
    items = [bytes(item) for item in envelope.items or ()]
    return Slices([make(item) for item in items], _anchor(envelope.nextAnchor))


def _slice_odd_page(text: bytes, make: Callable[[bytes], Record]) -> Slices:
    if text.lstrip(b" \t\r\n\0")[:1] != b"{":
        raise TornError("it is no JSON object")
    members = {child.key: child.value for child in children(text)}
    anchor = _anchor(value_of(members.pop(b'"nextAnchor"', b"null")))
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
        id=head.id if is_name(head.id) else content_id(raw, _may_change),
        bucket=minute_of(received),
        recorded_at=moment_of(head.persistenceTimestamp),
        raw=raw,
    )


def read_head(raw: bytes, decoder: msgspec.json.Decoder[Head]) -> Head:
    """The scalars of a record that a struct of optional objects names; None where they are missing or odd."""
    try:
        return decoder.decode(raw)
    except REFUSALS:
        members = {child.key: child.value for child in members_of(raw)}
        kind = decoder.type
        return kind(*(value_of(members.get(b'"%s"' % name.encode(), b"null")) for name in kind.__struct_fields__))


def is_name(value: object) -> TypeGuard[str]:
    """Whether a value can be a record's id."""
    return isinstance(value, str) and is_clean(value)


def minute_of(moment: datetime | None) -> int:
    """The minute since the epoch, a record's bucket; 0 where there is no time."""
    return 0 if moment is None else math.floor(moment.timestamp() / 60)


def _may_change(key: str) -> bool:
    return key.startswith("acknowledged") or key in {"ackTimestamp", "persistenceTimestamp"}
