from __future__ import annotations

import asyncio

from collector.model import Lane
from collector.pipeline.scheduler import Scheduler
from collector.sources.base import BudgetKey
from collector.testing import FakeClock

ONE = BudgetKey("api.example.com", "", "direct")
TWO = BudgetKey("api.example.com", "", "proxy")


def test_sources_that_share_a_budget_share_one_object_and_only_the_first_starts_it(clock: FakeClock) -> None:
    scheduler = Scheduler(clock)
    scheduler.follow([(ONE, (300, 60.0)), (ONE, (300, 60.0)), (TWO, (5, 1.0))])

    first, new = scheduler.budget(ONE)
    again, old = scheduler.budget(ONE)
    other, _ = scheduler.budget(TWO)

    assert first is again
    assert first is not other
    assert (new, old) == (True, False)


def test_every_limit_of_the_sources_that_share_a_budget_is_kept_in_whatever_order_it_comes(clock: FakeClock) -> None:
    limits = [(ONE, (300, 60.0)), (ONE, (10, 1.0)), (ONE, (300, 60.0))]
    scheduler = Scheduler(clock)
    scheduler.follow(limits)
    budget = scheduler.budget(ONE)[0]

    assert scheduler.changed(reversed(limits)) == set()
    assert scheduler.changed(limits[:1]) == {ONE}
    assert (budget._burst, budget._limiter.max_rate) == (1, 1)
    assert budget._limiter.time_period > 60 / 300


def test_a_pause_the_vendor_asked_for_outlives_a_change_of_the_limit(clock: FakeClock) -> None:
    scheduler = Scheduler(clock)
    scheduler.follow([(ONE, (300, 60.0))])
    scheduler.budget(ONE)[0].pause(900.0)
    scheduler.follow([(ONE, (200, 60.0))])

    assert scheduler.budget(ONE)[0].paused_for == 900.0


def test_a_limit_that_changes_gives_a_new_budget_and_tells_who_held_the_old_one(clock: FakeClock) -> None:
    scheduler = Scheduler(clock)
    before = [(ONE, (300, 60.0)), (TWO, (5, 1.0))]
    after = [(ONE, (600, 60.0)), (TWO, (5, 1.0))]
    scheduler.follow(before)
    old, kept = scheduler.budget(ONE)[0], scheduler.budget(TWO)[0]

    assert scheduler.changed(before) == set()
    assert scheduler.changed(after) == {ONE}
    scheduler.follow(after)

    assert scheduler.budget(ONE)[0] is not old
    assert scheduler.budget(TWO)[0] is kept


def test_a_budget_that_nobody_needs_any_more_is_let_go(clock: FakeClock) -> None:
    scheduler = Scheduler(clock)
    scheduler.follow([(ONE, (300, 60.0))])
    scheduler.budget(ONE)

    assert scheduler.changed([]) == {ONE}
    scheduler.follow([])
    assert scheduler._budgets == {}


async def test_requests_that_wait_are_counted_by_lane_over_all_budgets(clock: FakeClock) -> None:
    scheduler = Scheduler(clock)
    scheduler.follow([(ONE, (300, 60.0)), (TWO, (5, 1.0))])
    takes = [(ONE, Lane.TIP), (TWO, Lane.TIP), (TWO, Lane.SWEEP)]
    tasks = [asyncio.create_task(scheduler.budget(key)[0].take(lane)) for key, lane in takes]
    await asyncio.sleep(0)

    assert scheduler.waiting() == {Lane.TIP: 2, Lane.SWEEP: 1, Lane.JOB: 0}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
