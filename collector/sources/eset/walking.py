"""How the lists of one version are walked: `lanes` with the rules of a vendor that serves in no order; pure functions.

`startTime` is inclusive, `endTime` exclusive, both are compared with the device's clock, the only time a detection has.
Devices may be ahead: the last window of a tip or a sweep ends a century after vendor time, fixed while paging. What a
window holds is known when it was read to its end, so the watermark moves with windows alone; one of more than fifty
pages is begun anew half as wide, and those after it are as narrow, so that little is repeated after trouble.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from collector.model import Checkpoint, Gap, Lane, Window
from collector.sources import lanes
from collector.sources.eset import bisecting, delta
from collector.sources.eset.bisecting import Trouble
from collector.sources.eset.slicing import Slices
from collector.sources.eset.tracks import Progress, Track, missed
from collector.sources.lanes import Rules
from collector.sources.run import Run, run_of
from collector.sources.vendor_time import VendorTime

CENTURY = timedelta(days=36525)
_PAGES = 50
_AHEAD_KEPT = 2000
_WIDE = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk is: its lane, the lane's checkpoint, the vendor's clock now, what does not change."""

    lane: Lane
    at: Checkpoint
    now: VendorTime
    rules: Rules


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a page led; `over`: the walk has come to its end, or has nothing to read yet."""

    track: Track
    progress: Progress
    over: bool = False
    retry_after: float | None = None
    gaps: tuple[Gap, ...] = ()


def cautious(now: VendorTime) -> datetime:
    """What can be vouched for of vendor time: the earlier of both clocks, nothing where the vendor tells none.

    A `Date` far ahead would lead past records; so would this host's clock.
    """
    return min(now.now, now.now + timedelta(seconds=now.skew)) if now.known else _EPOCH


def begin(place: Place, track: Track, progress: Progress, window: Window | None) -> Walked:
    """Begin a walk; `over` at once where there is nothing to read yet."""
    lane, now, rules = place.lane, place.now, place.rules
    if track.list_off is not None and lane is not Lane.JOB:
        track = _offered_again(lane, track, cautious(now), rules)
    wishes = [moment for moment in (track.sweep_from, track.sweep_again) if moment is not None]
    start = min(wishes) if wishes and lane is Lane.TIP else None
    if start is not None:
        track = replace(track, sweep_from=start, sweep_again=None)
    begun = lanes.begin(lane, _inner(place.at, track), window, now, _open(place, track), start)
    track, run = _outer(track, begun), run_of(begun)
    if run is None:
        return Walked(track, replace(progress, walk=None, trouble=None), over=True)
    run = replace(run, date=cautious(now) if now.known else run.date, skewed=not now.known)
    return Walked(track, replace(progress, walk=run, trouble=None))


def took(place: Place, track: Track, progress: Progress, run: Run, slices: Slices) -> Walked:
    """A page of the run's window came.

    Raises:
        CheckpointExpired, SourceUnavailable: as `lanes.advance`.
    """
    run = _noted(run, slices, place.now)
    if slices.page_token is not None and progress.trouble is None and run.pages - run.window_from > _PAGES:
        narrower = bisecting.cut(run)
        if narrower is not None:
            return Walked(track, replace(progress, walk=narrower))
    step = lanes.advance(place.lane, _inner(place.at, track), run, slices.records, slices.page_token)
    if step is None:
        return _behind(place, track, progress, run)
    walk = run_of(step.checkpoint)
    return Walked(_outer(track, step.checkpoint), replace(progress, walk=walk), retry_after=step.retry_after)


def passed(place: Place, track: Track, progress: Progress, run: Run, gap: Gap, following: Run) -> Walked:
    """What is left of the run's window stays unreadable: step over it to `following`."""
    inner = lanes.close_window(place.lane, lanes.remember_gap(_inner(place.at, track), gap), run)
    walked = _on(place, _outer(track, inner), inner, progress, following, None)
    return Walked(walked.track, walked.progress, walked.over, gaps=(gap,))


def expired(place: Place, track: Track, progress: Progress, run: Run, why: str) -> Walked:
    """The run's page token is refused or leads nowhere: the window is read again, narrower where that came before."""
    anew = run_of(lanes.expired(lanes.keep(_inner(place.at, track), run), why).resume) or run
    narrower = bisecting.cut(anew) if progress.trouble is None and anew.stalls > 1 else None
    wait = float(2**anew.stalls) if anew.stalls > 1 else None
    return Walked(track, replace(progress, walk=narrower or replace(anew, window_from=anew.pages)), retry_after=wait)


def without_future(place: Place, track: Track, progress: Progress, run: Run) -> Walked | None:
    """The vendor refuses or fails to read a window that ends in the future: this one and those to come end now.

    Asked for again after a while, since it may have been an accident. None: the window does not end there.
    """
    if run.reach is None or run.end <= run.goal:
        return None
    track = replace(track, future_off=missed(track.future_off, place.now.now))
    progress = replace(progress, trouble=None)
    run = replace(run, reach=None, end=max(run.start, run.goal), token=None)
    if run.start >= run.end:
        return _behind(place, track, progress, run)
    return Walked(track, replace(progress, walk=run))


def refused(place: Place, track: Track, progress: Progress, run: Run) -> Walked | None:
    """A window is refused as such: it does without the future then.

    A wide one is narrowed, should the vendor have a limit after all. None: it can't be the window.
    """
    without = without_future(place, track, progress, run)
    if without is not None:
        return without
    narrower = bisecting.cut(run) if run.end - run.start > _WIDE else None
    return None if narrower is None else Walked(track, replace(progress, walk=narrower, trouble=None))


def undelivered(track: Track, slices: Slices, run: Run, rules: Rules) -> tuple[Track, Sequence[int]]:
    """Which records of a page are to be delivered, by position.

    One from the far future is met by every walk, for longer than ids are remembered: only the first one delivers it.
    """
    if run.reach is None:
        return track, range(len(slices.cuts))
    known, far = set(track.ahead), run.goal + rules.sweep_window
    left, ahead = [], list(track.ahead)
    for position, cut in enumerate(slices.cuts):
        is_far = cut.occurred is not None and cut.occurred >= far
        name = lanes.digest_of([cut.record], "") if known or is_far else ""
        if name in known:
            continue
        left.append(position)
        if is_far:
            known.add(name)
            ahead.append(name)
    return replace(track, ahead=tuple(ahead[-_AHEAD_KEPT:])), left


def _behind(place: Place, track: Track, progress: Progress, run: Run) -> Walked:
    """The run's window was read to its end."""
    if run.reach is not None and run.end > run.goal:
        track = replace(track, future_off=None)
    following = bisecting.behind(run, progress.trouble)
    inner = lanes.close_window(place.lane, _inner(place.at, track), run)
    return _on(place, _outer(track, inner), inner, progress, following.run, following.trouble)


def _on(place: Place, track: Track, inner: Checkpoint, progress: Progress, run: Run, trouble: Trouble | None) -> Walked:
    if trouble is not None or run.start < run.end:
        return Walked(track, replace(progress, walk=run, trouble=trouble))
    run = bisecting.grown(run, run.pages - run.window_from)
    step = lanes.finish_window(place.lane, inner, run, place.now, place.rules)
    track = _outer(track, step.checkpoint)
    if step.more:
        return Walked(track, replace(progress, walk=run_of(step.checkpoint), trouble=None))
    track = delta.settled(replace(track, sweep_from=track.sweep_again, sweep_again=None))
    return Walked(track, replace(progress, walk=None, trouble=None), over=True)


def _offered_again(lane: Lane, track: Track, now: datetime, rules: Rules) -> Track:
    """The list was not offered for a while: read what that may have hidden, but no more than ids are remembered."""
    earliest = lanes.before(now, 2 * rules.sweep_window)
    if lane is Lane.TIP:
        since = max(earliest, lanes.before(track.watermark or now, rules.sweep_window))
        wish = since if track.sweep_from is None else max(earliest, min(since, track.sweep_from))
        track = replace(track, sweep_from=wish)
    floor = lanes.before(now, rules.sweep_window)
    return replace(track, watermark=max(track.watermark or floor, floor))


def _noted(run: Run, slices: Slices, now: VendorTime) -> Run:
    """The page in its run; where the vendor tells no time, devices' times bound what is sure."""
    run = lanes.note(run, slices.records, VendorTime(cautious(now) if now.known else now.now, now.known, 0.0))
    times = [cut.occurred for cut in slices.cuts if cut.occurred and run.start <= cut.occurred < min(run.end, run.date)]
    return replace(run, newest=max([*times, *([run.newest] if run.newest else [])], default=None))


def _open(place: Place, track: Track) -> Rules:
    if track.future_off is None or track.future_off.is_due(place.now.now):
        return place.rules
    return dataclasses.replace(place.rules, reach=timedelta(0))


def _inner(at: Checkpoint, track: Track) -> Checkpoint:
    """A track as `lanes` sees it."""
    state = {key: at.state[key] for key in ("beginning", "started") if key in at.state}
    if track.gaps:
        state["gaps"] = [list(gap) for gap in track.gaps]
    return Checkpoint(track.watermark, None, state)


def _outer(track: Track, inner: Checkpoint) -> Track:
    gaps = tuple((start, end) for start, end in inner.state.get("gaps", ()))
    return replace(track, watermark=inner.watermark, gaps=gaps)
