"""How fresh events are, by how many feeds share a rate limit: the table of the README, by the policy that gives turns.

python -m tests.bench.sizing

Feeds are as in the trace of `tests/data/activity`: 6 events an hour and feed on average, very unevenly (Zipf, 1.2).
Each poll and each sweep takes one request; pages, details of incidents and logins come on top.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Iterator
from math import ceil

from collector.budget import _shape
from collector.model import Lane
from collector.policy import Policy
from collector.turns import Call, Caller, Turn

_REQUESTS, _PER = 300, 60.0
_POLL, _SWEEP, _MAX_AGE = 60.0, 300.0, 600.0
_BEGIN, _END = 3600.0, 10_800.0
_EVENTS_AN_HOUR, _EXPONENT = 6, 1.2


class _Feed:
    """When its events become visible, and how many of them were read."""

    def __init__(self, moments: list[float], chance: random.Random) -> None:
        self.moments = moments
        self.caller = Caller(_MAX_AGE)
        self.read = 0
        self.first = chance.random()

    def read_until(self, now: float) -> list[float]:
        """How long each new one waited."""
        begin = self.read
        while self.read < len(self.moments) and self.moments[self.read] <= now:
            self.read += 1
        return [now - moment for moment in self.moments[begin : self.read]]


def _feeds(count: int) -> list[_Feed]:
    chance = random.Random(count)
    total = sum(rank**-_EXPONENT for rank in range(1, count + 1))
    rates = [count * _EVENTS_AN_HOUR / 3600 * rank**-_EXPONENT / total for rank in range(1, count + 1)]
    chance.shuffle(rates)
    return [_Feed(list(_moments(rate, chance)), chance) for rate in rates]


def _moments(rate: float, chance: random.Random) -> Iterator[float]:
    now = 0.0
    while (now := now + chance.expovariate(rate)) < _END:
        yield now


def freshness(count: int) -> tuple[list[float], list[float], float]:
    """Of so many feeds: how long events waited, the intervals between polls, the share of sweeps that were made."""
    policy, feeds = Policy(), _feeds(count)
    order = iter(range(1 << 62))
    resting: list[tuple[float, int, Lane, _Feed]] = []
    for feed in feeds:
        policy.join(feed.caller)
        resting += [
            (feed.first * min(count / 50, _POLL), next(order), Lane.TIP, feed),
            (feed.first * _SWEEP, next(order), Lane.SWEEP, feed),
        ]
    heapq.heapify(resting)
    of_caller = {feed.caller: feed for feed in feeds}
    waits: list[float] = []
    intervals: list[float] = []
    now, sweeps = 0.0, 0
    while (now := now + 1 / _shape(_REQUESTS, _PER)[1]) < _END:
        while resting and resting[0][0] <= now:
            _, _, lane, feed = heapq.heappop(resting)
            policy.add(Turn(lane, Call(feed.caller)))
        turn = policy.next(now)
        if turn is None or turn.call is None:
            continue
        feed = of_caller[turn.call.caller]
        if turn.lane is Lane.SWEEP:
            sweeps += now >= _BEGIN
            heapq.heappush(resting, (now + _SWEEP, next(order), Lane.SWEEP, feed))
            continue
        found = feed.read_until(now)
        feed.caller.gave(len(found), now, more=False)
        if now >= _BEGIN:
            waits += found
            intervals.append(feed.caller.interval or 0.0)
        heapq.heappush(resting, (now + _POLL, next(order), Lane.TIP, feed))
    return waits, intervals, sweeps / (count * (_END - _BEGIN) / _SWEEP)


def main() -> None:
    """Print the table."""
    print("| feeds | median | mean | p99 | longest interval | sweeps |")
    for count in (50, 100, 200, 300, 500, 1000, 1500, 2000, 3000):
        waits, intervals, sweeps = freshness(count)
        late = sorted(waits)[ceil(len(waits) * 0.99) - 1]
        print(
            f"| {count} | {statistics.median(waits):.0f} s | {statistics.mean(waits):.0f} s | {late:.0f} s "
            f"| {max(intervals):.0f} s | {sweeps:.0%} |"
        )


if __name__ == "__main__":
    main()
