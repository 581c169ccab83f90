"""How one key of `details` becomes fields with ECS names: the pieces the tables of engines are made of.

A rule is a key and what to do with its value. It writes into `fields` and answers whether everything the value says
is there now; if not, the vendor's word is kept under `withsecure.details.<key>` as well. A field is written once: of
two rules for one field the earlier in the table wins, and the other value is kept under the vendor's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from collector.sources.withsecure import values
from collector.timestamps import format_utc

Fields = dict[str, Any]
Apply = Callable[[Any, Fields], bool]
Rule = tuple[str, Apply]
Rules = tuple[Rule, ...]
Details = Mapping[str, Any]

_PROTOCOL = re.compile(r"([A-Za-z0-9._-]{1,32})(?:\(([0-9]{1,3})\))?", re.ASCII)
_DIRECTIONS = {"inbound": "inbound", "in": "inbound", "outbound": "outbound", "out": "outbound"}
_RARITY = re.compile(r"Rarity: -?[0-9]+, Reputation: -?[0-9]+|DeepGuard blocks a rare application")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Engine:
    """What is known of one engine: its title in the vendor's own connector, its place in ECS, its keys.

    `rules` may depend on the details, for keys that mean different things in different events. `known` are keys that
    have no ECS name. `kind`, `category` and `types` are values of ECS's `event.kind`, `event.category`, `event.type`;
    `verdict` adds `denied` or `allowed` to the types, where ECS allows that for the category.
    """

    title: str
    category: tuple[str, ...]
    types: tuple[str, ...]
    rules: Rules | Callable[[Details], Rules]
    known: frozenset[str] = frozenset()
    kind: str = "alert"
    verdict: bool = False

    def rules_for(self, details: Details) -> Rules:
        """The rules that hold for this event."""
        return self.rules if isinstance(self.rules, tuple) else self.rules(details)


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


def malware(value: Any, fields: Fields) -> bool:
    """The name of an infection; DeepGuard puts a remark on rarity in the same key."""
    said = values.text(value)
    if said is None or _RARITY.fullmatch(said):
        return False
    return put(fields, "threat.software.name", said)


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


def host_addresses(value: Any, fields: Fields) -> bool:
    """The host's addresses; the prefixes stay with the vendor's text."""
    found = values.addresses(value)
    return bool(found) and put(fields, "host.ip", found) and found == [value]


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


def direction(value: Any, fields: Fields) -> bool:
    """Inbound or outbound; the firewall's `forward` has no name in ECS."""
    word = _DIRECTIONS.get(value.lower()) if type(value) is str else None
    return word is not None and put(fields, "network.direction", word) and word == value


def is_inbound(value: Any) -> bool:
    """Whether a direction says that the other side began."""
    return type(value) is str and _DIRECTIONS.get(value.lower()) == "inbound"


def protocol(value: Any, fields: Fields) -> bool:
    """`TCP(6)`, `IPv4`: the transport with its number, or the version of IP."""
    match = _PROTOCOL.fullmatch(value) if type(value) is str else None
    if match is None:
        return False
    name, assigned = match.group(1).lower(), match.group(2)
    if name in {"ipv4", "ipv6"}:
        return put(fields, "network.type", name) and assigned is None
    return put(fields, "network.transport", name) and (assigned is None or put(fields, "network.iana_number", assigned))


def first_url(value: Any, fields: Fields) -> bool:
    """The first of the urls found in a mail; the whole list with its verdicts stays with the vendor's names."""
    urls = values.json_list(value) or ()
    if urls and isinstance(urls[0], dict):
        text("url.original")(urls[0].get("url"), fields)
    return False


def attachments(value: Any, fields: Fields) -> bool:
    """A mail's attachments; their verdicts stay with the vendor's names."""
    found = [_attachment(one) for one in values.json_list(value) or () if isinstance(one, dict)]
    if any(found):
        fields.setdefault("email.attachments", [{"file": one} for one in found if one])
    return False


def _attachment(one: Details) -> dict[str, Any]:
    name, size, found = values.text(one.get("filename")), values.number(one.get("size")), values.digest(one.get("sha1"))
    return {
        **({} if name is None else {"name": name}),
        **({} if size is None else {"size": size}),
        **({} if found is None else {"hash": {found[0]: found[1]}}),
    }


# In the details of every engine.
COMMON: Rules = (
    ("alertType", text("event.code")),
    ("hostIpAddress", host_addresses),
    ("userName", user),
    ("userPrincipalName", text("user.email")),
)
COMMON_KEYS = keys("clientTimestamp profileId profileName profileVersion throttledCount")
