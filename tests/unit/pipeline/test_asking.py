from __future__ import annotations

from datetime import timedelta

from collector.model import StreamId
from collector.pipeline.asking import Asking, Intervals, intervals
from collector.room import Room
from collector.turns import Caller, current_call

MINUTE, FIVE = timedelta(minutes=1), timedelta(minutes=5)


def of_many(feeds: int) -> list[Intervals]:
    return [
        intervals(StreamId(f"tenant-{n}", "withsecure", "security_events"), MINUTE, FIVE, feeds) for n in range(200)
    ]


def spread(values: list[float], low: float, high: float) -> bool:
    """Whether each tenth of the range holds some of the values, and nothing lies outside."""
    tenths = {int((value - low) / (high - low) * 10) for value in values}
    return tenths == set(range(10))


def test_few_feeds_begin_at_once() -> None:
    assert {(each.tip_delay, each.sweep_delay) for each in of_many(20)} == {(0.0, 0.0)}


def test_many_feeds_begin_one_after_the_other_and_sooner_than_their_interval() -> None:
    assert spread([each.tip_delay for each in of_many(1020)], 0.0, 20.0)
    assert spread([each.sweep_delay for each in of_many(1020)], 0.0, 100.0)
    assert spread([each.tip_delay for each in of_many(100_000)], 0.0, 60.0)
    assert spread([each.sweep_delay for each in of_many(100_000)], 0.0, 300.0)


def test_feeds_that_began_together_do_not_go_on_together() -> None:
    assert spread([each.first for each in of_many(20)], 0.5, 1.0)


def test_a_feed_has_the_same_place_after_every_start() -> None:
    assert of_many(500) == of_many(500)
    stream = StreamId("acme", "withsecure", "security_events")
    assert round(intervals(stream, MINUTE, FIVE, 1).first, 6) == 0.671107


def test_a_page_is_asked_for_in_the_feeds_name_and_takes_room() -> None:
    room, caller = Room(100), Caller(600.0)

    with Asking(caller, room).page():
        call = current_call()

    assert call is not None
    assert call.caller is caller
    assert current_call() is None
