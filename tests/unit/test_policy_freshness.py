"""The policy on a kept trace: how long events wait at the vendor where the budget is too small for all feeds."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.budget import _shape
from collector.model import Lane
from collector.policy import Policy
from collector.turns import Call, Caller, Turn
from tests.data.activity.make_trace import FILE, make_trace

MAX_AGE = 600.0
SECONDS_A_TURN = 1 / _shape(300, 60.0)[1]


class Trace:
    """Which events are visible when, by feed."""

    def __init__(self, path: Path) -> None:
        self.feeds: list[list[float]] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            _, *gaps = map(int, line.split())
            at, times = 0, []
            for gap in gaps:
                at += gap
                times.append(at / 10)
            self.feeds.append(times)


class RoundRobin(Policy):
    """Who waited longest: what the policy is measured against."""

    def next(self, now: float) -> Turn | None:
        turn = next(iter(self._kinds), None)
        if turn is not None:
            self.discard(turn)
            turn.begin(now)
        return turn


@dataclass
class Outcome:
    waits: list[float] = field(default_factory=list)
    oldest: float = 0.0
    sweeps: int = 0

    @property
    def mean(self) -> float:
        return sum(self.waits) / len(self.waits)


def play(trace: Trace, policy: Policy, poll_interval: float, until: float, sweeps: int = 0) -> Outcome:
    """Give turns at the budget's pace to feeds that come back `poll_interval` after their last poll began."""
    callers = [Caller(MAX_AGE) for _ in trace.feeds]
    outcome, now = Outcome(), 0.0
    read = [0] * len(callers)
    number = {caller: index for index, caller in enumerate(callers)}
    resting: list[tuple[float, int]] = []
    for caller in callers:
        policy.join(caller)
        policy.add(Turn(Lane.TIP, Call(caller)))
    for _ in range(sweeps):
        policy.add(Turn(Lane.SWEEP, Call(callers[0])))
    while (now := now + SECONDS_A_TURN) < until:
        while resting and resting[0][0] <= now:
            policy.add(Turn(Lane.TIP, Call(callers[heapq.heappop(resting)[1]])))
        turn = policy.next(now)
        if turn is None or turn.call is None:
            continue
        if turn.lane is Lane.SWEEP:
            outcome.sweeps += 1
            policy.add(Turn(Lane.SWEEP, Call(callers[0])))
            continue
        caller = turn.call.caller
        feed = number[caller]
        seen = read[feed]
        events = trace.feeds[feed]
        while seen < len(events) and events[seen] <= now:
            outcome.waits.append(now - events[seen])
            seen += 1
        caller.gave(seen - read[feed], now, more=False)
        read[feed] = seen
        outcome.oldest = max(outcome.oldest, caller.interval or 0.0)
        heapq.heappush(resting, (now + poll_interval, feed))
    return outcome


@pytest.fixture(scope="module")
def trace() -> Trace:
    return Trace(FILE)


def test_the_kept_trace_is_what_its_script_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == make_trace()


@pytest.mark.parametrize(("poll_interval", "share"), [(60.0, 0.53), (10.0, 0.45)], ids=["minute", "ten-seconds"])
def test_events_wait_much_shorter_than_in_turn_and_no_feed_longer_than_stated(
    trace: Trace, poll_interval: float, share: float
) -> None:
    in_turn = play(trace, RoundRobin(), poll_interval, 3600)
    chosen = play(trace, Policy(), poll_interval, 3600)

    assert chosen.mean <= share * in_turn.mean
    assert chosen.oldest <= MAX_AGE
    assert len(chosen.waits) >= 0.45 * sum(map(len, trace.feeds))


def test_sweeps_that_always_wait_get_their_fifth_and_make_no_feed_too_old(trace: Trace) -> None:
    outcome = play(trace, Policy(), 60.0, 3600, sweeps=500)

    assert outcome.oldest <= MAX_AGE
    assert outcome.sweeps == pytest.approx((3600 / SECONDS_A_TURN - 1000) / 5, rel=0.01)
