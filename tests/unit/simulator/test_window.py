from __future__ import annotations

import random

from collector.simulator.window import SlidingWindow


def test_limit_holds_in_every_window_however_requests_are_spread() -> None:
    window = SlidingWindow(3, 10.0)

    admitted = [window.arrive(now) is None for now in (0.0, 8.0, 9.0, 9.9, 10.0, 11.0, 18.0, 19.0, 19.5)]

    assert admitted == [True, True, True, False, True, False, True, True, False]


def test_refusal_tells_how_long_until_there_is_room() -> None:
    window = SlidingWindow(1, 60.0)
    window.arrive(100.0)

    assert window.arrive(115.0) == 45.0
    assert window.arrive(160.0) is None


def test_most_counts_refused_requests_and_forgets_nothing() -> None:
    window = SlidingWindow(2, 10.0)

    for now in (0.0, 1.0, 2.0, 3.0, 50.0):
        window.arrive(now)

    assert window.most == 4


def test_most_is_the_maximum_over_all_windows() -> None:
    rng = random.Random(7)
    times = sorted(rng.uniform(0, 500) for _ in range(400))
    window = SlidingWindow(10**6, 30.0)

    for now in times:
        window.arrive(now)

    assert window.most == max(sum(now - 30.0 < other <= now for other in times) for now in times)
