"""The unfinished run of a lane, as a checkpoint keeps it between two pages.

A run reads from `start` to `goal` in windows; `start`, `end` and `token` are the request that comes next. All times are
the vendor's, `start` inclusive, `end` exclusive, both in whole milliseconds, since they are sent as such.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from collector.model import Checkpoint

MILLISECOND = timedelta(milliseconds=1)

Phase = Literal["search", "asc", "desc", "control", "asc_again", "desc_again"]


class Narrow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the search for an unreadable record has come; only the source that narrows understands it.

    `stop`: end of the window that was being read. `step_ms`: width of the next probe. `bad_end`: end of the smallest
    window known to be unreadable. `asc_token`, `desc_token`: the last readable positions on both sides of the record.
    `proofs`: how often it was unreadable after another record was readable; `controls`: where to look for that one.
    `sound`: whether it was read just now; `rests`: how often it was nowhere. `restarts`: how often a token was refused.
    """

    phase: Phase
    stop: datetime
    reason: str
    step_ms: int = 1
    bad_end: datetime | None = None
    asc_token: str | None = None
    desc_token: str | None = None
    proofs: int = 0
    controls: int = 0
    sound: bool = False
    rests: int = 0
    restarts: int = 0


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run.

    `begin`: vendor time when it began. `date`: the smallest vendor time seen in it. `newest`: the newest record's
    recorded_at. `last`: up to where records came in ascending order, `ordered`: whether all did. `skewed`: an answer's
    clock and this host's were far apart. `pages` read, `empty` ones in a row, `stalls`: how often tokens led in a
    circle, or were refused, without getting anywhere. `mark`: what page `marked` of this run held, by its hash.
    `turns`: pages of this window that began before the one ahead of them ended (`page_last`), `marked_turns`: as many
    at the mark.
    `limit`: records to ask for, `most` at best; `good` pages read with it, `tries` that failed with it, `fails` in a
    row. `reach`: end of the last window where that lies beyond the goal. `width_ms`: windows are to be as narrow as
    this, None: as wide as the vendor takes. `window_from`: `pages` when this window began.
    """

    begin: datetime
    goal: datetime
    start: datetime
    end: datetime
    date: datetime
    limit: int
    most: int = 200
    token: str | None = None
    newest: datetime | None = None
    last: datetime | None = None
    ordered: bool = True
    skewed: bool = False
    pages: int = 0
    empty: int = 0
    stalls: int = 0
    mark: str = ""
    marked: int = 0
    page_last: datetime | None = None
    turns: int = 0
    marked_turns: int = 0
    good: int = 0
    tries: int = 0
    fails: int = 0
    narrow: Narrow | None = None
    reach: datetime | None = None
    width_ms: int | None = None
    window_from: int = 0

    def to_json(self) -> dict[str, Any]:
        """The run as JSON values, for `Checkpoint.run`."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


def run_of(checkpoint: Checkpoint | None) -> Run | None:
    """The run a checkpoint holds; None where there is none, or one of a shape this version does not know."""
    if checkpoint is None or checkpoint.run is None:
        return None
    try:
        return msgspec.convert(dict(checkpoint.run), Run)
    except msgspec.ValidationError:
        return None


def floor_ms(moment: datetime) -> datetime:
    """Cut to whole milliseconds: earlier, never later."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
