"""Where a lane of detections is: one track for each version of the interface, since a customer may have one or both.

The versions share their ids, so what both serve counts once; but which of them is offered, and whether with deltas, may
change at any time for each alone. So each has a position of its own, and the lane's watermark is the smallest of those
that are offered.

`Checkpoint.state` holds, beside what `lanes` keeps there, `"v1"` and `"v2"`: a `Track` each. `Checkpoint.run` holds
what is under way (`Round`); losing it costs requests and no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import msgspec

from collector.model import Checkpoint, Lane
from collector.sources.eset.bisecting import Trouble
from collector.sources.eset.pending import PendingAnswer
from collector.sources.run import Run

Version = Literal["v1", "v2"]
VERSIONS: tuple[Version, ...] = ("v1", "v2")

Kept = TypeVar("Kept", bound=msgspec.Struct)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_PROBE, _LAST_PROBE = timedelta(minutes=1), timedelta(hours=1)


class Off(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something is not offered: vendor time when it was `probed` last, and how often in a row (`misses`)."""

    probed: datetime
    misses: int = 1

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask again; also where the vendor's clock went back."""
        wait = min(_LAST_PROBE, _FIRST_PROBE * 2 ** min(self.misses - 1, 10))
        return not timedelta(0) <= now - self.probed < wait


def missed(before: Off | None, now: datetime) -> Off:
    """What is not offered once more, or for the first time."""
    return Off(probed=now, misses=1 if before is None else before.misses + 1)


class Track(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version's position.

    `watermark`: as the lane's. `token`: the delta token, `taken_at`: vendor time before which all that was visible has
    come by deltas, kept when the token dies. `page_size` for deltas; `deaths`: tokens in a row that died unused.
    `sweep_from`: from there the lists are yet to be read, by a walk that begins after this was set; `sweep_again`: the
    same for a walk after the one under way. `delta_off`, `list_off`: what is not offered; `seen`: whether the list ever
    was. `gaps`: unreadable spans; `ahead`: hashes of records from the far future that every walk meets again.
    `future_off`: the vendor takes no window that ends in the future.
    """

    watermark: datetime | None = None
    token: str | None = None
    taken_at: datetime | None = None
    page_size: int = 1000
    deaths: int = 0
    sweep_from: datetime | None = None
    sweep_again: datetime | None = None
    delta_off: Off | None = None
    list_off: Off | None = None
    seen: bool = False
    future_off: Off | None = None
    gaps: tuple[tuple[str, str], ...] = ()
    ahead: tuple[str, ...] = ()

    def is_off(self, lane: Lane) -> bool:
        """Whether nothing that this lane reads is offered; deltas are for the tip alone."""
        return self.list_off is not None and (lane is not Lane.TIP or self.delta_off is not None)


class Following(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A delta that is being read: the token of its next page, the smallest vendor time seen.

    `pages` read, `empty` ones in a row, `restarts` from its first page, `fails`: unreadable answers in a row. `mark`:
    what page `marked` held.
    """

    date: datetime
    page_token: str | None = None
    pages: int = 0
    empty: int = 0
    restarts: int = 0
    fails: int = 0
    mark: str = ""
    marked: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is under way in one version. A walk of the tip began at `Track.sweep_from`, where that was set."""

    walk: Run | None = None
    trouble: Trouble | None = None
    following: Following | None = None


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is under way in a lane: `done` activities, `pages` of walks since the deltas were asked last.

    `pending`: an answer the vendor is making for the activity `doing`.
    """

    done: tuple[str, ...] = ()
    pages: int = 0
    doing: str = ""
    pending: PendingAnswer | None = None
    v1: Progress = Progress()
    v2: Progress = Progress()

    def of(self, version: Version) -> Progress:
        """What is under way in a version."""
        return self.v1 if version == "v1" else self.v2

    def put(self, version: Version, progress: Progress) -> Round:
        """The round with that under way in a version."""
        if version == "v1":
            return msgspec.structs.replace(self, v1=progress)
        return msgspec.structs.replace(self, v2=progress)


def track_of(at: Checkpoint, version: Version) -> Track:
    """A version's position; a new one begins where the lane is."""
    return _read(at.state.get(version), Track) or Track(watermark=at.watermark)


def round_of(at: Checkpoint | None) -> Round:
    """What is under way; nothing, where a checkpoint holds something of another shape."""
    return Round() if at is None else _read(at.run, Round) or Round()


def store(at: Checkpoint, lane: Lane, tracks: Mapping[Version, Track], around: Round | None) -> Checkpoint:
    """The checkpoint with these positions; the watermark never goes back."""
    marks = [track.watermark for track in tracks.values() if not track.is_off(lane)]
    lowest = min((mark or _EPOCH for mark in marks), default=_EPOCH)
    watermark = at.watermark if lowest == _EPOCH else max(lowest, at.watermark or lowest)
    kept: dict[str, Any] = {version: msgspec.to_builtins(track) for version, track in tracks.items()}
    run: dict[str, Any] | None = None if around is None else msgspec.to_builtins(around)
    return Checkpoint(watermark, run, {**at.state, **kept})


def _read(value: object, kind: type[Kept]) -> Kept | None:
    try:
        return msgspec.convert(dict(value), kind) if isinstance(value, Mapping) else None
    except (msgspec.ValidationError, TypeError):
        return None
