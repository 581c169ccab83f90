"""A page of ESET's bytes becomes records; of each only the id, the device's time and the device are read.

Lists come as `{"detections": [...], "nextPageToken", "totalSize"}`, deltas as `{"createdDetections": [...],
"nextPageToken", "nextDeltaToken"}`. The list may be missing or null where there is nothing, tokens may be empty, null
or absent. An object without the list, but with members nobody knows that may hold records, or with nothing of a page,
is no empty page: an error, say, and taken for an empty page it would move a position past records nobody saw. A record
that is no object is a record as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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

__all__ = ["Cut", "Slices", "UnreadablePage", "slice_page"]

_TOKENS = ("nextPageToken", "nextDeltaToken")
_KNOWN = {*_TOKENS, "totalSize"}
_OTHER_LISTS = {"updatedDetections", "removedDetections", "deletedDetections"}
_MAY_CHANGE = {"resolved", "note", "responses"}


@dataclass(frozen=True, slots=True)
class Cut:
    """One record; `occurred`: the device's clock, None where it is absent or odd.

    `device`: the uuid of the device where the record does not name it otherwise.
    """

    record: Record
    occurred: datetime | None
    device: str | None


@dataclass(frozen=True, slots=True)
class Slices:
    """A page taken apart; tokens are None on the last page, or where the vendor gives none.

    `unknown`: members of the page that nobody knows.
    """

    cuts: Sequence[Cut]
    page_token: str | None
    delta_token: str | None
    unknown: tuple[str, ...]

    @property
    def records(self) -> list[Record]:
        """The records alone, in the order of the page."""
        return [cut.record for cut in self.cuts]


class _Device(msgspec.Struct):
    uuid: object = None
    displayName: object = None  # noqa: N815 -- the vendor's name


class _Context(msgspec.Struct):
    deviceUuid: object = None  # noqa: N815 -- the vendor's name


class _Head(msgspec.Struct):
    uuid: object = None
    occurTime: object = None  # noqa: N815 -- the vendor's name
    context: msgspec.Raw | None = None
    device: msgspec.Raw | None = None


_PAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_HEAD = msgspec.json.Decoder(_Head)
_DEVICE = msgspec.json.Decoder(_Device)
_CONTEXT = msgspec.json.Decoder(_Context)


def slice_page(body: bytes, key: str) -> Slices:
    """Take a page apart whose list is the member `key`.

    Raises:
        UnreadablePage: the body is truncated, no JSON object, or an object that is no page.
    """
    text = body.removeprefix(BOM)
    try:
        return _slices(_members(text), key)
    except TornError as exc:
        raise UnreadablePage(f"the page can't be read: {exc}") from exc


def _members(text: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(value) for name, value in _PAGE.decode(text).items()}
    except REFUSALS:
        if text.lstrip(b" \t\r\n\0")[:1] != b"{":
            raise TornError("it is no JSON object") from None
        return {child.key.decode(errors="replace")[1:-1]: child.value for child in children(text)}


def _slices(members: dict[str, bytes], key: str) -> Slices:
    unknown = tuple(name for name in members if name != key and name not in _KNOWN)
    items = members.get(key, b"null")
    if key not in members and unknown and not _may_lack_list(members, unknown):
        raise TornError(f"it has no {key}")
    page_token, delta_token = (_token(name, members.get(name, b"null")) for name in _TOKENS)
    return Slices([_cut(raw) for raw in _items(items, key)], page_token, delta_token, unknown)


def _may_lack_list(members: dict[str, bytes], unknown: Sequence[str]) -> bool:
    """Whether an object without the list is a page still: an empty list may be left out, other members stay."""
    suspects = (members[name] for name in unknown if name not in _OTHER_LISTS)
    return not _KNOWN.isdisjoint(members) and all(text[:1] not in b"[{" or text in (b"[]", b"{}") for text in suspects)


def _items(text: bytes, key: str) -> list[bytes]:
    if text == b"null":
        return []
    if text[:1] != b"[":
        raise TornError(f"its {key} are no list")
    try:
        return [bytes(item) for item in _ITEMS.decode(text)]
    except REFUSALS:
        return [child.value for child in children(text)]


def _token(name: str, text: bytes) -> str | None:
    value = value_of(text)
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text.decode()
    if isinstance(value, str) and is_clean(value):
        return value
    raise TornError(f"its {name} is no text")


def _cut(raw: bytes) -> Cut:
    try:
        head = _HEAD.decode(raw)
        uuid, occurred, context, device = head.uuid, head.occurTime, head.context or b"", head.device or b""
    except REFUSALS:
        members = {child.key: child.value for child in members_of(raw)}
        uuid, occurred = (value_of(members.get(name, b"null")) for name in (b'"uuid"', b'"occurTime"'))
        context, device = (members.get(name, b"") for name in (b'"context"', b'"device"'))
    named = isinstance(uuid, str) and is_clean(uuid)
    record = Record(
        id=uuid if isinstance(uuid, str) and named else content_id(raw, _MAY_CHANGE.__contains__),
        bucket=0,
        recorded_at=None,
        raw=raw,
    )
    return Cut(record, moment_of(occurred), _unnamed_device(bytes(context), bytes(device)))


def _unnamed_device(context: bytes, device: bytes) -> str | None:
    """The first version of the interface tells a device's uuid alone, the second its name as well."""
    try:
        told = _DEVICE.decode(device) if device[:1] == b"{" else _Device()
        uuid = told.uuid
        if not uuid and context[:1] == b"{":
            uuid = _CONTEXT.decode(context).deviceUuid
    except REFUSALS:
        return None
    return uuid if isinstance(uuid, str) and is_clean(uuid) and not told.displayName else None
