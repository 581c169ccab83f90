"""How one key of a vendor's record becomes fields with ECS names: the pieces the tables of vendors are made of.

A rule is a key and what to do with its value. It writes into `fields` and answers whether everything the value says
is there now; if not, the vendor's word is kept under the vendor's name as well. A field is written once: of two rules
for one field the earlier in the table wins, and the other value is kept under the vendor's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.sources import values
from collector.timestamps import format_utc

Fields = dict[str, Any]
Apply = Callable[[Any, Fields], bool]
Rule = tuple[str, Apply]
Rules = tuple[Rule, ...]

_MAX_PORT = 65_535


def keys(*lines: str) -> frozenset[str]:
    """Names of keys, written as text with spaces between."""
    return frozenset(" ".join(lines).split())


def put(fields: Fields, target: str, value: Any) -> bool:
    """Write a field unless it is taken; whether it now holds this value."""
    return bool(fields.setdefault(target, value) == value)


def text(target: str) -> Apply:
    """A text as it is."""

    def apply(value: Any, fields: Fields) -> bool:
        said = values.text(value)
        return said is not None and put(fields, target, said)

    return apply


def listed(target: str) -> Apply:
    """A text for a field that ECS defines as a list."""

    def apply(value: Any, fields: Fields) -> bool:
        said = values.text(value)
        return said is not None and put(fields, target, [said])

    return apply


def lower(target: str) -> Apply:
    """A word that ECS wants in lower case."""

    def apply(value: Any, fields: Fields) -> bool:
        said = values.text(value)
        return said is not None and put(fields, target, said.lower()) and said.islower()

    return apply


def number(target: str, *, most: int = (1 << 63) - 1) -> Apply:
    """A whole number from 0 on."""

    def apply(value: Any, fields: Fields) -> bool:
        count = values.number(value)
        if count is None or not 0 <= count <= most:
            return False
        return put(fields, target, count) and str(count) == str(value)

    return apply


def port(target: str) -> Apply:
    """A TCP or UDP port."""
    return number(target, most=_MAX_PORT)


def moment(target: str) -> Apply:
    """A point in time; whether it came as seconds or milliseconds is told by its size."""

    def apply(value: Any, fields: Fields) -> bool:
        when = values.moment(value)
        if when is None:
            return False
        stated = format_utc(when)
        return put(fields, target, stated) and (values.number(value) is not None or stated == value)

    return apply


def address(target: str) -> Apply:
    """One IP address, only if it is one: an `ip`-typed field refuses the whole event otherwise."""

    def apply(value: Any, fields: Fields) -> bool:
        ip = values.address(value)
        return ip is not None and put(fields, target, ip) and ip == value

    return apply


def digest(prefix: str) -> Apply:
    """A hash of whatever kind, under `prefix.md5`, `.sha1`, `.sha256` or `.sha512`."""

    def apply(value: Any, fields: Fields) -> bool:
        found = values.digest(value)
        return found is not None and put(fields, f"{prefix}.{found[0]}", found[1])

    return apply


def path(value: Any, fields: Fields) -> bool:
    """A file: `file.path` and the name in it."""
    said = values.text(value)
    if said is None or not put(fields, "file.path", said):
        return False
    name = values.file_name(said)
    if name:
        fields.setdefault("file.name", name)
    return True


def executable(prefix: str) -> Apply:
    """A program: `prefix.executable` and the name in it, the name alone where no path is given."""
    whole, last = f"{prefix}.executable", f"{prefix}.name"

    def apply(value: Any, fields: Fields) -> bool:
        said = values.text(value)
        if said is None:
            return False
        name = values.file_name(said)
        if name == said:
            return put(fields, last, said)
        if not put(fields, whole, said):
            return False
        if name:
            fields.setdefault(last, name)
        return True

    return apply


def user(value: Any, fields: Fields) -> bool:
    """An account: `user.name`, `user.domain`, `user.email`."""
    found = values.user(value)
    if found is None:
        return False
    domain, name, email = found
    if "user.name" in fields:
        return bool(fields["user.name"] == name and fields.get("user.domain", "") == domain)
    fields["user.name"] = name
    if domain:
        fields["user.domain"] = domain
    if email:
        fields.setdefault("user.email", email)
    return True
