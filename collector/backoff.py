"""Delays between attempts: exponential, jittered, capped; pure, so that whoever waits does the waiting."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """The delays of one thing that keeps failing, in seconds.

    The n-th delay lies between half and all of `base * 2**n`, which stops growing at `cap`: never zero, so nobody
    hammers, never all the same, so those that failed together do not come back together. `draw` gives numbers in
    [0, 1).
    """

    __slots__ = ("_base", "_cap", "_ceiling", "_draw")

    def __init__(self, base: float, cap: float, draw: Callable[[], float] = random.random) -> None:
        if not 0 < base <= cap:
            raise ValueError("a backoff needs 0 < base <= cap")
        self._base = base
        self._cap = cap
        self._draw = draw
        self._ceiling = base

    def next(self) -> float:
        """How long to wait after one more failure."""
        ceiling = self._ceiling
        self._ceiling = min(self._cap, ceiling * 2)
        return ceiling * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """It worked: the next failure is a first one again."""
        self._ceiling = self._base
