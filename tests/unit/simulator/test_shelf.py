from __future__ import annotations

import random

import pytest

from collector.simulator.shelf import Shelf, Span
from collector.simulator.vendor_event import VendorEvent


def event(key: str, stamp_ms: int, visible_ms: int | None = None, group: str = "epp") -> VendorEvent:
    visible = stamp_ms if visible_ms is None else visible_ms
    return VendorEvent(key, "org", "edr", group, "info", "", stamp_ms, visible, key.encode())


def keys(events: list[VendorEvent]) -> list[str]:
    return [each.key for each in events]


def full(*events: VendorEvent) -> Shelf:
    shelf = Shelf()
    for each in events:
        shelf.put(each)
    shelf.reveal(10**15)
    return shelf


def test_events_hide_until_their_moment() -> None:
    shelf = Shelf()
    shelf.put(event("late", 100, visible_ms=900))
    shelf.put(event("prompt", 200))

    shelf.reveal(899)
    before = keys(list(shelf.visible()))
    shelf.reveal(900)

    assert before == ["prompt"]
    assert keys(list(shelf.visible())) == ["late", "prompt"]


def test_later_version_takes_the_place_of_the_earlier_when_it_becomes_visible() -> None:
    shelf = Shelf()
    shelf.put(event("a", 100))
    shelf.put(event("b", 150))
    shelf.put(event("a", 300))

    shelf.reveal(299)
    before = [(each.key, each.stamp_ms) for each in shelf.visible()]
    shelf.reveal(300)

    assert before == [("a", 100), ("b", 150)]
    assert [(each.key, each.stamp_ms) for each in shelf.visible()] == [("b", 150), ("a", 300)]


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_following_positions_meets_every_event_once_in_order(ascending: bool, limit: int) -> None:
    rng = random.Random(limit)
    events = [event(f"e{number:03d}", rng.randrange(30)) for number in range(150)]
    shelf = full(*events)

    met: list[VendorEvent] = []
    after = None
    more = True
    while more:
        page, more = shelf.select(Span(5, 25, ascending, limit, after))
        met += page
        after = (page[-1].stamp_ms, page[-1].key)

    expected = sorted((each.stamp_ms, each.key) for each in events if 5 <= each.stamp_ms < 25)
    assert [(each.stamp_ms, each.key) for each in met] == (expected if ascending else expected[::-1])


@pytest.mark.parametrize("ascending", [True, False])
def test_position_before_the_first_leaves_nothing_out(ascending: bool) -> None:
    shelf = full(event("a", 5), event("b", 6), event("z", 9))
    span = Span(5, 10, ascending, 10)

    assert shelf.select(Span(5, 10, ascending, 10, span.before_first())) == shelf.select(span)


@pytest.mark.parametrize(("ascending", "expected"), [(True, ["b", "c"]), (False, ["e", "d"])])
def test_preceding_events_are_those_right_before_the_position(ascending: bool, expected: list[str]) -> None:
    shelf = full(*(event(key, 5) for key in "abcdef"))

    found = shelf.preceding(Span(0, 10, ascending, 10, (5, expected[-1])), 2)

    assert keys(found) == expected


def test_filter_decides_what_counts_towards_the_limit() -> None:
    shelf = full(*(event(f"e{number}", number, group="edr" if number % 2 else "epp") for number in range(9)))

    page, more = shelf.select(Span(0, 10, True, 3, accepts=lambda each: each.group == "edr"))

    assert keys(page) == ["e1", "e3", "e5"]
    assert more is True


def test_position_outside_the_span_moves_neither_bound() -> None:
    shelf = full(event("a", 5), event("b", 6))

    assert shelf.select(Span(5, 10, True, 10, (99, "z"))) == ([], False)
    assert keys(shelf.select(Span(6, 10, True, 10, (1, "a")))[0]) == ["b"]
    assert shelf.select(Span(5, 10, False, 10, (1, "a"))) == ([], False)


def test_big_batches_and_single_events_end_in_the_same_order() -> None:
    rng = random.Random(1)
    events = [event(f"e{number}", rng.randrange(1000)) for number in range(2000)]
    one_by_one = Shelf()
    for each in events:
        one_by_one.put(each)
        one_by_one.reveal(10**6)

    assert keys(list(one_by_one.visible())) == keys(list(full(*events).visible()))
