"""The requests a vendor allows, given out turn by turn.

The vendor counts in a sliding window and refuses what is over. A token bucket of size b and rate r lets b + r * w
requests pass in a window w, so of a limit n the bucket holds b = n // 20 and refills at (n - b) / w: never more than
n in any window. Of several limits that hold at once the bucket takes the smallest burst and the smallest rate, which
keeps each of them. The bucket starts empty (its whole burst is taken before the first turn): a process that was
restarted may have spent the window's requests a second ago. The window is taken to be a little longer than the
vendor's, because requests that left evenly may arrive bunched: after a handshake, or when this host was busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Mapping

from aiolimiter import AsyncLimiter

from collector.clock import Clock
from collector.model import Lane
from collector.policy import Policy
from collector.throttling import Throttling
from collector.turns import Turn, current_call

_SLACK_RATIO = 1.01
_SLACK_SECONDS = 0.15


class Budget:
    """One vendor's limits: `requests` in any `per_seconds`, and all of `also`, shared by all who hold this object.

    `run` gives the turns and must be running for `take` to return; whose is next, `policy` decides.
    """

    def __init__(self, requests: int, per_seconds: float, clock: Clock, also: Iterable[tuple[int, float]] = ()) -> None:
        limits = [(requests, per_seconds), *also]
        shapes = [_shape(*limit) for limit in limits]
        self._burst = min(burst for burst, _ in shapes)
        self._limiter = AsyncLimiter(self._burst, self._burst / min(rate for _, rate in shapes))
        self._emptied = False
        self._clock = clock
        self._paused_until = clock.monotonic()
        self._throttling = Throttling(max(per for _, per in limits))
        self._given: dict[Turn, asyncio.Future[None]] = {}
        self._wanted = asyncio.Event()
        self.policy = Policy()

    async def take(self, lane: Lane, *, again: bool = False) -> None:
        """Wait for the turn to send one request. Cancelling the wait costs nobody a turn.

        `again`: a turn just had went to a login; the next is had before those of the lane that came since, because a
        token may be too old by the time a long queue is through.
        """
        turn = Turn(lane, current_call(), again)
        given = self._given[turn] = asyncio.get_running_loop().create_future()
        self.policy.add(turn)
        self._wanted.set()
        try:
            await given
        except asyncio.CancelledError:
            if given.cancelled():
                self.policy.discard(turn)
            else:  # the turn came in the same moment: somebody else shall have it
                self._give()
            raise
        finally:
            del self._given[turn]

    async def run(self) -> None:
        """Give turns for ever; one task at a time, started and ended by whoever owns this budget."""
        if not self._emptied:
            await self._limiter.acquire(self._burst)
            self._emptied = True
        while True:
            await self._wanted.wait()
            # Capacity first, choice last: who comes while we wait may go before those who came earlier. Capacity that
            # finds nobody, or a pause, is let go: used later it would come on top of a full bucket.
            await self._limiter.acquire()
            if left := self.paused_for:
                await self._clock.sleep(left)
            else:
                self._give()

    def answered(self, account: Hashable) -> None:
        """The vendor gave this account what it asked for."""
        self._throttling.answered(account, self._clock.monotonic())

    def refused(self, account: Hashable, wait: float) -> None:
        """The vendor told this account to wait so long: for a while all wait, unless it is that account alone."""
        if shared := self._throttling.refused(account, wait, self._clock.monotonic()):
            self.pause(shared)

    def pause(self, seconds: float) -> None:
        """Hold all turns for so long from now: the vendor said it is too much. A longer pause in force stays."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    @property
    def paused_for(self) -> float:
        """How many seconds of a pause are left; 0.0 without one."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    @property
    def waiting(self) -> Mapping[Lane, int]:
        """How many wait for their turn, by lane."""
        return self.policy.waiting

    def _give(self) -> None:
        while (turn := self.policy.next(self._clock.monotonic())) is not None:
            # A turn cancelled in this very step of the loop still waits until its task runs.
            if not (given := self._given[turn]).cancelled():
                given.set_result(None)
                break
        if not any(self.policy.waiting.values()):  # or capacity would be taken for nobody
            self._wanted.clear()


def _shape(requests: int, per_seconds: float) -> tuple[int, float]:
    """Burst and rate (a second) of the bucket that keeps this limit."""
    if requests < 1 or per_seconds <= 0:
        raise ValueError("a budget needs at least one request in a positive time")
    window = per_seconds * _SLACK_RATIO + _SLACK_SECONDS
    burst = max(1, requests // 20)
    return burst, max(1, requests - burst) / window
