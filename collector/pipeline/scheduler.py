"""Who is asked next: one budget for all sources whose requests count together at the vendor."""

from __future__ import annotations

from collector.budget import Budget
from collector.clock import Clock
from collector.sources.base import BudgetKey


class Scheduler:
    """Hands out budgets. Sources that share one get the smallest of their rate limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[BudgetKey, Budget] = {}
        self._limits: dict[BudgetKey, tuple[int, float]] = {}

    def limit(self, key: BudgetKey, requests: int, per_seconds: float) -> None:
        """Make a source's rate limit known; to be called for every source before the first budget is asked for."""
        known = self._limits.get(key)
        if known is None or requests / per_seconds < known[0] / known[1]:
            self._limits[key] = (requests, per_seconds)

    def budget(self, key: BudgetKey) -> tuple[Budget, bool]:
        """The budget of that key, and whether it is new: a new one needs its `run` started."""
        if key in self._budgets:
            return self._budgets[key], False
        budget = self._budgets[key] = Budget(*self._limits[key], self._clock)
        return budget, True

    def waiting(self) -> dict[str, int]:
        """How many requests wait for their turn, by lane."""
        total: dict[str, int] = {}
        for budget in self._budgets.values():
            for lane, count in budget.waiting.items():
                total[lane] = total.get(lane, 0) + count
        return total
