from __future__ import annotations

import pytest

from collector.errors import CheckpointExpired, SourceUnavailable
from collector.model import Checkpoint, Gap, Lane
from collector.sources import lanes
from tests.unit.sources.walking import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RULES,
    SECOND,
    page,
    run_in,
    tip,
    vendor,
)

# -- tokens that lead nowhere ---------------------------------------------------------------------


def test_a_token_that_leads_to_itself_is_dropped_and_the_run_goes_on_from_the_last_record() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    at = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t1").checkpoint

    step = page(Lane.TIP, at, [NOW - 20 * MINUTE], "t1")

    run = run_in(step.checkpoint)
    assert (run.start, run.end, run.token, step.more) == (NOW - 20 * MINUTE, NOW, None, True)


def test_out_of_order_the_window_begins_again_after_a_repeated_token() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    at = page(Lane.TIP, at, [NOW - 20 * MINUTE, NOW - 30 * MINUTE], "t1").checkpoint
    begun = run_in(at).start

    step = page(Lane.TIP, at, [NOW - 10 * MINUTE], "t1")

    assert (run_in(step.checkpoint).start, run_in(step.checkpoint).token) == (begun, None)
    assert step.retry_after is not None


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64])
def test_a_circle_of_any_length_is_left(length: int) -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    for number in range(10 * length):
        step = page(Lane.TIP, at, [NOW - 30 * MINUTE], f"t{number % length}")
        at = step.checkpoint
        if run_in(at).token is None:
            break

    assert run_in(at).token is None
    assert run_in(at).start == NOW - 30 * MINUTE


def test_a_circle_without_progress_slows_down_and_then_fails_loudly() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    at = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t").checkpoint
    at = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t").checkpoint
    waits = []

    with pytest.raises(SourceUnavailable, match="repeats an anchor"):  # noqa: PT012 -- it may take a while
        for _ in range(100):
            step = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t")
            at = step.checkpoint
            if step.retry_after is not None:
                waits.append(step.retry_after)

    assert waits == [1, 2, 4, 8, 16]


def test_empty_pages_with_tokens_are_followed_then_slowly_then_no_more() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    steps: list[lanes.Step] = []

    with pytest.raises(CheckpointExpired, match="100 empty pages"):  # noqa: PT012 -- it takes a hundred
        for number in range(200):
            steps.append(page(Lane.TIP, at, [], f"t{number}"))
            at = steps[-1].checkpoint

    assert all(step.more for step in steps)
    assert [step.retry_after for step in steps[:19]] == [None] * 19
    assert all(step.retry_after for step in steps[19:])
    assert at.watermark == NOW - HOUR


def test_a_record_ends_a_row_of_empty_pages() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    for number in range(300):
        at = page(Lane.TIP, at, [NOW - 30 * MINUTE] if number % 50 == 0 else [], f"t{number}").checkpoint

    assert run_in(at).pages == 300


def test_tokens_that_lead_back_to_the_same_records_are_a_circle_although_each_is_another() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    records = [NOW - 40 * MINUTE, NOW - 30 * MINUTE]

    at = page(Lane.TIP, at, records, "t1").checkpoint
    at = page(Lane.TIP, at, records, "t2").checkpoint

    assert (run_in(at).start, run_in(at).token) == (NOW - 30 * MINUTE, None)


def test_a_circle_of_pages_that_span_time_is_left_at_its_latest_record() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    for number in range(20):
        first = NOW - 50 * MINUTE + number % 3 * 10 * MINUTE
        at = page(Lane.TIP, at, [first, first + 9 * MINUTE], f"nonce{number}").checkpoint
        if run_in(at).token is None:
            break

    assert (run_in(at).start, run_in(at).token) == (NOW - 21 * MINUTE, None)


def test_a_refused_token_costs_the_token_and_nothing_read() -> None:
    at = lanes.begin(Lane.SWEEP, tip(NOW - 40 * DAY), None, vendor(), RULES)
    begun = run_in(at)
    at = page(Lane.SWEEP, at, [NOW - 39 * DAY], "t1").checkpoint

    exc = lanes.expired(at, "anchor refused")

    assert exc.resume is not None
    assert exc.got_on
    run = run_in(exc.resume)
    assert (run.start, run.end, run.token) == (NOW - 39 * DAY, begun.end, None)
    assert (run.begin, run.goal, exc.resume.watermark) == (begun.begin, begun.goal, at.watermark)


def test_tokens_refused_again_and_again_within_one_moment_do_not_count_as_getting_on() -> None:
    at: Checkpoint | None = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    got_on = []
    for number in range(5):
        assert at is not None
        for count in (1, 2):
            at = page(Lane.TIP, at, [NOW - 30 * MINUTE] * count, f"{count}:{number}").checkpoint
        exc = lanes.expired(at, "anchor refused")
        at = exc.resume
        got_on.append(exc.got_on)

    assert got_on == [True, True, False, False, False]


def test_without_a_run_there_is_nothing_to_go_on_from() -> None:
    assert lanes.expired(None, "no").resume is None
    assert lanes.expired(tip(NOW), "no").resume is None


# -- gaps ----------------------------------------------------------------------------------------


def test_known_gaps_are_stepped_over_and_forgotten_behind_the_lane() -> None:
    gap = Gap(NOW - 10 * MINUTE, NOW - 9 * MINUTE, "unreadable")
    old = Gap(NOW - 3 * HOUR, NOW - 2 * HOUR, "unreadable")
    after = lanes.remember_gap(lanes.remember_gap(tip(NOW - HOUR), old), gap)

    at = lanes.begin(Lane.TIP, after, None, vendor(), RULES)
    first = run_in(at)
    at = page(Lane.TIP, at).checkpoint
    second = run_in(at)
    step = page(Lane.TIP, at)

    assert (first.end, second.start, second.end) == (gap.start, gap.end, NOW)
    assert lanes.known_gaps(at.state) == [(gap.start, gap.end)]
    assert (step.more, step.watermark) == (False, NOW)


def test_a_gap_at_either_end_of_a_run_makes_no_empty_request() -> None:
    after = tip(NOW - HOUR)
    for start in (NOW - HOUR - 30 * SECOND, NOW - MINUTE):
        after = lanes.remember_gap(after, Gap(start, start + MINUTE, "unreadable"))

    at = lanes.begin(Lane.TIP, after, None, vendor(), RULES)
    step = page(Lane.TIP, at)

    assert run_in(at).start == NOW - HOUR + 30 * SECOND
    assert run_in(at).end == NOW - MINUTE
    assert not step.more


def test_gaps_do_not_grow_without_end() -> None:
    at = tip(NOW - HOUR)
    for number in range(1000):
        at = lanes.remember_gap(at, Gap(NOW + number * SECOND, NOW + number * SECOND, "unreadable"))

    assert len(at.state["gaps"]) == 100
