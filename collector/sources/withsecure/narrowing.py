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
   The hour before, which has been read already, is read with limit 1 (its records are dropped), or less of it where
   that can't be read; only if that works is the record tried again, from both sides. Three such rounds in a row make
   a gap of that millisecond.

Any success on the way leads back: a record that becomes readable is delivered. After it the run goes on behind the
millisecond, and the limit grows back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from collector.model import Gap
from collector.sources.lanes import resume_from
from collector.sources.run import MILLISECOND, Narrow, Phase, Run

MAX_LIMIT = 200

_TRIES = 3
_PROOFS = 3
_CONTROLS = 22
_GOOD_PAGES = 4
_FIRST_WAIT, _LONGEST_WAIT, _WAIT_BETWEEN_PROOFS = 0.25, 2.0, 2.0
_CONTROL_SPAN = timedelta(hours=1)


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
    """What an unreadable answer leads to. `lasting`: nothing can be read, so nothing is to be concluded."""

    run: Run
    wait: float = 0.0
    gap: Gap | None = None
    lasting: bool = False


def ask_of(run: Run, gaps: Sequence[tuple[datetime, datetime]] = ()) -> Ask:
    """The request a run makes next; `gaps` are the lane's known ones, which a control read must not meet."""
    if run.narrow is not None and run.narrow.phase == "control":
        end = run.start
        for gap_start, gap_end in sorted(gaps, reverse=True):
            end = gap_start if gap_end == end else end
        span = max(MILLISECOND, _CONTROL_SPAN / 2**run.narrow.controls)
        return Ask(max([end - span, *(gap_end for _, gap_end in gaps if gap_end < end)]), end, limit=1)
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
    if run.narrow is None and run.limit < MAX_LIMIT:
        grown = run.good + 1 >= _GOOD_PAGES
        run = replace(
            run, limit=min(MAX_LIMIT, run.limit * 2) if grown else run.limit, good=0 if grown else run.good + 1
        )
    elif run.narrow is not None and run.narrow.phase == "asc_again":
        run = replace(run, narrow=replace(run.narrow, phase="asc", proofs=0))
    return run


def read_aside(run: Run, token: str | None, *, empty: bool) -> Run:
    """An answer out of order (`is_aside`) could be read."""
    narrow = run.narrow
    if narrow is None or narrow.phase == "control":
        return _turn(run, "asc_again")
    if token is None:  # read to its other end: nothing unreadable is left in this millisecond
        return _behind(run)
    if empty or token == run.token:
        return _turn(replace(run, narrow=replace(narrow, desc_token=token)), "control")
    return replace(run, token=token, narrow=replace(narrow, phase="desc", proofs=0))


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
    tries = 1 if at_once or 1 < run.limit < MAX_LIMIT else _TRIES
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
        return Failed(replace(run, token=None, limit=MAX_LIMIT, mark="", marked=0, narrow=narrow), _FIRST_WAIT)
    return Failed(_turn(replace(run, narrow=replace(narrow, desc_token=run.token)), "control"), _FIRST_WAIT)


def _control_failed(run: Run, narrow: Narrow) -> Failed:
    narrow = replace(narrow, controls=narrow.controls + 1, proofs=0)
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(run.fails - 1, 10))
    return Failed(replace(run, narrow=narrow), wait, lasting=narrow.controls > _CONTROLS)


def _again_failed(run: Run, narrow: Narrow) -> Failed:
    if narrow.phase == "asc_again":
        return Failed(_turn(replace(run, narrow=narrow), "desc_again"), _FIRST_WAIT)
    narrow = replace(narrow, proofs=narrow.proofs + 1)
    if narrow.proofs < _PROOFS:
        return Failed(_turn(replace(run, narrow=narrow), "control"), _WAIT_BETWEEN_PROOFS)
    gap = Gap(run.start, run.end, narrow.reason, narrow.asc_token)
    return Failed(_behind(run), gap=gap)


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
    return replace(run, start=start, token=None, limit=MAX_LIMIT, mark="", marked=0, empty=0, tries=0)


_FAILED: dict[Phase, Callable[[Run, Narrow], Failed]] = {
    "search": _search_failed,
    "asc": _side_failed,
    "desc": _side_failed,
    "control": _control_failed,
    "asc_again": _again_failed,
    "desc_again": _again_failed,
}
