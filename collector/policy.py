"""Whose turn is next, of all that wait for one budget.

Tip goes before sweep before job; a fifth of the turns is the sweeps' where they wait, a twentieth the jobs'. Save that
a feed which was never asked goes before everything that belongs to feeds which were. In the tip's lane:

1. who spent a turn on a login (a token may be too old by the time a long queue is through)
2. feeds never asked, in the order they came
3. the rest of a fetch that has begun: its page is in memory already
4. feeds by their age, as many a second as it takes that none is older than its `max_age`
5. feeds whose vendor had more and feeds that most likely have news, by turns
6. the others, by what asking them is worth

What stands further down gets a turn at the latest when it was passed over a few times, so that nothing starves where
the budget is too small for all of it. Within sweeps and jobs first come is first served, the rest of a fetch before
others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from itertools import chain
from typing import Generic, TypeVar

from collector.model import Lane
from collector.turns import Caller, Turn

K = TypeVar("K", bound=Enum)

# After so many turns given to others a waiting lane gets the next one: a fifth for sweeps, a twentieth for jobs.
_LANE_PATIENCE = {Lane.SWEEP: 4, Lane.JOB: 19}
# The age that is aimed for, of the one that is allowed: turns come late where requests take long.
_AGE_AIM = 0.9
_CREDIT_CAP = 4.0
# So many events must be expected of a feed before it competes with one that is known to have more.
_NEWS = 0.5


class _Kind(Enum):
    """Why a turn may be next, the first of them first."""

    AGAIN = auto()
    NEW = auto()
    BEGUN = auto()
    AGING = auto()  # nothing waits as this: it is one of the following two, by its age
    BEHIND = auto()
    RESTED = auto()


_TIP_PATIENCE = {_Kind.AGING: 3, _Kind.RESTED: 7}
_OTHERS_PATIENCE = {_Kind.RESTED: 3}


class _Fairness(Generic[K]):
    """Counts how often each key was passed over while it waited."""

    def __init__(self, patience: Mapping[K, int]) -> None:
        self._patience = patience
        self._passed_over = dict.fromkeys(patience, 0)

    def choose(self, waiting: Iterable[K]) -> K:
        """The first of these, unless one has waited too long. Nothing is counted yet."""
        keys = list(waiting)
        return next((key for key in keys if self._is_impatient(key)), keys[0])

    def note(self, waiting: Iterable[K], chosen: K) -> None:
        """That is who got the turn, of those that waited."""
        passed_over = set(waiting) - {chosen}
        for key in self._passed_over:
            self._passed_over[key] = self._passed_over[key] + 1 if key in passed_over else 0

    def _is_impatient(self, key: K) -> bool:
        return key in self._patience and self._passed_over[key] >= self._patience[key]


class Policy:
    """The turns that wait, and whose is next. Callers `join` before their first turn and `leave` after their last.

    Pure but for what it is told: `now` is monotonic seconds and never goes back.
    """

    def __init__(self) -> None:
        self._queues: dict[Lane, dict[_Kind, dict[Turn, None]]] = {lane: {kind: {} for kind in _Kind} for lane in Lane}
        self._kinds: dict[Turn, _Kind] = {}
        self._lanes = _Fairness(_LANE_PATIENCE)
        self._fairness = {lane: _Fairness(_TIP_PATIENCE if lane is Lane.TIP else _OTHERS_PATIENCE) for lane in Lane}
        self._behind_was_last = False
        self._callers: set[Caller] = set()
        self._aging_rate = 0.0
        self._credit = 0.0
        self._now: float | None = None

    def join(self, caller: Caller) -> None:
        """This feed is to be asked often enough from now on."""
        if caller not in self._callers:
            self._callers.add(caller)
            self._aging_rate += _aging_rate(caller)

    def leave(self, caller: Caller) -> None:
        """Nobody asks this feed any more."""
        if caller in self._callers:
            self._callers.remove(caller)
            self._aging_rate = self._aging_rate - _aging_rate(caller) if self._callers else 0.0

    def add(self, turn: Turn) -> None:
        """Let this turn wait."""
        kind = self._kinds[turn] = _kind(turn)
        self._queues[turn.lane][kind][turn] = None

    def discard(self, turn: Turn) -> None:
        """Nobody needs this turn any more; one that does not wait is let be."""
        kind = self._kinds.pop(turn, None)
        if kind is not None:
            del self._queues[turn.lane][kind][turn]

    def next(self, now: float) -> Turn | None:
        """Take out the turn that is to be given now, and count it as given; None when nobody waits."""
        lanes = [lane for lane in Lane if any(self._queues[lane].values())]
        if not lanes:
            return None
        self._earn(now)
        lane = Lane.TIP if self._queues[Lane.TIP][_Kind.NEW] else self._lanes.choose(lanes)
        self._lanes.note(lanes, lane)
        turn = self._next_of(lane, now)
        self.discard(turn)
        turn.begin(now)
        return turn

    @property
    def waiting(self) -> Mapping[Lane, int]:
        """How many turns wait, by lane."""
        return {lane: sum(map(len, queues.values())) for lane, queues in self._queues.items()}

    def _next_of(self, lane: Lane, now: float) -> Turn:
        queues = self._queues[lane]
        for kind in (_Kind.AGAIN, _Kind.NEW):
            if queues[kind]:
                return next(iter(queues[kind]))
        competing = [kind for kind in _Kind if self._competes(lane, kind)]
        kind = self._fairness[lane].choose(competing)
        self._fairness[lane].note(competing, kind)
        if kind is _Kind.AGING:
            self._credit -= 1.0
            waiting = chain(queues[_Kind.RESTED], queues[_Kind.BEHIND])
            return min(waiting, key=lambda turn: _caller(turn).deadline)
        if kind is _Kind.RESTED and lane is Lane.TIP:
            return self._worthwhile(now)
        return next(iter(queues[kind]))

    def _competes(self, lane: Lane, kind: _Kind) -> bool:
        queues = self._queues[lane]
        if kind is _Kind.BEGUN or lane is not Lane.TIP:
            return bool(queues[kind])
        is_due = kind is _Kind.RESTED or (kind is _Kind.AGING and self._credit >= 1.0)
        return is_due and bool(queues[_Kind.RESTED] or queues[_Kind.BEHIND])

    def _worthwhile(self, now: float) -> Turn:
        queues = self._queues[Lane.TIP]
        if queues[_Kind.RESTED]:
            best = max(queues[_Kind.RESTED], key=lambda turn: _caller(turn).urgency(now))
            has_news = _caller(best).expected(now) >= _NEWS
            if not queues[_Kind.BEHIND] or (self._behind_was_last and has_news):
                self._behind_was_last = False
                return best
        self._behind_was_last = True
        return next(iter(queues[_Kind.BEHIND]))

    def _earn(self, now: float) -> None:
        elapsed = 0.0 if self._now is None else now - self._now
        self._now = now
        self._credit = min(_CREDIT_CAP, self._credit + elapsed * self._aging_rate)


def _aging_rate(caller: Caller) -> float:
    """How many turns a second it takes that this one does not get too old."""
    return 1 / (_AGE_AIM * caller.max_age)


def _kind(turn: Turn) -> _Kind:
    call = turn.call
    if turn.again:
        return _Kind.AGAIN
    if call is None:
        return _Kind.BEGUN
    if call.turns:
        # The first turn of all goes to a login, whatever the source calls it.
        is_first_data = turn.lane is Lane.TIP and call.turns == 1 and call.caller.interval is None
        return _Kind.AGAIN if is_first_data else _Kind.BEGUN
    if turn.lane is not Lane.TIP:
        return _Kind.RESTED
    if call.caller.asked is None:
        return _Kind.NEW
    return _Kind.BEHIND if call.caller.behind else _Kind.RESTED


def _caller(turn: Turn) -> Caller:
    """Whose turn it is; those that nobody has called are in no queue where it matters."""
    if turn.call is None:
        raise ValueError("nobody's turn has no age")
    return turn.call.caller
