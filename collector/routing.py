"""Which events a sink takes, and the names it makes out of them.

`Route` is a sink's `route:`, `Template` a text such as `events/{tenant}/{date}.ndjson`. Both are compiled once and are
pure functions of an event from then on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol
from urllib.parse import quote as percent_encode

from collector.model import SEVERITIES, Event, Severity, StreamId
from collector.suggest import hint


@lru_cache(maxsize=1024)
def _utc(at: datetime) -> str:
    # Remembered, because all events of a page share the time they were fetched at.
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H")


_LABEL = "label."
_FIELDS: dict[str, Callable[[Event], str]] = {
    "tenant": lambda event: event.tenant,
    # The id and not the name: a vendor's customer who renames an organization must not begin a new file.
    "organization": lambda event: event.organization_id,
    "source": lambda event: event.source,
    "feed": lambda event: event.feed,
}
_TIMES: dict[str, Callable[[Event], str]] = {
    "date": lambda event: _utc(event.fetched_at)[:10],
    # With its day, so that the hour alone makes a name that does not come back tomorrow.
    "hour": lambda event: _utc(event.fetched_at),
}
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAMES = "a name in braces is one of {0}; a brace itself is written twice"
_PATH_VALUE_BYTES = 80
_HASH_DIGITS = 12


class Template:
    """A text with names in braces; `times` allows `{date}` and `{hour}` (of fetching, UTC) too.

    `parts` are its literals (str, braces already single) and names (`Name`), in order.

    Raises:
        ValueError: unknown name or a brace that stands alone; the message says what is allowed.
    """

    def __init__(self, text: str, *, times: bool = False) -> None:
        self.text = text
        self.parts = tuple(_parse(text, _FIELDS | _TIMES if times else _FIELDS))

    @property
    def is_constant(self) -> bool:
        """True when every event gives the same text."""
        return not any(isinstance(part, Name) for part in self.parts)

    def render(self, event: Event, quote: Callable[[str], str] = str) -> str:
        """The text for this event; `quote` is applied to each value and never to what the user wrote."""
        return "".join([part if isinstance(part, str) else quote(part.of(event)) for part in self.parts])


class Name:
    """One name in braces: where its value comes from. What an event has not is the empty text."""

    def __init__(self, name: str, of: Callable[[Event], str]) -> None:
        self.name = name
        self.of = of


def _parse(text: str, fields: dict[str, Callable[[Event], str]]) -> list[str | Name]:
    parts: list[str | Name] = []
    literal, position = "", 0
    for match in _TOKEN.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match[1] is not None:
            parts += [literal, _name(match[1], fields)] if literal else [_name(match[1], fields)]
            literal = ""
        elif len(match[0]) == 2:  # {{ or }}
            literal += match[0][0]
        else:
            raise ValueError(f"'{match[0]}' stands alone: {_NAMES.format(_allowed(fields))}")
    literal += text[position:]
    return [*parts, literal] if literal else parts


def _name(name: str, fields: dict[str, Callable[[Event], str]]) -> Name:
    if name in fields:
        return Name(name, fields[name])
    label = name.removeprefix(_LABEL)
    if label and label != name:
        return Name(name, lambda event: event.labels.get(label, ""))
    known = [*fields, f"{_LABEL}X"]
    raise ValueError(f"unknown name {{{name}}}; {hint(name, known)}")


def _allowed(fields: dict[str, Callable[[Event], str]]) -> str:
    return ", ".join(f"{{{name}}}" for name in [*fields, f"{_LABEL}X"])


@lru_cache(maxsize=4096)
def path_value(value: str) -> str:
    """Make a value fit to be part of a file's name: 1 to 80 bytes of `[A-Za-z0-9._%-]`, never `.` or `..`.

    Distinct values stay distinct: what is cut gets a hash of the whole value, and the value `_` is encoded because the
    empty one is written so.
    """
    encoded = percent_encode(value.encode("utf-8", "surrogatepass"), safe="").replace("~", "%7E")  # which it lets pass
    if encoded in {".", "..", "_"}:
        encoded = "".join(f"%{ord(char):02X}" for char in encoded)
    if len(encoded) < _PATH_VALUE_BYTES:
        return encoded or "_"
    digits = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_HASH_DIGITS // 2).hexdigest()
    kept = encoded[: _PATH_VALUE_BYTES - _HASH_DIGITS - 1]
    return re.sub(r"%[0-9A-F]?$", "", kept) + "-" + digits


class RouteRules(Protocol):
    """A sink's `route:` as configured; an empty list and None restrict nothing. `*` stands for any text."""

    @property
    def tenants(self) -> Sequence[str]: ...
    @property
    def organizations(self) -> Sequence[str]: ...
    @property
    def sources(self) -> Sequence[str]: ...
    @property
    def feeds(self) -> Sequence[str]: ...
    @property
    def min_severity(self) -> Severity | None: ...


class Route:
    """A compiled route: an event is taken when it meets every condition given.

    `organizations` matches the vendor's id or name of an organization; `tenants` the tenant on the event, which is the
    mapped one where the tenant maps organizations.
    """

    def __init__(self, rules: RouteRules) -> None:
        self._tenants = _matcher(rules.tenants)
        self._organizations = _matcher(rules.organizations)
        self._sources = _matcher(rules.sources)
        self._feeds = _matcher(rules.feeds)
        self._severities = None if rules.min_severity is None else _from(rules.min_severity)

    def takes_stream(self, stream: StreamId, mapped_tenants: Collection[str] = ()) -> bool:
        """Whether any event of this stream may be taken; False means its pages need not be opened.

        `mapped_tenants` are the names that the tenant's `organizations:` puts on its events.
        """
        return (
            _matches(self._feeds, stream.feed)
            and _matches(self._sources, stream.source)
            and any(_matches(self._tenants, tenant) for tenant in (stream.tenant, *mapped_tenants))
        )

    def takes(self, event: Event) -> bool:
        return (
            (self._severities is None or event.severity in self._severities)
            and _matches(self._tenants, event.tenant)
            and _matches(self._feeds, event.feed)
            and _matches(self._sources, event.source)
            and (
                _matches(self._organizations, event.organization_id)
                or _matches(self._organizations, event.organization_name)
            )
        )


def _from(least: Severity) -> frozenset[Severity]:
    return frozenset(SEVERITIES[SEVERITIES.index(least) :])


def _matcher(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    # Only `*` is special: an organization may well be called "Acme [old]?".
    return re.compile("|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns), re.DOTALL)


def _matches(pattern: re.Pattern[str] | None, value: str) -> bool:
    return pattern is None or pattern.fullmatch(value) is not None
