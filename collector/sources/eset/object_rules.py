"""How ESET's objects, mails, connections and responses become fields with ECS names.

A rule reads one key, as in `field_rules`: it answers whether the fields say all that the value says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collector.sources import values
from collector.sources.eset.codes import OBJECT_ACTION
from collector.sources.eset.reading import is_nothing
from collector.sources.field_rules import Apply, Fields, path, port, put, text

_FILE_URL = re.compile(r"file://([^/\\]*)[/\\](.*)", re.IGNORECASE | re.DOTALL)
_WEB_URL = re.compile(r"(?:https?|ftps?|wss?)://", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"[A-Za-z]:[\\/]|/|\\\\|%[A-Za-z0-9_()]+%[\\/]")
_DRIVE = re.compile(r"[A-Za-z]:(?:/|$)|%[A-Za-z0-9_()]+%")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-]?[0-9A-Fa-f]{2}){5}", re.ASCII)
_NO_MAC = {"000000000000"}
_BETWEEN_MAILBOXES = re.compile(r"\s*[,;]\s*")
_MAX_LISTED = 100


def path_of(url: str) -> str | None:
    r"""The path in an object's address: `file:///C:/a b.exe` is `C:\a b.exe`, `file:///home/x` is `/home/x`.

    ESET does not percent-encode these, so that nothing is decoded. None for what is no address or path of a file.
    """
    match = _FILE_URL.match(url)
    if match is None:
        return url if _PLAIN_PATH.match(url) else None
    host, rest = match.groups()
    if host:
        return "\\\\" + "\\".join((host, *rest.split("/")))
    return rest.replace("/", "\\") if _DRIVE.match(rest) else f"/{rest}"


def object_url(value: Any, fields: Fields) -> bool:
    """The address of a file or of a page; other words (`script`) stay with the vendor's name."""
    said = values.text(value)
    if said is None:
        return False
    if _WEB_URL.match(said):
        return put(fields, "url.original", said)
    where = path_of(said)
    return where is not None and path(where, fields) and where == said


def web_url(value: Any, fields: Fields) -> bool:
    """The address of a page alone, of objects that are no files."""
    said = values.text(value)
    return said is not None and _WEB_URL.match(said) is not None and put(fields, "url.original", said)


def object_name(value: Any, fields: Fields) -> bool:
    """The name of a file, or the path of one."""
    said = values.text(value)
    if said is None:
        return False
    return path(said, fields) if _PLAIN_PATH.match(said) else put(fields, "file.name", said)


def reached_port(target: str) -> Apply:
    """A port; 0 is none."""
    apply = port(target)

    def read(value: Any, fields: Fields) -> bool:
        return values.number(value) == 0 or apply(value, fields)

    return read


def transport(value: Any, fields: Fields) -> bool:
    """`TCP`: in lower case; `0` is none."""
    said = values.text(value)
    if said is None or said == "0":
        return said == "0"
    return put(fields, "network.transport", said.lower()) and said in {said.lower(), said.upper()}


def hardware_address(target: str) -> Apply:
    """A MAC address in the form of ECS, `00-0C-29-12-34-56`."""

    def apply(value: Any, fields: Fields) -> bool:
        if type(value) is not str or not _MAC.fullmatch(value.strip()):
            return False
        digits = re.sub("[^0-9A-F]", "", value.upper())
        return digits in _NO_MAC or put(fields, target, "-".join(digits[at : at + 2] for at in range(0, 12, 2)))

    return apply


def mailboxes(target: str) -> Apply:
    """One mail address or several with commas between, for a field that ECS defines as a list."""

    def apply(value: Any, fields: Fields) -> bool:
        said = [values.text(one) for one in value[:_MAX_LISTED]] if isinstance(value, list) else [values.text(value)]
        found = [one for one in said if one]
        if len(found) == 1:
            parts = [part for part in _BETWEEN_MAILBOXES.split(found[0]) if part]
            if parts and all("@" in part for part in parts):
                found = parts[:_MAX_LISTED]
        return bool(found) and put(fields, target, found) and found in (value, [value])

    return apply


def first_url(value: Any, fields: Fields) -> bool:
    """The first of the addresses found in a mail; the list stays with the vendor's name where it has more."""
    return isinstance(value, list) and text("url.original")(value[0], fields) and len(value) == 1


def attachments(value: Any, fields: Fields) -> bool:
    """The files of a mail; all that the vendor says of them stays with the vendor's name."""
    listed = value[:_MAX_LISTED] if isinstance(value, list) else ()
    found = [one for one in map(_attachment, listed) if one]
    if found:
        fields.setdefault("email.attachments", [{"file": one} for one in found])
    return False


def _attachment(one: Any) -> dict[str, Any]:
    if not isinstance(one, Mapping):
        return {}
    where, size = values.text(one.get("path")), values.number(one.get("sizeBytes"))
    hashes = dict(found for key in ("hashSha1", "hashSha2256") if (found := values.digest(one.get(key))) is not None)
    name = values.file_name(where) if where else ""
    return {
        **({"name": name} if name else {}),
        **({} if size is None else {"size": size}),
        **({"hash": hashes} if hashes else {}),
    }


def is_handled(responses: Any) -> bool:
    """Whether anything was done: a response that says what, other than nothing or an error."""
    for one in responses[:_MAX_LISTED] if isinstance(responses, list) else ():
        if isinstance(one, Mapping):
            kind = OBJECT_ACTION.word(one.get("actionType")).upper()
            named = not is_nothing(one.get("displayName")) or not is_nothing(one.get("description"))
            if kind not in {"NO_ACTION", "ERROR"} and (kind or named):
                return True
    return False


def responses(value: Any, fields: Fields) -> bool:
    """What was done first, and by which part of the product; the list stays with the vendor's name."""
    for one in value[:_MAX_LISTED] if isinstance(value, list) else ():
        if isinstance(one, Mapping):
            action = values.text(one.get("displayName")) or OBJECT_ACTION.word(one.get("actionType")).lower()
            if action and action != "no_action":
                fields.setdefault("event.action", action)
            text("event.provider")(one.get("protectionName"), fields)
    return False


def operating_system(value: Any, fields: Fields) -> bool:
    """The device's system, a text or an object with a name."""
    whole = isinstance(value, str)
    said = value if whole else value.get("displayName") if isinstance(value, Mapping) else None
    return text("host.os.name")(said, fields) and whole
