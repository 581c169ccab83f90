"""Incidents whose detections are still to be read, as a lane's checkpoint keeps them.

They are stored in the same page as the incidents themselves, so a crash forgets none. One that can't be read now is
put behind the others and tried again later, so it holds nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from collector.model import Checkpoint
from collector.sources.withsecure.incident_slices import Belonging

MAX_LIMIT = 100

_KEY = "todo"
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=15), timedelta(minutes=15)
_EMPTY = 20


class Todo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One incident. Times are milliseconds since the epoch, vendor time.

    `at_ms`: the incident's updatedTimestamp, for a gap. `token`: the page that comes next, `limit`: detections to ask
    for. `pages` read, `empty` ones in a row, `mark`: what page `marked` held. `anew`: how often it was begun again
    since tokens led nowhere. `due_ms`: not before; `tries`: how often it failed, `proofs`: as many with other answers
    readable in between.
    """

    of: Belonging
    at_ms: int = 0
    token: str | None = None
    limit: int = MAX_LIMIT
    pages: int = 0
    empty: int = 0
    mark: str = ""
    marked: int = 0
    anew: int = 0
    due_ms: int = 0
    tries: int = 0
    proofs: int = 0

    def is_due(self, now: datetime) -> bool:
        """Whether it may be read now."""
        return self.due_ms <= to_ms(now)

    def later(self, now: datetime, *, proven: bool) -> Todo:
        """The same after it failed: where it stands, ever later."""
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(self.tries, 10))
        return replace(self, tries=self.tries + 1, proofs=self.proofs + proven, due_ms=to_ms(now + wait), anew=0)

    def begun_again(self) -> Todo:
        """The same from its beginning."""
        return replace(self, token=None, pages=0, empty=0, mark="", marked=0, anew=self.anew + 1)

    def turned(self, token: str, ids: Sequence[str]) -> Todo | None:
        """The same a page further on; None where the vendor's tokens lead back, or nowhere."""
        digest = blake2b("\0".join(ids).encode(errors="replace"), digest_size=8).hexdigest() if ids else token
        empty = 0 if ids else self.empty + 1
        if token == self.token or digest == self.mark or empty >= _EMPTY:
            return None
        pages = self.pages + 1
        grown = min(MAX_LIMIT, self.limit * 2)
        if pages >= 2 * self.marked:  # Brent: a circle of any length is found within a few turns
            return replace(self, token=token, pages=pages, empty=empty, limit=grown, mark=digest, marked=pages)
        return replace(self, token=token, pages=pages, empty=empty, limit=grown)


def todo_of(at: Checkpoint | None) -> list[Todo]:
    """What a checkpoint still has to read; what has another shape is left out."""
    stored = at.state.get(_KEY, []) if at is not None else []
    found = []
    for value in stored if isinstance(stored, list) else []:
        try:
            found.append(msgspec.convert(value, Todo))
        except msgspec.ValidationError:
            continue
    return found


def with_todo(at: Checkpoint, todo: Sequence[Todo]) -> Checkpoint:
    """The checkpoint with this left to read."""
    state: dict[str, Any] = {key: value for key, value in at.state.items() if key != _KEY}
    if todo:
        state[_KEY] = [msgspec.to_builtins(each) for each in todo]
    return with_fields(at, state=state)


def merged(todo: Sequence[Todo], more: Sequence[Todo]) -> list[Todo]:
    """Both, each incident once: read anew as a whole it brings what both would."""
    again = {each.of.id for each in more}
    return [each for each in todo if each.of.id not in again] + list({each.of.id: each for each in more}.values())


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def from_ms(count: int) -> datetime:
    """The moment so many milliseconds after the epoch."""
    return datetime.fromtimestamp(count / 1000, UTC)
