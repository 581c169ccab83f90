"""Whose 429 it is: everybody's who shares a budget, or one account's own business.

A vendor that counts by source address refuses all who come from there, and takes them back once its window has passed.
So one 429 holds up everybody, but no longer than a window; whoever asked waits for as long as it was told. An account
that is refused again while others are answered is refused for itself: that is to stop nobody else.
"""

from __future__ import annotations

from collections.abc import Hashable


class Throttling:
    """What the accounts behind one budget were answered. Times are monotonic, all in seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._refused: dict[Hashable, float] = {}
        # The last good answer, and the last one to any other account.
        self._last: tuple[Hashable, float] | None = None
        self._other: tuple[Hashable, float] | None = None

    def answered(self, account: Hashable, now: float) -> None:
        """This account got what it asked for."""
        self._refused.pop(account, None)
        if self._last is not None and self._last[0] != account:
            self._other = self._last
        self._last = account, now

    def refused(self, account: Hashable, wait: float, now: float) -> float:
        """This account is to wait so long; how long all of them shall."""
        before = self._refused.get(account)
        self._refused[account] = now
        if before is not None and self._others_answered(account, before):
            return 0.0
        return min(wait, self._window)

    def _others_answered(self, account: Hashable, since: float) -> bool:
        good = (self._last, self._other)
        return any(found is not None and found[0] != account and found[1] > since for found in good)
