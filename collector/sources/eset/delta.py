"""How a version of the interface is followed by deltas; pure functions over its position.

ESET's own client (0.3.0 on) asks `:listDelta` with `deltaToken=latest` first, which answers nothing but a token, then
with the stored token: `createdDetections`, pages by `nextPageToken` under the same delta token, the next delta token
on the last page alone. How long tokens live and what a dead one is answered is not documented, nor which customers
have this at all.

Nothing falls between two tokens: whatever was visible before `taken_at` has come, and all else is visible within the
sweep's window of its stamp. So with every token taken, and when deltas are given up, the lists are to be read from
`taken_at` - window on by a walk that begins later; that is written down together with the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from collector.sources.eset.slicing import Slices
from collector.sources.eset.tracks import Following, Progress, Track, missed
from collector.sources.lanes import before, digest_of

LATEST = "latest"
_SMALL_PAGE = 100
_RESTARTS, _EMPTY, _FAILS, _DEATHS = 3, 100, 5, 5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds a delta: vendor time at its answer, the feed's beginning, how late records may show up.

    `now` is what can be vouched for, `clock` what the vendor's clock shows.
    """

    now: datetime
    clock: datetime
    beginning: datetime
    window: timedelta


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer, or the lack of one, leads to. `over`: there is no more to ask for now."""

    track: Track
    following: Following | None
    over: bool = False


def wanted(track: Track, progress: Progress, moment: datetime, bounds: Bounds) -> Track:
    """The position with the lists yet to be read from a window before `moment`, not from before the feed's beginning.

    A walk under way may be past some of it already: then it takes another one after that.
    """
    start = max(before(moment, bounds.window), bounds.beginning)
    if progress.walk is not None:
        return replace(track, sweep_again=min(start, track.sweep_again or start))
    return replace(track, sweep_from=min(start, track.sweep_from or start))


def took(track: Track, progress: Progress, following: Following, slices: Slices, bounds: Bounds) -> Outcome:
    """A page of a delta came."""
    following = replace(following, date=min(following.date, bounds.now), pages=following.pages + 1, fails=0)
    if slices.page_token is not None:
        return _lead_on(track, progress, following, slices, bounds)
    if slices.delta_token is None:
        return refused(track, progress, bounds)
    if track.token is None:
        read_until = track.taken_at or track.watermark or bounds.beginning
        track = wanted(track, progress, read_until, bounds)
        return Outcome(
            replace(track, token=slices.delta_token, taken_at=following.date, delta_off=None), None, over=True
        )
    track = replace(
        track, token=slices.delta_token, taken_at=max(following.date, track.taken_at or following.date), deaths=0
    )
    return Outcome(settled(track), None, over=True)


def refused(track: Track, progress: Progress, bounds: Bounds) -> Outcome:
    """The delta token is refused, or leads nowhere: take another, and where there is none give deltas up."""
    if track.token is not None and track.deaths + 1 < _DEATHS:
        return Outcome(replace(track, token=None, deaths=track.deaths + 1), None)
    if track.token is None and track.page_size > _SMALL_PAGE:
        return Outcome(replace(track, page_size=_SMALL_PAGE), None)
    return Outcome(given_up(track, progress, bounds), None, over=True)


def page_refused(track: Track, progress: Progress, bounds: Bounds) -> Outcome:
    """A request with a stored token is refused; where it held a page token too, that may be the one."""
    following = progress.following
    if following is not None and following.page_token is not None and following.restarts < _RESTARTS:
        return Outcome(track, Following(date=following.date, restarts=following.restarts + 1))
    return refused(track, progress, bounds)


def unreadable(track: Track, progress: Progress, following: Following, bounds: Bounds) -> Outcome:
    """A page can't be read: at the fifth time the lists are asked instead, which can be narrowed down."""
    if following.fails + 1 >= _FAILS:
        return refused(replace(track, page_size=min(_SMALL_PAGE, track.page_size)), progress, bounds)
    return Outcome(track, replace(following, fails=following.fails + 1))


def given_up(track: Track, progress: Progress, bounds: Bounds) -> Track:
    """Deltas are not offered (any more): go on with the lists."""
    if track.taken_at is not None:
        track = wanted(track, progress, track.taken_at, bounds)
    off = missed(track.delta_off, bounds.clock)
    return replace(track, token=None, taken_at=None, delta_off=off, deaths=0, page_size=_SMALL_PAGE)


def settled(track: Track) -> Track:
    """The watermark follows the deltas where the lists are read as far as they have to be, or can't be."""
    if track.taken_at is None or (track.sweep_from is not None and track.list_off is None):
        return track
    return replace(track, watermark=max(track.taken_at, track.watermark or track.taken_at))


def _lead_on(track: Track, progress: Progress, following: Following, slices: Slices, bounds: Bounds) -> Outcome:
    empty = 0 if slices.cuts else following.empty + 1
    digest = digest_of(slices.records, slices.page_token or "")
    led = replace(following, page_token=slices.page_token, empty=empty)
    if slices.page_token == following.page_token or digest == following.mark or empty >= _EMPTY:
        return page_refused(track, replace(progress, following=led), bounds)
    if led.pages >= 2 * led.marked:  # Brent: a circle of any length is found within a few turns
        led = replace(led, mark=digest, marked=led.pages)
    return Outcome(track, led)
