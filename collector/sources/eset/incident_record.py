"""An incident as the list shows it, as its own request gives it, and the record made of that. Pure functions.

By the vendor's API description: `GET /v2/incidents` answers `{"incidents", "nextPageToken"}`, `…/{uuid}` below it
`{"incident"}`, the only place with `deviceUuids` and `detectionUuids`, `…/{uuid}/comments` `{"comments"}`. Every member
may be missing, null, of another type; members with default values may be left out. `updateTime` may be empty in old
incidents: then `createTime` stands for it.

An incident changes, so a record's id names the state: `uuid@updateTime#hash8`, the hash over status, severity, resolve
reason, assignee, devices, detections and comments, whatever their order. The same instant with and without a fraction
is the same time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

from collector.model import Record
from collector.sources.json_spans import Child, TornError, children
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
from collector.timestamps import format_utc

# Running times: they grow while nothing happens.
_DURATIONS = ("triageDuration", "responseDuration")
_STATE = ("status", "severity", "resolveReason", "assigneeUuid")
_LONGEST_UUID = 512
_ERROR_KEYS = (b'"code"', b'"error"', b'"message"')


@dataclass(frozen=True, slots=True)
class Item:
    """An incident in a list. `uuid` None: it can't be asked for. `version` changes with anything the list shows.

    `is_dated`: it has an `updateTime`; `updated` is that or, without one, `created`.
    """

    raw: bytes
    uuid: str | None
    version: str
    updated: datetime | None
    created: datetime | None
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of the list. `token` leads to the next one, None on the last. `digest` is the same for the same items."""

    items: Sequence[Item]
    token: str | None
    digest: str


class _Envelope(msgspec.Struct):
    nextPageToken: object = None  # noqa: N815 -- the vendor's name


_LISTS = {
    key: msgspec.json.Decoder(
        msgspec.defstruct(
            f"_{key}",
            [(key, list[msgspec.Raw] | msgspec.UnsetType | None, msgspec.UNSET)],
            bases=(_Envelope,),
        )
    )
    for key in ("incidents", "comments")
}


def slice_incidents(body: bytes) -> ItemPage:
    """Take a page of the list apart.

    Raises:
        UnreadablePage: the body is truncated, no JSON object, or one that is no page.
    """
    raws, token = _slice(body, "incidents")
    items = [_item(raw) for raw in raws]
    digest = blake2b("\0".join(f"{item.uuid}\x1f{item.version}" for item in items).encode(), digest_size=8)
    return ItemPage(items, token, digest.hexdigest())


def slice_comments(body: bytes) -> list[bytes]:
    """The comments of an incident.

    Raises:
        UnreadablePage: as `slice_incidents`.
    """
    raws, _ = _slice(body, "comments")
    return raws


def cut_incident(body: bytes, uuid: str) -> bytes | None:
    """The incident out of the answer to its own request; None where there is none, or another one.

    Raises:
        UnreadablePage: the body is truncated or no JSON object.
    """
    text = body.removeprefix(BOM).strip(b" \t\r\n\0")
    members = _members(text)
    inner = members.get(b'"incident"', text if b'"uuid"' in members else b"null")
    return inner if _fields(inner).get("uuid") == uuid else None


def record_of(item: Item, incident: bytes | None = None, comments: Sequence[bytes] | None = None) -> Record:
    """The record of an incident's state, out of its own answer, or out of the list where there is no such answer.

    `comments` None: they are not known.
    """
    raw = item.raw if incident is None else incident
    fields = _fields(raw)
    created = moment_of(fields.get("createTime")) or item.created
    updated = _updated(fields)
    return Record(
        id=content_id(raw, _may_change) if item.uuid is None else f"{item.uuid}@{_state(fields, updated, comments)}",
        bucket=0 if created is None else math.floor(created.timestamp() / 60),
        recorded_at=updated or item.updated,
        raw=raw,
        extra=b'{"comments":[' + b",".join(_sound(comment) for comment in comments) + b"]}" if comments else None,
    )


def _slice(body: bytes, key: str) -> tuple[list[bytes], str | None]:
    text = body.removeprefix(BOM)
    try:
        page: Any = _LISTS[key].decode(text)
    except REFUSALS:
        return _slice_odd(text.strip(b" \t\r\n\0"), key)
    raws = getattr(page, key)
    if raws is msgspec.UNSET or raws is None:
        return _slice_odd(text.strip(), key)
    return [bytes(raw) for raw in raws], _token(page.nextPageToken)


def _slice_odd(text: bytes, key: str) -> tuple[list[bytes], str | None]:
    members = _members(text)
    raws = members.get(f'"{key}"'.encode(), b"null")
    token = _token(value_of(members.get(b'"nextPageToken"', b"null")))
    if raws[:1] == b"[":
        return [child.value for child in _children(raws)], token
    if raws != b"null":
        raise UnreadablePage(f"the page can't be read: its {key} are no list")
    if any(error in members for error in _ERROR_KEYS):
        # Taken for an empty page it would move the position past incidents nobody saw.
        raise UnreadablePage(f"the page can't be read: it has no {key} but an error")
    return [], token  # left out where empty


def _members(text: bytes) -> dict[bytes, bytes]:
    if text[:1] != b"{":
        raise UnreadablePage("the answer can't be read: it is no JSON object")
    return {child.key: child.value for child in _children(text)}


def _children(text: bytes) -> list[Child]:
    try:
        return children(text)
    except TornError as exc:
        raise UnreadablePage(f"the answer can't be read: {exc}") from exc


def _token(value: object) -> str | None:
    match value:
        case None | "":
            return None
        case str() if is_clean(value):
            return value
        case int() if not isinstance(value, bool):
            return str(value)
    raise UnreadablePage("the page can't be read: its nextPageToken is no text")


def _item(raw: bytes) -> Item:
    fields = _fields(raw)
    uuid = fields.get("uuid")
    shown = {key: fields[key] for key in fields if key not in _DURATIONS}
    return Item(
        raw=raw,
        uuid=uuid if isinstance(uuid, str) and is_clean(uuid) and len(uuid) <= _LONGEST_UUID else None,
        version=blake2b(_canonical(shown) if fields else raw, digest_size=8).hexdigest(),
        updated=_updated(fields),
        created=moment_of(fields.get("createTime")),
        is_dated=moment_of(fields.get("updateTime")) is not None,
    )


def _fields(raw: bytes) -> Mapping[str, Any]:
    """The members of an object however odd; none where it is no object."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = {}
        for key, member in members_of(raw):
            name = value_of(key)
            if isinstance(name, str):
                value[name] = _loose(member)
    return value if isinstance(value, dict) else {}


def _loose(raw: bytes) -> object:
    """A value however odd; what can't be read is no text, so that nothing is called by it."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return value_of(raw) or [raw.decode(errors="backslashreplace")]


def _updated(fields: Mapping[str, Any]) -> datetime | None:
    return moment_of(fields.get("updateTime")) or moment_of(fields.get("createTime"))


def _state(fields: Mapping[str, Any], updated: datetime | None, comments: Sequence[bytes] | None) -> str:
    values = [
        *(_unless_default(fields.get(key)) for key in _STATE),
        *(_sorted(fields.get(key)) for key in ("deviceUuids", "detectionUuids")),
        sorted(_comment_id(comment) for comment in comments or ()),
    ]
    return f"{_time(updated)}#{blake2b(_canonical(values)).hexdigest()[:8]}"


def _time(moment: datetime | None) -> str:
    if moment is None:
        return ""
    if moment.microsecond % 1000:
        return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    return format_utc(moment)


def _unless_default(value: object) -> object:
    """A default may be sent or left out: that is no change."""
    return None if value in ("", [], {}) or (isinstance(value, str) and value.endswith("_UNSPECIFIED")) else value


def _sorted(value: object) -> object:
    if not isinstance(value, list):
        return _unless_default(value) or []
    return sorted({_canonical(entry).decode(errors="replace") for entry in value})


def _comment_id(raw: bytes) -> str:
    uuid = _fields(raw).get("uuid")
    return uuid if isinstance(uuid, str) and is_clean(uuid) else content_id(raw, _may_change)


def _may_change(key: str) -> bool:
    return key in _DURATIONS


def _canonical(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):  # lone surrogates
        return repr(value).encode(errors="backslashreplace")


def _sound(raw: bytes) -> bytes:
    """The vendor's bytes where they are JSON, else their text: what is put around them must stay readable."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.dumps(raw.decode(errors="replace")).encode()
    return raw
