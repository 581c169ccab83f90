"""What was known long ago is read again at a low rate, for the detections of the incidents that are open.

It is unknown whether a new detection always moves its incident's `updatedTimestamp`. So after every dozen sweeps the
incidents of the last two weeks are walked, a page after each sweep. No promise hangs on it: trouble ends the walk, not
the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from collector.model import Checkpoint, Record, Window
from collector.sources.withsecure.narrowing import Ask
from collector.sources.withsecure.todo import from_ms, to_ms

_KEY = "recheck"
_SPAN = timedelta(days=14)
_MOST_PAGES = 400


class Recheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """The walk as a sweep's checkpoint keeps it; milliseconds since the epoch, vendor time.

    `next_ms`: when the next walk begins. `start_ms`, `end_ms`, `token`: what is asked for next, 0 between walks;
    `last_ms`: how far it has come. `go`: it is the walk's turn.
    """

    next_ms: int
    start_ms: int = 0
    end_ms: int = 0
    last_ms: int = 0
    token: str | None = None
    pages: int = 0
    go: bool = False

    def ask(self, limit: int) -> Ask:
        """The request that comes next."""
        return Ask(from_ms(self.start_ms), from_ms(self.end_ms), limit, self.token)

    def after(self, records: Sequence[Record], token: str | None) -> Recheck:
        """The walk after a page; over where its tokens lead nowhere."""
        if token is None or token == self.token or not records or self.pages >= _MOST_PAGES:
            return self.over()
        last = max((to_ms(record.recorded_at) for record in records if record.recorded_at), default=0)
        return replace(self, token=token, last_ms=max(self.last_ms, last), pages=self.pages + 1, go=False)

    def without_token(self) -> Recheck:
        """The walk from the last record on, its token is refused."""
        if not self.start_ms < self.last_ms < self.end_ms:
            return self.over()
        return replace(self, token=None, start_ms=self.last_ms)

    def over(self) -> Recheck:
        """No walk until the next."""
        return Recheck(self.next_ms)

    def kept(self, at: Checkpoint) -> Checkpoint:
        """The checkpoint with this walk in it."""
        return with_fields(at, state={**at.state, _KEY: msgspec.to_builtins(self)})


def recheck_of(at: Checkpoint | None) -> Recheck | None:
    """The walk whose turn it is, None where it is a lane's."""
    walk = None if at is None or at.run is not None else _stored(at)
    return walk if walk is not None and walk.go else None


def scheduled(at: Checkpoint, window: Window | None, now: datetime, every: timedelta) -> Checkpoint:
    """A sweep is over: the walk's turn comes, or the walk itself, if it is time."""
    walk = _stored(at) or Recheck(to_ms(now + every))
    if walk.end_ms == 0 and to_ms(now) >= walk.next_ms:
        start = now - _SPAN if window is None else max(window.start, now - _SPAN)
        walk = Recheck(to_ms(now + every), start_ms=to_ms(start), end_ms=to_ms(now))
    return replace(walk, go=0 < walk.start_ms < walk.end_ms).kept(at)


def _stored(at: Checkpoint) -> Recheck | None:
    try:
        return msgspec.convert(at.state.get(_KEY), Recheck)
    except msgspec.ValidationError:
        return None
