"""Who is asked next: one budget for all sources whose requests count together at the vendor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from collector.budget import Budget
from collector.clock import Clock
from collector.model import Lane
from collector.sources.base import BudgetKey

RateLimit = tuple[int, float]
"""So many requests in so many seconds."""


class Scheduler:
    """Hands out budgets. One that sources share keeps the rate limits of all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[BudgetKey, Budget] = {}
        self._replaced: dict[BudgetKey, Budget] = {}
        self._limits: dict[BudgetKey, tuple[RateLimit, ...]] = {}

    def changed(self, limits: Iterable[tuple[BudgetKey, RateLimit]]) -> set[BudgetKey]:
        """The budgets that `follow` with these limits would replace: those who hold one must be stopped before."""
        return self._other_than(_by_key(limits))

    def follow(self, limits: Iterable[tuple[BudgetKey, RateLimit]]) -> None:
        """Know the rate limits of all sources; to be called before their budgets are asked for."""
        wanted = _by_key(limits)
        for key in self._other_than(wanted):
            self._replaced[key] = self._budgets.pop(key)
        self._limits = wanted

    def _other_than(self, wanted: Mapping[BudgetKey, tuple[RateLimit, ...]]) -> set[BudgetKey]:
        return {key for key in self._budgets if wanted.get(key) != self._limits[key]}

    def budget(self, key: BudgetKey) -> tuple[Budget, bool]:
        """The budget of that key, and whether it is new: a new one needs its `run` started."""
        if key in self._budgets:
            return self._budgets[key], False
        first, *also = self._limits[key]
        budget = self._budgets[key] = Budget(*first, self._clock, also)
        if before := self._replaced.pop(key, None):  # the vendor asked for its pause whatever our limits are
            budget.pause(before.paused_for)
        return budget, True

    def waiting(self) -> dict[Lane, int]:
        """How many requests wait for their turn, by lane."""
        total = dict.fromkeys(Lane, 0)
        for budget in self._budgets.values():
            for lane, count in budget.waiting.items():
                total[lane] += count
        return total


def _by_key(limits: Iterable[tuple[BudgetKey, RateLimit]]) -> dict[BudgetKey, tuple[RateLimit, ...]]:
    found: dict[BudgetKey, set[RateLimit]] = {}
    for key, limit in limits:
        found.setdefault(key, set()).add(limit)
    return {key: tuple(sorted(held)) for key, held in found.items()}
