from __future__ import annotations

import asyncio

import pytest

from collector.model import Lane
from collector.turns import Call, Caller, Turn, calling, current_call


def asked(caller: Caller, *moments: float) -> Caller:
    for moment in moments:
        caller.ask(moment)
        caller.gave(0, moment, more=False)
    return caller


def test_the_interval_is_measured_between_polls() -> None:
    caller = Caller(600.0)
    assert (caller.asked, caller.interval) == (None, None)
    assert asked(caller, 10.0).interval is None
    assert asked(caller, 75.0).interval == 65.0


def test_the_pages_of_one_poll_are_no_intervals() -> None:
    caller = asked(Caller(600.0), 0.0)
    caller.ask(60.0)
    caller.gave(200, 61.0, more=True)
    caller.ask(65.0)
    caller.gave(7, 66.0, more=False)
    assert caller.interval == 60.0

    caller.ask(125.0)
    assert caller.interval == 60.0


def test_the_events_of_all_pages_of_a_poll_count_for_its_time() -> None:
    one, many = asked(Caller(600.0), 0.0), asked(Caller(600.0), 0.0)
    one.ask(60.0)
    one.gave(300, 60.0, more=False)
    for page in range(3):
        many.ask(60.0 + page)
        many.gave(100, 60.0 + page, more=page < 2)

    assert many.weight == one.weight > asked(Caller(600.0), 0.0, 60.0).weight


def test_the_backlog_of_the_first_poll_counts_for_the_time_it_took_to_come_up() -> None:
    fresh, old = Caller(600.0), Caller(600.0)
    for caller, covered in ((fresh, 0.0), (old, 86400.0)):
        caller.ask(0.0)
        caller.gave(86, 1.0, more=False, covered=covered)

    assert old.weight**2 < 0.01 * fresh.weight**2


def test_a_source_that_takes_no_turns_is_measured_by_its_pages() -> None:
    caller = Caller(600.0)
    caller.gave(1, 5.0, more=False)
    caller.gave(1, 70.0, more=False)

    assert (caller.asked, caller.interval) == (70.0, 65.0)


def test_urgency_grows_with_age_and_activity_and_nobody_is_older_than_who_was_never_asked() -> None:
    quiet, busy = asked(Caller(600.0), 0.0), asked(Caller(600.0), 0.0)
    busy.ask(60.0)
    busy.gave(100, 60.0, more=False)
    asked(quiet, 60.0)

    assert quiet.urgency(70.0) < quiet.urgency(80.0) < busy.urgency(80.0)
    assert quiet.expected(80.0) < 0.5 < busy.expected(80.0)
    assert Caller(600.0).deadline < quiet.deadline == 660.0


def test_only_the_first_turn_of_a_tips_fetch_asks_the_feed() -> None:
    caller = Caller(600.0)
    call = Call(caller)
    asked = []
    turns = [Turn(Lane.SWEEP, Call(caller)), Turn(Lane.TIP, call), Turn(Lane.TIP, call, again=True), Turn(Lane.TIP)]
    for now, turn in enumerate(turns):
        turn.begin(now)
        asked.append(caller.asked)

    assert asked == [None, 1.0, 1.0, 1.0]
    assert call.turns == 2


async def test_a_call_is_known_inside_its_block_and_to_the_tasks_it_starts() -> None:
    caller = Caller(600.0)

    async def who() -> Caller | None:
        call = current_call()
        return None if call is None else call.caller

    with calling(caller):
        inside = await asyncio.create_task(who())
    assert inside is caller
    assert await who() is None


def test_feed_that_fails_is_worth_less_each_time_until_it_gives_something() -> None:
    caller = asked(Caller(600.0), 0.0, 60.0)
    well = caller.urgency(180.0)
    worth = []
    for _ in range(3):
        caller.ask(120.0)
        caller.failed()
        worth.append(caller.urgency(240.0) / well)

    assert worth == pytest.approx([1 / 2, 1 / 3, 1 / 4])
    caller.ask(180.0)
    caller.gave(1, 181.0, more=False)
    assert caller.failures == 0
    assert caller.urgency(300.0) > well
