"""How a lane walks: where a run begins, what a page changes, when the watermark moves. Pure functions.

| lane | reads from | to | its watermark is |
|---|---|---|---|
| tip | watermark - overlap | vendor time | vendor time before which everything visible was read |
| sweep | begin of the last complete sweep - (window - every) | vendor time | begin of the last complete sweep |
| job | the window's start, or where it was | the window's end | as the tip's |

No lane but a job reads before the feed's beginning. A long span is walked in windows no wider than the vendor takes,
all in one run. In a vendor that serves in order the tip's watermark follows page by page to the last record's time: a
record of the same time may be on the next page, and `start` is inclusive. It never goes back, never beyond the smallest
vendor time seen in the run, and not beyond the newest record while the vendor's clock and this host's are apart: a
wrong `Date` must not lead past records. Nothing is read twice for ever: tokens that lead in a circle, back to the same
records or nowhere, or are refused, are dropped, and the run goes on from the last record's time.

`Checkpoint.state` of the tip: `{"beginning", "started"}`, RFC 3339; of any lane: `"gaps"`, known unreadable spans as
`[start, end]`, which its runs step over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from collector.errors import CheckpointExpired, SourceUnavailable
from collector.model import Checkpoint, Gap, Lane, Record, Window
from collector.sources.run import MILLISECOND, Run, floor_ms, run_of
from collector.sources.vendor_time import VendorTime
from collector.timestamps import format_utc, parse_rfc3339

_EMPTY_AT_ONCE, _EMPTY_AT_ALL = 20, 100
_EMPTY_WAIT = 5.0
_STALLS = 5
_GAPS_KEPT = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change between runs. `width`: the longest span the vendor takes; `limit`: records of a page.

    `unordered`: nothing is concluded from the order of records. `reach`: so far beyond vendor time the last window of a
    tip or sweep reads, where positions are times of devices and some of those clocks are ahead; no watermark follows.
    """

    width: timedelta
    limit: int
    overlap: timedelta
    sweep_every: timedelta
    sweep_window: timedelta
    start_from: timedelta
    unordered: bool = False
    reach: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a page leads to; fields as in `Page`."""

    checkpoint: Checkpoint
    more: bool
    watermark: datetime | None = None
    retry_after: float | None = None


def begin(
    lane: Lane,
    after: Checkpoint | None,
    window: Window | None,
    now: VendorTime,
    rules: Rules,
    start_at: datetime | None = None,
) -> Checkpoint:
    """The checkpoint with a new run in it; without one (`run` None) if there is nothing to read yet.

    `start_at`: begin there at the latest, but for the lane's bounds.
    """
    at = begun(after, now, rules) if lane is Lane.TIP else after or Checkpoint()
    if not now.skewed:
        at = _without_wrong_clock(lane, at, window, now.now, rules)
    start = _start(lane, at, window, now.now, rules, start_at)
    goal = now.now if lane is not Lane.JOB or window is None or window.end is None else min(now.now, window.end)
    start, goal = floor_ms(start), floor_ms(goal)
    at = replace(at, state=_state_without_old_gaps(at.state, start))
    fresh = Run(
        begin=now.now,
        goal=goal,
        start=start,
        end=start,
        date=now.now,
        limit=rules.limit,
        most=rules.limit,
        skewed=now.skewed,
        ordered=not rules.unordered,
        reach=goal + rules.reach if rules.reach and lane is not Lane.JOB else None,
    )
    run = None if start >= goal else _next_window(fresh, at.state, rules)
    return replace(at, run=None) if run is None else keep(at, run)


def begun(after: Checkpoint | None, now: VendorTime, rules: Rules) -> Checkpoint:
    """The tip's checkpoint with the feed's beginning written down, as of now where it never was."""
    at = after or Checkpoint()
    return at if {"beginning", "started"} <= at.state.keys() else _first(at, now.now, rules)


def _first(at: Checkpoint, now: datetime, rules: Rules) -> Checkpoint:
    beginning = at.watermark or floor_ms(before(now, rules.start_from))
    state = {**at.state, "beginning": format_utc(beginning), "started": format_utc(now)}
    return Checkpoint(beginning, run=at.run, state=state)


def _without_wrong_clock(lane: Lane, at: Checkpoint, window: Window | None, now: datetime, rules: Rules) -> Checkpoint:
    """Where both clocks agree that a feed began in the future, it began by a wrong one: nothing was read, begin anew.

    A sweep counts from there too; a little ahead it may be, since the vendor has more than one clock.
    """
    if lane is Lane.TIP and parse_rfc3339(at.state["beginning"]) > now:
        return _first(replace(at, watermark=None), now, rules)
    if lane is Lane.SWEEP and window is not None and at.watermark and at.watermark > now + rules.sweep_window:
        return replace(at, watermark=min(window.start, at.watermark))
    return at


def before(moment: datetime, span: timedelta) -> datetime:
    """So much earlier, but no vendor has records from before the epoch."""
    return moment - min(span, moment - _EPOCH)


def _start(
    lane: Lane,
    at: Checkpoint,
    window: Window | None,
    now: datetime,
    rules: Rules,
    start_at: datetime | None,
) -> datetime:
    if lane is Lane.SWEEP:
        start = before(at.watermark or now, rules.sweep_window - rules.sweep_every)
    elif lane is Lane.JOB:
        start = at.watermark or (window.start if window else now)
    else:
        start = before(at.watermark or now, rules.overlap)
    if start_at is not None:
        start = min(start, start_at)
    if lane is Lane.TIP:
        start = max(start, parse_rfc3339(at.state["beginning"]))
    return start if window is None else max(start, window.start)


def advance(lane: Lane, at: Checkpoint, run: Run, records: Sequence[Record], token: str | None) -> Step | None:
    """Take in a page that leads on within its window; None if it was the window's last: see `finish_window`.

    The caller has `note`d the page in `run`.

    Raises:
        CheckpointExpired: a hundred pages in a row were empty; begin the run anew.
        SourceUnavailable: the vendor's tokens lead in a circle however often they are asked for.
    """
    if token is None:
        return None
    digest = digest_of(records, token)
    if token == run.token:
        return _step_out_of_circle(lane, at, run, resume_from(run))
    if digest == run.mark:
        # Once around since the mark: one page had to begin before the last, which is no disorder.
        turned_once = run.ordered and run.turns <= run.marked_turns + 1
        return _step_out_of_circle(lane, at, run, _last_place(run) if turned_once else run.start)
    empty = 0 if records else run.empty + 1
    if empty >= _EMPTY_AT_ALL:
        raise CheckpointExpired(f"{empty} empty pages in a row, each with an anchor")
    run = msgspec.structs.replace(run, token=token, empty=empty)
    if run.pages >= 2 * run.marked:  # Brent: a circle of any length is found within a few turns
        run = msgspec.structs.replace(run, mark=digest, marked=run.pages, marked_turns=run.turns)
    return Step(_follow(lane, at, run), more=True, retry_after=_EMPTY_WAIT if empty >= _EMPTY_AT_ONCE else None)


def note(run: Run, records: Sequence[Record], now: VendorTime) -> Run:
    """Book an answer in its run: times and order of its records, the vendor's clock.

    A stamp outside of what was asked for says nothing about how far the run has come: followed, one record from the
    future would lead past all that come after it.
    """
    seen: set[str] = set()
    last, ordered, newest, turns = None, run.ordered, run.newest, run.turns
    for record in records:
        moment = record.recorded_at
        if moment is None or not run.start <= moment < run.end or record.id in seen:  # a repeat is no sign of disorder
            continue
        seen.add(record.id)
        if last is None and run.page_last is not None and moment < floor_ms(run.page_last):
            turns += 1
        if last is not None and moment < last:
            ordered = False
        last = moment
        newest = moment if newest is None else max(newest, moment)
    page_last = last or run.page_last
    if last is not None and run.last is not None:
        last = max(last, run.last)
    return msgspec.structs.replace(
        run,
        pages=run.pages + 1,
        date=min(run.date, now.now),
        skewed=run.skewed or now.skewed,
        newest=newest,
        last=last or run.last,
        ordered=ordered,
        page_last=page_last,
        turns=turns,
    )


def close_window(lane: Lane, at: Checkpoint, run: Run) -> Checkpoint:
    """Everything from `run.start` to `run.end` was read: the watermark follows, but for a sweep's."""
    if lane is Lane.SWEEP:
        return keep(at, run)
    if lane is Lane.JOB:
        return keep(replace(at, watermark=_later(at.watermark, run.end)), run)
    return keep(replace(at, watermark=_later(at.watermark, _sure(run, run.end))), run)


def finish_window(lane: Lane, at: Checkpoint, run: Run, now: VendorTime, rules: Rules) -> Step:
    """Close the window; go on with the next one, or end the run where it has come to its goal."""
    at = close_window(lane, at, run)
    # The goal may come from a `Date` that was far ahead: later answers correct it.
    over = run.end >= floor_ms(now.now) and (run.reach is None or run.end >= run.reach)
    following = None if over else _next_window(run, at.state, rules)
    if following is None:
        if lane is Lane.SWEEP:
            at = replace(at, watermark=_later(at.watermark, _sure(run, run.begin)))
        at = replace(at, run=None)
        return Step(at, more=False, watermark=at.watermark)
    return Step(keep(at, following), more=True)


def known_gaps(state: Mapping[str, Any]) -> list[tuple[datetime, datetime]]:
    """The unreadable spans a lane steps over, in order."""
    return sorted((parse_rfc3339(start), parse_rfc3339(end)) for start, end in state.get("gaps", ()))


def keep(at: Checkpoint, run: Run) -> Checkpoint:
    """The checkpoint with this run in it."""
    return replace(at, run=run.to_json())


def remember_gap(at: Checkpoint, gap: Gap) -> Checkpoint:
    """The checkpoint of a lane that steps over `gap` from now on."""
    gaps = [*at.state.get("gaps", ()), [format_utc(gap.start), format_utc(gap.end)]]
    return replace(at, state={**at.state, "gaps": gaps[-_GAPS_KEPT:]})


def resume_from(run: Run) -> datetime:
    """From where the window can be read again without its token, losing nothing."""
    return _last_place(run) if _in_order(run) else run.start


def _in_order(run: Run) -> bool:
    return run.ordered and run.turns == 0


def _last_place(run: Run) -> datetime:
    return run.start if run.last is None else max(run.start, floor_ms(run.last))


def _step_out_of_circle(lane: Lane, at: Checkpoint, run: Run, start: datetime) -> Step:
    anew = msgspec.structs.replace(run, start=start, token=None, mark="", marked=0, empty=0)
    if start > run.start:
        return Step(_follow(lane, at, msgspec.structs.replace(anew, stalls=0)), more=True)
    if run.stalls >= _STALLS:
        raise SourceUnavailable("the vendor repeats an anchor and does not get past this page")
    anew = msgspec.structs.replace(anew, stalls=run.stalls + 1)
    return Step(_follow(lane, at, anew), more=True, retry_after=float(2**run.stalls))


def expired(at: Checkpoint | None, why: str) -> CheckpointExpired:
    """What to raise where the token of the run in `at` is refused or leads nowhere.

    The run goes on from its last record: begun anew it would read the same pages for ever where tokens die early.
    """
    run = run_of(at)
    if at is None or run is None:
        return CheckpointExpired(why)
    end = run.end if run.narrow is None else run.narrow.stop
    start = min(resume_from(run), run.end - MILLISECOND)
    got_on = start > run.start or run.stalls == 0
    stalls = 0 if start > run.start else min(run.stalls + 1, _STALLS)
    anew = msgspec.structs.replace(
        run, start=start, end=end, token=None, mark="", marked=0, empty=0, stalls=stalls, narrow=None
    )
    return CheckpointExpired(why, keep(at, anew), got_on=got_on)


def digest_of(records: Sequence[Record], token: str) -> str:
    """A page's mark: what it holds rather than its token, for a token may be another each time it leads back."""
    text = "\0".join(record.id for record in records) or token
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _follow(lane: Lane, at: Checkpoint, run: Run) -> Checkpoint:
    if lane is not Lane.SWEEP and _in_order(run) and run.last is not None:
        at = replace(at, watermark=_later(at.watermark, min(run.last, run.end, run.date)))
    return keep(at, run)


def _sure(run: Run, moment: datetime) -> datetime | None:
    """How much of `moment` can be vouched for: vendor time bounds it, where that is in doubt the newest record."""
    bounded = min(moment, run.date)
    if not run.skewed:
        return bounded
    return None if run.newest is None else min(bounded, run.newest)


def _later(watermark: datetime | None, moment: datetime | None) -> datetime | None:
    return max((m for m in (watermark, moment) if m is not None), default=None)


def _next_window(run: Run, state: Mapping[str, Any], rules: Rules) -> Run | None:
    """The run moved on to the window after its end, known gaps left out; None if its goal is reached."""
    start = run.end
    gaps = known_gaps(state)
    for gap_start, gap_end in gaps:
        if gap_start <= start < gap_end:
            start = gap_end
    far = run.reach or run.goal
    if start >= far:
        return None
    width = rules.width if run.width_ms is None else min(rules.width, run.width_ms * MILLISECOND)
    end = min([run.goal, start + width, *(gap_start for gap_start, _ in gaps if gap_start > start)])
    if end == run.goal or start >= run.goal:  # the last window, or what is left of it
        end = min([far, *(gap_start for gap_start, _ in gaps if gap_start > start)])
    return msgspec.structs.replace(
        run,
        window_from=run.pages,
        start=start,
        end=end,
        token=None,
        mark="",
        marked=0,
        empty=0,
        stalls=0,
        turns=0,
        marked_turns=0,
    )


def _state_without_old_gaps(state: Mapping[str, Any], start: datetime) -> Mapping[str, Any]:
    if "gaps" not in state:
        return state
    kept = [gap for gap in state["gaps"] if parse_rfc3339(gap[1]) > start]
    others = {key: state[key] for key in state if key != "gaps"}
    return {**others, "gaps": kept} if kept else others
