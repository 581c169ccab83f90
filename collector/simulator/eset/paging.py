"""Page tokens: opaque, of one account and one query, good for a while; pages with the odd-page faults.

A token is base64 of random bytes with its `+/=`, so that a client has to encode it. All other parameters must come with
it as they were, `pageSize` too [CLIENT and ELASTIC resend them; unknown at the vendor]. By default a run of pages shows
what there was when it began; with `shifting` each page is counted off anew, so that what comes and goes meanwhile
shifts the rest, as offsets in a token would [INF].
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, TypeVar

from collector.clock import Clock
from collector.simulator.eset.parameters import Fingerprint, Query
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused, RuleBook

_REMEMBERED = 100_000
_ROOM = 3

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Run(Generic[Row]):
    """All that a query finds; `mark` is what the caller wants to know again with each of its pages."""

    rows: Sequence[Row]
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a run; `token` is that of the next, "" on the last."""

    rows: list[Row]
    token: str
    run: Run[Row]


@dataclass(frozen=True, slots=True)
class _Given:
    username: str
    fingerprint: Fingerprint
    run: Run[Any]
    offset: int
    at: float


class Pager:
    """Cuts what a query finds into pages. `lives_seconds`: how long a token is good, None: as long as it is known."""

    def __init__(self, faults: Faults, rules: RuleBook, clock: Clock, rng: Random) -> None:
        self.lives_seconds: float | None = None
        self.shifting = False
        self._faults = faults
        self._rules = rules
        self._clock = clock
        self.rng = rng
        self._given: OrderedDict[str, _Given] = OrderedDict()

    def page(self, username: str, query: Query, find: Callable[[], Run[Row]]) -> Page[Row]:
        """The page that `query` asks for of what `find` gives.

        Raises:
            Refused: 400, the token is not this account's, for another query, too old, or a fault says so.
        """
        size, sent = query.page_size, query.page_token
        fingerprint = query.fingerprint("pageToken")
        run, offset = self._where(username, fingerprint, sent, find)
        rows = run.rows
        if self._faults.strikes("empty_page", username):
            return Page([], self._give(username, fingerprint, run, offset), run)
        copies = 0
        if size > _ROOM and offset < len(rows) and self._faults.strikes("duplicate_in_page", username):
            copies = _ROOM
        end = offset + size - copies
        found = list(rows[offset:end])
        for _ in range(copies):
            found.insert(self._faults.draw(len(found) + 1), found[self._faults.draw(len(found))])
        if end >= len(rows):
            return Page(found, "", run)
        if sent and self._faults.strikes("repeated_token", username):
            return Page(found, sent, run)
        return Page(found, self._give(username, fingerprint, run, end), run)

    def _where(
        self, username: str, fingerprint: Fingerprint, token: str, find: Callable[[], Run[Row]]
    ) -> tuple[Run[Row], int]:
        if not token:
            return find(), 0
        given = self._given.get(token)
        if given is None or given.username != username:
            raise Refused(400, "unknown page token", "page token that was never given out", details={"token": token})
        if given.fingerprint != fingerprint:
            before, now = set(given.fingerprint[1]), set(fingerprint[1])
            changed = sorted({name for name, _ in before ^ now}) or ["path"]
            rule = "parameters changed while following a page token"
            raise Refused(400, "page token of another query", rule, details={"changed": ", ".join(changed)})
        too_old = self.lives_seconds is not None and self._clock.monotonic() - given.at > self.lives_seconds
        if too_old or self._faults.strikes("stale_page_token", username):
            raise Refused(400, "page token is no longer valid")
        return (find() if self.shifting else given.run), given.offset

    def _give(self, username: str, fingerprint: Fingerprint, run: Run[Any], offset: int) -> str:
        token = base64.b64encode(b"\xfb\xff" + self.rng.randbytes(23)).decode()
        self._given[token] = _Given(username, fingerprint, run, offset, self._clock.monotonic())
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        return token
