"""How a window that can't be read is passed, where records come in no order: by halving it.

A page that can't be read is asked for three times, torn answers being transient mostly. Then the window is halved until
it can be read; what can is delivered, and the run goes on behind it, towards the unreadable spot, by halves. What is
left is a millisecond, the finest that windows can be; it is read record by record. Whether there is an unreadable
record at all is then proved, since a vendor whose every answer is garbage for an hour has none: another record is
looked for near by (it is dropped; an empty answer tells nothing), and right after one was read the millisecond is tried
again. Four such rounds in a row, over more than a minute, make a gap of that millisecond. Where no other record can be
read nothing is concluded, and everything is asked again, ever more slowly.

Answers that are too large, or take the vendor too long, get smaller pages first: down to one record and to fifty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec.structs import replace

from collector.model import Gap
from collector.sources.run import MILLISECOND, Run

Failure = Literal["unreadable", "failing", "large", "slow"]
Phase = Literal["search", "control", "again"]

SMALLEST_SLOW_PAGE = 50

_TRIES = 3
_WAITS_BETWEEN_PROOFS = (5.0, 20.0, 60.0)
_FIRST_WAIT, _LONGEST_WAIT, _SLOW_WAIT = 0.25, 2.0, 5.0
_FIRST_REST, _LONGEST_REST = 5.0, 300.0
_NARROWEST_SLOW = timedelta(seconds=1)
_NARROWEST = timedelta(minutes=1)
_CONTROL_SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))


class Trouble(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the search has come.

    `stop`: end of the window that was being read; `bad_end`: end of the smallest one known to be unreadable.
    `controls`: where to look for another record next; `sound`: whether one was read just now; `proofs`: how often the
    millisecond was unreadable after that; `rests`: how often nothing was to be read anywhere.
    """

    stop: datetime
    bad_end: datetime
    reason: str
    phase: Phase = "search"
    controls: int = 0
    sound: bool = False
    proofs: int = 0
    rests: int = 0


@dataclass(frozen=True, slots=True)
class Next:
    """What to do: ask what `run` says after `wait` seconds. `gap`: the run is behind it now.

    `lasting`: nothing can be read, so nothing is concluded; the caller says so.
    """

    run: Run
    trouble: Trouble | None
    wait: float = 0.0
    gap: Gap | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """A span to look for another record in."""

    start: datetime
    end: datetime


def control_of(run: Run, trouble: Trouble | None) -> Control | None:
    """Where to look instead of what the run says; None: do as it says."""
    if trouble is None or trouble.phase != "control":
        return None
    return _controls(run)[trouble.controls % len(_controls(run))]


def failed(run: Run, trouble: Trouble | None, reason: str, kind: Failure = "unreadable") -> Next:
    """An answer could not be read."""
    run = replace(run, fails=run.fails + 1, tries=run.tries + 1, good=0)
    if trouble is not None and trouble.phase == "control":
        return _next_control(run, replace(trouble, reason=reason, proofs=0))
    if trouble is not None and trouble.phase == "again":
        return _again_failed(run, replace(trouble, reason=reason))
    if kind in {"large", "slow"}:
        smallest = 1 if kind == "large" else SMALLEST_SLOW_PAGE
        wait = 0.0 if kind == "large" else _SLOW_WAIT
        if run.limit > smallest:
            return Next(_anew(replace(run, limit=max(smallest, run.limit // 2))), trouble, wait)
        if kind == "slow" and run.end - run.start <= _NARROWEST_SLOW:
            return Next(run, trouble, _LONGEST_REST, lasting=True)
    elif trouble is None and run.tries < _TRIES:
        return Next(run, None, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (run.tries - 1)))
    stop = run.end if trouble is None else trouble.stop
    return _narrow(run, Trouble(stop=stop, bad_end=run.end, reason=reason))


def found(run: Run, trouble: Trouble, *, empty: bool) -> Next:
    """The answer of a control could be read."""
    if empty:
        return _next_control(run, trouble)
    return Next(_anew(run), replace(trouble, phase="again", sound=True))


def behind(run: Run, trouble: Trouble | None) -> Next:
    """The run's window was read to its end; afterwards `run.start` is `run.end` where nothing is left of it."""
    if trouble is None:
        return Next(replace(run, start=run.end), None)
    if run.end >= min(trouble.bad_end, trouble.stop):
        return Next(_past(run, trouble), None)
    return Next(_first_half(_anew(replace(run, start=run.end)), trouble.bad_end), replace(trouble, phase="search"))


def cut(run: Run) -> Run | None:
    """The run with a narrower window that it begins anew: half of what is not ahead of vendor time, if there is much.

    None where it can't be much narrower.
    """
    end = run.goal if run.start < run.goal < run.end else run.end
    if end - run.start > _NARROWEST:
        return _width_kept(_first_half(_anew(run), end))
    return None if end == run.end else _anew(replace(run, end=end))


def grown(run: Run, pages: int) -> Run:
    """After a window that took so many pages: the next may be wider, pages larger again."""
    width = run.width_ms
    if width is not None and pages <= 12:
        width *= 2
    return replace(run, width_ms=width, limit=min(run.most, run.limit * 2), fails=0, tries=0)


def _narrow(run: Run, trouble: Trouble) -> Next:
    if run.end - run.start > MILLISECOND:
        return Next(_first_half(_anew(run), run.end), trouble, _FIRST_WAIT)
    if run.limit > 1:
        return Next(_anew(replace(run, limit=1)), trouble, _FIRST_WAIT)
    return Next(_anew(run), replace(trouble, phase="control"), _FIRST_WAIT)


def _first_half(run: Run, end: datetime) -> Run:
    """The window up to the middle between the run's start and `end`."""
    if run.start < run.goal < end:
        return replace(run, end=run.goal)
    return replace(run, end=run.start + max(1, (end - run.start) // MILLISECOND // 2) * MILLISECOND)


def _width_kept(run: Run) -> Run:
    if run.end >= run.goal:  # what was cut off lies ahead of vendor time
        return run
    return replace(run, width_ms=max(1, (run.end - run.start) // MILLISECOND))


def _next_control(run: Run, trouble: Trouble) -> Next:
    """Look elsewhere; when that was everywhere, see how the millisecond itself fares."""
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(run.fails, 10))
    trouble = replace(trouble, controls=trouble.controls + 1)
    if trouble.controls < len(_controls(run)):
        return Next(run, trouble, wait)
    return Next(_anew(run), replace(trouble, phase="again", controls=0, sound=False), wait)


def _again_failed(run: Run, trouble: Trouble) -> Next:
    trouble = replace(trouble, phase="control")
    if not trouble.sound:
        wait = min(_LONGEST_REST, _FIRST_REST * 2 ** min(trouble.rests, 10))
        return Next(_anew(run), replace(trouble, rests=trouble.rests + 1, proofs=0), wait, lasting=True)
    if trouble.proofs < len(_WAITS_BETWEEN_PROOFS):
        wait = _WAITS_BETWEEN_PROOFS[trouble.proofs]
        return Next(_anew(run), replace(trouble, proofs=trouble.proofs + 1, sound=False), wait)
    return Next(_past(run, trouble), None, gap=Gap(run.start, run.end, trouble.reason, run.token))


def _controls(run: Run) -> list[Control]:
    controls = [Control(run.start - span, run.start) for span in _CONTROL_SPANS]
    ahead = [Control(run.end, run.end + span) for span in _CONTROL_SPANS[:2]]
    far = run.reach or run.goal
    return controls + ahead + ([Control(run.end, far)] if far > run.end else [])


def _past(run: Run, trouble: Trouble) -> Run:
    """Go on with what is left of the window in which the search began."""
    run = _anew(replace(run, start=run.end, limit=run.most, fails=0))
    return replace(run, end=max(run.start, trouble.stop))


def _anew(run: Run) -> Run:
    return replace(run, token=None, mark="", marked=0, empty=0, tries=0, window_from=run.pages)
