"""How a page that stays unreadable is passed, and what may be left out with it: one record, never more.

Torn answers are usually transient, so the same page is asked for three times. Then with half the limit, down to one
record: whatever stands before the unreadable record gets through, and the run stands right in front of it, where the
answer holds no anchor that would lead past it. So its time is found, in windows without anchor:

1. `search`: windows beginning at the last good record's time, each twice as wide as the one before, until one can't
   be read; that one is halved until it is a millisecond wide, the vendor's resolution. What can be read on the way is
   delivered.
2. `asc`, `desc`: records can share that millisecond. It is read from both ends, with limits down to one, up to the
   record that can't be read.
3. `control`, `asc_again`, `desc_again`: a vendor whose every answer is garbage for an hour has no unreadable record.
   Another record is looked for, with limit 1, next to it and up to 30 days before and behind it (it is dropped); an
   empty answer tells nothing, for those may be all that still works. Right after one was read, the record is tried
   again from both sides. Four such rounds in a row, over more than a minute, make a gap of that millisecond. Where no
   other record can be read, nothing is concluded and everything is asked again, ever more slowly.

A token that is refused meanwhile costs no more than its phase, which begins again without it.

Any success on the way leads back: a record that becomes readable is delivered. After it the run goes on behind the
millisecond, and the limit grows back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from collector.model import Gap
from collector.sources.lanes import resume_from
from collector.sources.run import MILLISECOND, Narrow, Phase, Run, floor_ms

_TRIES = 3
_WAITS_BETWEEN_PROOFS = (5.0, 20.0, 60.0)
_CONTROLS = 9
_RESTARTS = 20
_GOOD_PAGES = 4
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 2.0
_FIRST_REST, _LONGEST_REST = 5.0, 300.0
_CONTROL_SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask the vendor for: a span, end exclusive, and how."""

    start: datetime
    end: datetime
    limit: int
    token: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """What an unreadable answer leads to. `lasting`: nothing can be read, so nothing is to be concluded.

    Then the caller says so, and asks `run` after `wait` seconds.
    """

    run: Run
    wait: float = 0.0
    gap: Gap | None = None
    lasting: bool = False


def ask_of(run: Run, now: datetime, gaps: Sequence[tuple[datetime, datetime]] = ()) -> Ask:
    """The request a run makes next; `gaps` are the lane's known ones, which a control read must not meet."""
    if run.narrow is not None and run.narrow.phase == "control":
        asks = _controls(run, now, gaps)
        return asks[run.narrow.controls % len(asks)]
    descending = run.narrow is not None and run.narrow.phase in {"desc", "desc_again"}
    return Ask(run.start, run.end, run.limit, run.token, descending)


def is_aside(run: Run) -> bool:
    """Whether the run reads out of order now: its records say nothing about how far it has come."""
    return run.narrow is not None and run.narrow.phase in {"control", "desc", "desc_again"}


def is_delivered(run: Run) -> bool:
    """Whether the records of the run's next answer belong to what it reads."""
    return run.narrow is None or run.narrow.phase != "control"


def failed(run: Run, reason: str, *, at_once: bool = False) -> Failed:
    """An answer could not be read, or was too large (`at_once`: asking for the same again is of no use)."""
    run = replace(run, fails=run.fails + 1, tries=run.tries + 1, good=0)
    if run.narrow is None:
        return _descend(run, reason, at_once=at_once)
    return _FAILED[run.narrow.phase](run, replace(run.narrow, reason=reason))


def succeeded(run: Run) -> Run:
    """An answer could be read: the limit grows back."""
    run = replace(run, fails=0, tries=0)
    if run.narrow is None and run.limit < run.most:
        grown = run.good + 1 >= _GOOD_PAGES
        run = replace(
            run, limit=min(run.most, run.limit * 2) if grown else run.limit, good=0 if grown else run.good + 1
        )
    elif run.narrow is not None and run.narrow.phase == "asc_again":
        run = replace(run, narrow=replace(run.narrow, phase="asc", proofs=0))
    return run


def expired(run: Run) -> Run | None:
    """The run's token is refused: the phase of its search without it; None without a search, or if that goes on."""
    narrow = run.narrow
    if narrow is None or narrow.restarts >= _RESTARTS:
        return None
    narrow = replace(narrow, restarts=narrow.restarts + 1)
    start = run.start
    if narrow.phase == "search":
        start = min(resume_from(run), run.end - MILLISECOND)
    elif narrow.phase in {"asc", "asc_again"}:
        narrow = replace(narrow, phase="asc", asc_token=None)
    else:
        narrow = replace(narrow, phase="desc", desc_token=None)
    return replace(_fresh(run, start), narrow=narrow)


def read_aside(run: Run, token: str | None, *, empty: bool) -> Run:
    """An answer out of order (`is_aside`) could be read."""
    narrow = run.narrow
    if narrow is None:
        return run
    if narrow.phase == "control":
        return _next_control(run, narrow) if empty else _again(run, narrow, sound=True)
    if token is None:  # read to its other end: nothing unreadable is left in this millisecond
        return _behind(run)
    if empty or token == run.token:
        return _turn(replace(run, narrow=replace(narrow, desc_token=token)), "control")
    proofs = narrow.proofs if narrow.phase == "desc" else 0
    return replace(run, token=token, narrow=replace(narrow, phase="desc", proofs=proofs))


def after_window(run: Run) -> Run:
    """A window of the search, or the millisecond, was read to its end: what comes next.

    `run.narrow` is None afterwards where the search is over; `run.start` equals `run.end` where nothing is left of the
    window in which it began. A window of a run without search is simply over.
    """
    narrow = run.narrow
    if narrow is None:
        return replace(run, start=run.end)
    if run.end >= narrow.stop or narrow.phase != "search" or (narrow.bad_end and run.end >= narrow.bad_end):
        return _behind(run)
    run = _fresh(run, start=run.end)
    if narrow.bad_end is not None:
        return _halve(run, narrow)
    step_ms = narrow.step_ms * 2
    end = min(narrow.stop, run.start + step_ms * MILLISECOND)
    return replace(run, end=end, narrow=replace(narrow, step_ms=step_ms))


def _descend(run: Run, reason: str, *, at_once: bool) -> Failed:
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(run.fails - 1, 10))
    tries = 1 if at_once or 1 < run.limit < run.most else _TRIES
    if run.tries < tries:
        return Failed(run, wait)
    if run.limit > 1:
        return Failed(replace(run, limit=run.limit // 2, tries=0), 0.0 if at_once else wait)
    start = min(resume_from(run), run.end - MILLISECOND)
    narrow = Narrow(phase="search", stop=run.end, reason=reason)
    return Failed(replace(_fresh(run, start=start), end=start + MILLISECOND, narrow=narrow), wait)


def _search_failed(run: Run, narrow: Narrow) -> Failed:
    start = min(resume_from(run), run.end - MILLISECOND)
    return Failed(_halve(_fresh(run, start=start), replace(narrow, bad_end=run.end)), _FIRST_WAIT)


def _halve(run: Run, narrow: Narrow) -> Run:
    bad_end = narrow.bad_end or run.end
    width = (bad_end - run.start) // MILLISECOND
    if width <= 1:
        return replace(run, end=bad_end, narrow=replace(narrow, phase="asc"))
    return replace(run, end=run.start + width // 2 * MILLISECOND, narrow=narrow)


def _side_failed(run: Run, narrow: Narrow) -> Failed:
    if run.limit > 1:
        return Failed(replace(run, limit=run.limit // 2, narrow=narrow), _FIRST_WAIT)
    if narrow.phase == "asc":
        narrow = replace(narrow, phase="desc", asc_token=run.token)
        return Failed(replace(run, token=None, limit=run.most, mark="", marked=0, narrow=narrow), _FIRST_WAIT)
    return Failed(_turn(replace(run, narrow=replace(narrow, desc_token=run.token)), "control"), _FIRST_WAIT)


def _control_failed(run: Run, narrow: Narrow) -> Failed:
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(run.fails - 1, 10))
    return Failed(_next_control(run, replace(narrow, proofs=0)), wait)


def _next_control(run: Run, narrow: Narrow) -> Run:
    """Look elsewhere; when that was everywhere, see how the record itself fares."""
    narrow = replace(narrow, controls=narrow.controls + 1)
    if narrow.controls < _CONTROLS:
        return replace(run, narrow=narrow)
    return _again(run, replace(narrow, controls=0), sound=False)


def _controls(run: Run, now: datetime, gaps: Sequence[tuple[datetime, datetime]]) -> list[Ask]:
    """Where a record may be that can be read, the nearest first; at most `_CONTROLS` of them."""
    widest = _CONTROL_SPANS[-1]
    behind = _between(gaps, max(_EPOCH, run.start - widest), run.start)[::-1]
    ahead = _between(gaps, run.end, min(floor_ms(now), run.end + widest))
    asks = [Ask(start, end, limit=1, descending=True) for start, end in behind[:1]]
    asks += [Ask(start, end, limit=1) for start, end in ahead[:1]]
    asks += [Ask(max(start, end - span), end, limit=1) for start, end in behind[:1] for span in _CONTROL_SPANS]
    asks += [Ask(start, end, limit=1, descending=True) for start, end in ahead[:1] + behind[1:3]]
    asks += [Ask(start, end, limit=1) for start, end in ahead[1:2]]
    return asks or [Ask(run.start - MILLISECOND, run.start, limit=1)]


def _between(
    gaps: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """What is left of a span without the gaps."""
    left = []
    for gap_start, gap_end in sorted(gaps):
        if start < gap_start < end:
            left.append((start, gap_start))
        start = max(start, gap_end) if gap_start < end else start
    return [*left, (start, end)] if start < end else left


def _again_failed(run: Run, narrow: Narrow) -> Failed:
    if narrow.phase == "asc_again":
        return Failed(_turn(replace(run, narrow=narrow), "desc_again"), _FIRST_WAIT)
    if not narrow.sound:
        wait = min(_LONGEST_REST, _FIRST_REST * 2 ** min(narrow.rests, 10))
        narrow = replace(narrow, rests=narrow.rests + 1, proofs=0)
        return Failed(_turn(replace(run, narrow=narrow), "control"), wait, lasting=True)
    if narrow.proofs < len(_WAITS_BETWEEN_PROOFS):
        wait = _WAITS_BETWEEN_PROOFS[narrow.proofs]
        narrow = replace(narrow, proofs=narrow.proofs + 1)
        return Failed(_turn(replace(run, narrow=narrow), "control"), wait)
    gap = Gap(run.start, run.end, narrow.reason, narrow.asc_token)
    return Failed(_behind(run), gap=gap)


def _again(run: Run, narrow: Narrow, *, sound: bool) -> Run:
    return _turn(replace(run, narrow=replace(narrow, sound=sound)), "asc_again")


def _turn(run: Run, phase: Phase) -> Run:
    """To another phase inside of the millisecond."""
    narrow = run.narrow
    if narrow is None:
        return run
    token = {"asc_again": narrow.asc_token, "desc_again": narrow.desc_token}.get(phase)
    return replace(run, token=token, limit=1, mark="", marked=0, narrow=replace(narrow, phase=phase))


def _behind(run: Run) -> Run:
    """Go on with what is left of the window in which the search began."""
    stop = run.end if run.narrow is None else max(run.end, run.narrow.stop)
    return replace(_fresh(run, start=run.end), end=stop, narrow=None, fails=0)


def _fresh(run: Run, start: datetime) -> Run:
    return replace(run, start=start, token=None, limit=run.most, mark="", marked=0, empty=0, tries=0)


_FAILED: dict[Phase, Callable[[Run, Narrow], Failed]] = {
    "search": _search_failed,
    "asc": _side_failed,
    "desc": _side_failed,
    "control": _control_failed,
    "asc_again": _again_failed,
    "desc_again": _again_failed,
}
