"""The query string of a request: unknown, repeated and malformed parameters are 400 with an empty body.

Snake-case names are accepted as the vendor accepts them [ELASTIC]. `pageSize`: nothing or 0 is 50, more than 1000 is
1000 in silence [SPEC]; an empty `pageToken` is the first page [SPEC], one over 128 characters is refused [SPEC].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from collector.simulator.query import read_form
from collector.simulator.rules import Refused
from collector.simulator.vendor_time import parse_us

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
_LONGEST_TOKEN = 128
_SNAKE = re.compile(r"_([a-z])")

Fingerprint = tuple[str, tuple[tuple[str, str], ...]]
"""A path with its parameters in order of names: the same for requests that ask the same."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query string in order: its single values by camelCase name, lists of those that may repeat."""

    path: str
    values: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    @property
    def page_size(self) -> int:
        """How many records are asked for, reduced as the vendor does.

        Raises:
            Refused: it is no number of [0, 99999].
        """
        text = self.values.get("pageSize", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            raise wrong("pageSize", text)
        return min(int(text), LARGEST_PAGE) or DEFAULT_PAGE

    @property
    def page_token(self) -> str:
        """The page asked for, "" for the first."""
        token = self.values.get("pageToken", "")
        if len(token) > _LONGEST_TOKEN:
            raise wrong("pageToken", token)
        return token

    def time_us(self, name: str) -> int | None:
        """A time parameter, microseconds since the epoch."""
        text = self.values.get(name)
        if text is None:
            return None
        try:
            return parse_us(text)
        except ValueError as exc:
            raise wrong(name, text) from exc

    def fingerprint(self, *without: str) -> Fingerprint:
        """What is asked, less these parameters."""
        single = [(name, value) for name, value in self.values.items() if name not in without]
        repeated = [(name, value) for name, values in self.lists.items() for value in values]
        return self.path, tuple(sorted(single + repeated))


def read_query(request: web.Request, known: frozenset[str], repeatable: frozenset[str] = frozenset()) -> Query:
    """The query string of a request.

    Raises:
        Refused: 400, a parameter is malformed, not known, or repeated though not repeatable.
    """
    try:
        given = read_form(request.rel_url.raw_query_string.encode())
    except Refused as exc:
        raise Refused(400, "malformed query string", "malformed query string") from exc
    values: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for name, found in given.items():
        camel = _SNAKE.sub(lambda match: match[1].upper(), name)
        if camel in repeatable:
            lists[camel] = tuple(found)
        elif camel not in known:
            raise Refused(400, "unknown parameter", "unknown parameter", details={"parameter": name[:80]})
        elif len(found) > 1 or camel in values:
            raise Refused(400, "repeated parameter", "repeated parameter", details={"parameter": name[:80]})
        else:
            values[camel] = found[0]
    return Query(request.path, values, lists)


def wrong(name: str, value: str) -> Refused:
    """400 for a value that the vendor can't take."""
    return Refused(400, f"wrong {name}", f"wrong value of {name}", details={"value": value[:200]})
