"""Who is asked next: one budget for all sources whose requests count together at the vendor."""

from __future__ import annotations

from collections.abc import Iterable

from collector.budget import Budget
from collector.clock import Clock
from collector.model import Lane
from collector.sources.base import BudgetKey

RateLimit = tuple[int, float]
"""So many requests in so many seconds."""


class Scheduler:
    """Hands out budgets. Sources that share one get the smallest of their rate limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[BudgetKey, Budget] = {}
        self._limits: dict[BudgetKey, RateLimit] = {}

    def changed(self, limits: Iterable[tuple[BudgetKey, RateLimit]]) -> set[BudgetKey]:
        """The budgets that `follow` with these limits would replace: those who hold one must be stopped before."""
        wanted = _smallest(limits)
        return {key for key in self._budgets if wanted.get(key) != self._limits[key]}

    def follow(self, limits: Iterable[tuple[BudgetKey, RateLimit]]) -> None:
        """Know the rate limits of all sources; to be called before their budgets are asked for."""
        wanted = _smallest(limits)
        for key in self.changed(wanted.items()):
            del self._budgets[key]
        self._limits = wanted

    def budget(self, key: BudgetKey) -> tuple[Budget, bool]:
        """The budget of that key, and whether it is new: a new one needs its `run` started."""
        if key in self._budgets:
            return self._budgets[key], False
        budget = self._budgets[key] = Budget(*self._limits[key], self._clock)
        return budget, True

    def waiting(self) -> dict[Lane, int]:
        """How many requests wait for their turn, by lane."""
        total = dict.fromkeys(Lane, 0)
        for budget in self._budgets.values():
            for lane, count in budget.waiting.items():
                total[lane] += count
        return total


def _smallest(limits: Iterable[tuple[BudgetKey, RateLimit]]) -> dict[BudgetKey, RateLimit]:
    found: dict[BudgetKey, RateLimit] = {}
    for key, limit in limits:
        found[key] = min(found.get(key, limit), limit, key=lambda pair: pair[0] / pair[1])
    return found
