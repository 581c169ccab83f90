"""How one key of `details` becomes fields with ECS names: the pieces the tables of engines are made of.

What all vendors share of this is `collector.sources.field_rules`; a value that no field tells whole is kept under
`withsecure.details.<key>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from collector.sources import values
from collector.sources.field_rules import Fields, Rules, keys, put, text, user

Details = Mapping[str, Any]

_PROTOCOL = re.compile(r"([A-Za-z0-9._-]{1,32})(?:\(([0-9]{1,3})\))?", re.ASCII)
_DIRECTIONS = {"inbound": "inbound", "in": "inbound", "outbound": "outbound", "out": "outbound"}
_RARITY = re.compile(r"Rarity: -?[0-9]+, Reputation: -?[0-9]+|DeepGuard blocks a rare application")


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


def malware(value: Any, fields: Fields) -> bool:
    """The name of an infection; DeepGuard puts a remark on rarity in the same key."""
    said = values.text(value)
    if said is None or _RARITY.fullmatch(said):
        return False
    return put(fields, "threat.software.name", said)


def host_addresses(value: Any, fields: Fields) -> bool:
    """The host's addresses; the prefixes stay with the vendor's text."""
    found = values.addresses(value)
    return bool(found) and put(fields, "host.ip", found) and found == [value]


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
