from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from collector.model import Checkpoint, Lane, Window
from collector.sources import lanes
from collector.sources.vendor_time import VendorTime
from collector.timestamps import format_utc
from tests.unit.sources.walking import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RULES,
    SECOND,
    TIP_STATE,
    page,
    record,
    run_in,
    tip,
    vendor,
)

# -- where a run begins -------------------------------------------------------------------------


def test_the_very_first_tip_begins_start_from_before_vendor_time_and_remembers_both() -> None:
    at = lanes.begin(Lane.TIP, None, None, vendor(), RULES)

    assert at.state == TIP_STATE
    assert at.watermark == NOW - DAY
    assert (run_in(at).start, run_in(at).end) == (NOW - DAY, NOW)


def test_a_tip_begins_an_overlap_before_its_watermark() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    assert (run_in(at).start, run_in(at).end) == (NOW - HOUR - 30 * SECOND, NOW)


def test_no_tip_reads_before_the_feeds_beginning() -> None:
    after = Checkpoint(NOW - DAY + SECOND, state=TIP_STATE)

    assert run_in(lanes.begin(Lane.TIP, after, None, vendor(), RULES)).start == NOW - DAY


def test_a_tip_set_by_hand_begins_where_it_was_set() -> None:
    at = lanes.begin(Lane.TIP, Checkpoint(NOW - HOUR), None, vendor(), RULES)

    assert at.state["beginning"] == format_utc(NOW - HOUR)
    assert run_in(at).start == NOW - HOUR


def test_a_tip_with_nothing_to_start_from_remembers_its_beginning_all_the_same() -> None:
    at = lanes.begin(Lane.TIP, None, None, vendor(), replace(RULES, start_from=timedelta(0)))

    assert at == Checkpoint(NOW, state={**TIP_STATE, "beginning": TIP_STATE["started"]})


def test_a_sweep_reads_window_less_every_before_the_begin_of_the_last() -> None:
    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW - 5 * MINUTE), Window(NOW - DAY), vendor(), RULES)

    assert (run_in(at).start, run_in(at).end) == (NOW - 15 * MINUTE, NOW)


def test_a_sweep_after_an_outage_is_longer_by_as_much() -> None:
    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW - 3 * HOUR), Window(NOW - DAY), vendor(), RULES)

    assert run_in(at).start == NOW - 3 * HOUR - 10 * MINUTE


def test_no_sweep_reads_before_the_feeds_beginning() -> None:
    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW), Window(NOW - MINUTE), vendor(), RULES)

    assert run_in(at).start == NOW - MINUTE


def test_a_job_reads_its_window_and_nothing_else() -> None:
    window = Window(NOW - 9 * DAY, NOW - 8 * DAY)

    at = lanes.begin(Lane.JOB, None, window, vendor(), RULES)

    assert (run_in(at).start, run_in(at).end) == (window.start, window.end)


def test_a_job_goes_on_where_it_was_and_is_over_at_its_end() -> None:
    window = Window(NOW - 9 * DAY, NOW - 8 * DAY)

    on = lanes.begin(Lane.JOB, Checkpoint(NOW - 9 * DAY + HOUR), window, vendor(), RULES)
    over = lanes.begin(Lane.JOB, Checkpoint(window.end), window, vendor(), RULES)

    assert run_in(on).start == NOW - 9 * DAY + HOUR
    assert over.run is None


@pytest.mark.parametrize("lane", list(Lane))
def test_a_start_after_vendor_time_means_wait_and_moves_nothing(lane: Lane) -> None:
    after = tip(NOW + HOUR)

    assert lanes.begin(lane, after, None, vendor(), RULES) == after


def test_a_start_in_ages_past_is_no_overflow() -> None:
    rules = replace(RULES, start_from=timedelta(days=999_999), overlap=timedelta(days=999_999))

    at = lanes.begin(Lane.TIP, None, None, vendor(), rules)

    assert run_in(at).start == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_feed_begun_by_a_clock_far_ahead_begins_anew_once_both_clocks_agree() -> None:
    wrong = lanes.begin(Lane.TIP, None, None, vendor(NOW + 365 * DAY, -365 * 86400.0), RULES)
    wrong = replace(wrong, run=None)

    still = lanes.begin(Lane.TIP, wrong, None, vendor(NOW, 365 * 86400.0), RULES)
    at = lanes.begin(Lane.TIP, wrong, None, vendor(), RULES)

    assert (still.run, still.watermark) == (None, wrong.watermark)
    assert at == lanes.begin(Lane.TIP, None, None, vendor(), RULES)


def test_a_sweep_begun_by_a_clock_far_ahead_begins_anew_with_its_feed() -> None:
    window = Window(NOW - DAY)

    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW + 365 * DAY), window, vendor(), RULES)
    soon = lanes.begin(Lane.SWEEP, Checkpoint(NOW + 11 * MINUTE), window, vendor(), RULES)

    assert (at.watermark, run_in(at).start) == (window.start, window.start)
    assert (soon.watermark, soon.run) == (NOW + 11 * MINUTE, None)


def test_requests_are_in_whole_milliseconds() -> None:
    after = tip(NOW - HOUR + timedelta(microseconds=1999))

    run = run_in(lanes.begin(Lane.TIP, after, None, vendor(NOW + timedelta(microseconds=5999)), RULES))

    assert run.start == NOW - HOUR - 30 * SECOND + timedelta(milliseconds=1)
    assert run.end == NOW + timedelta(milliseconds=5)


# -- what pages change ---------------------------------------------------------------------------


def test_start_and_end_stay_while_tokens_are_followed() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    frozen = run_in(at)

    for number in range(5):
        step = page(Lane.TIP, at, [NOW - 50 * MINUTE + number * MINUTE], f"t{number}", vendor(NOW + number * SECOND))
        at = step.checkpoint
        assert (step.more, step.watermark) == (True, None)
        assert (run_in(at).start, run_in(at).end, run_in(at).token) == (frozen.start, frozen.end, f"t{number}")


def test_the_last_page_takes_the_tip_to_its_end() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    step = page(Lane.TIP, at, [NOW - 5 * MINUTE], now=vendor(NOW + 2 * SECOND))

    assert step == lanes.Step(tip(NOW), more=False, watermark=NOW)


def test_in_order_the_tip_follows_page_by_page() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    at = page(Lane.TIP, at, [NOW - 30 * MINUTE, NOW - 20 * MINUTE], "t1").checkpoint
    assert at.watermark == NOW - 20 * MINUTE
    at = page(Lane.TIP, at, [NOW - 20 * MINUTE, NOW - 10 * MINUTE], "t2").checkpoint
    assert at.watermark == NOW - 10 * MINUTE


def test_out_of_order_the_tip_stays_until_the_window_is_read() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    at = page(Lane.TIP, at, [NOW - 10 * MINUTE, NOW - 20 * MINUTE], "t1").checkpoint
    at = page(Lane.TIP, at, [NOW - 9 * MINUTE], "t2").checkpoint

    assert at.watermark == NOW - HOUR


def test_pages_out_of_order_hold_the_tip_and_cost_no_record_where_a_token_is_refused() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    begun = run_in(at).start

    at = page(Lane.TIP, at, [NOW - 40 * MINUTE, NOW - 30 * MINUTE], "t1").checkpoint
    at = page(Lane.TIP, at, [NOW - 50 * MINUTE, NOW - 20 * MINUTE], "t2").checkpoint
    at = page(Lane.TIP, at, [NOW - 10 * MINUTE], "t3").checkpoint

    assert at.watermark == NOW - 30 * MINUTE
    exc = lanes.expired(at, "anchor refused")
    assert exc.resume is not None
    assert run_in(exc.resume).start == begun
    assert page(Lane.TIP, exc.resume).watermark == NOW


def test_a_page_that_begins_at_the_last_moment_is_in_order() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    last = NOW - 30 * MINUTE + timedelta(microseconds=1500)

    at = page(Lane.TIP, at, [NOW - 40 * MINUTE, last], "t1").checkpoint
    at = page(Lane.TIP, at, [last - timedelta(microseconds=300), NOW - 20 * MINUTE], "t2").checkpoint

    assert at.watermark == NOW - 20 * MINUTE


def test_repeats_in_a_page_say_nothing_about_its_order() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    records = [record(NOW - 20 * MINUTE, "a"), record(NOW - 10 * MINUTE, "b"), record(NOW - 20 * MINUTE, "a")]

    run = lanes.note(run_in(at), [*records, record(None)], vendor())

    assert (run.ordered, run.last) == (True, NOW - 10 * MINUTE)


@pytest.mark.parametrize("stray", [NOW, NOW + DAY, NOW - 2 * HOUR])
def test_a_record_stamped_outside_of_the_window_moves_neither_watermark_nor_position(stray: datetime) -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    at = page(Lane.TIP, at, [NOW - 30 * MINUTE, stray], "t1").checkpoint
    assert at.watermark == lanes.resume_from(run_in(at)) == NOW - 30 * MINUTE
    at = page(Lane.TIP, at, [stray, NOW - 20 * MINUTE], "t2").checkpoint
    assert at.watermark == lanes.resume_from(run_in(at)) == NOW - 20 * MINUTE
    at = page(Lane.TIP, at, [stray]).checkpoint
    assert at.watermark == NOW


def test_the_smallest_vendor_time_of_the_run_bounds_the_watermark() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    at = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t1", vendor(NOW - 5 * MINUTE)).checkpoint
    step = page(Lane.TIP, at, [NOW - MINUTE], None, vendor(NOW + SECOND))

    assert step.watermark == NOW - 5 * MINUTE


def test_a_long_span_is_walked_in_windows_within_one_run() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - 90 * DAY), None, vendor(), RULES)
    spans = []
    more = True

    while more:
        run = run_in(at)
        spans.append((run.start, run.end))
        step = page(Lane.TIP, at, now=vendor(NOW + len(spans) * SECOND))
        at, more = step.checkpoint, step.more

    first = NOW - 90 * DAY - 30 * SECOND
    assert spans == [
        (first, first + 30 * DAY),
        (first + 30 * DAY, first + 60 * DAY),
        (first + 60 * DAY, first + 90 * DAY),
        (first + 90 * DAY, NOW),
    ]
    assert at.watermark == NOW


def test_a_goal_from_a_clock_far_ahead_is_given_up_once_the_clock_is_right() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(NOW + 365 * DAY, -365 * 86400.0), RULES)

    step = page(Lane.TIP, at, [NOW - MINUTE], now=vendor(NOW))

    assert (step.more, step.watermark) == (False, NOW - MINUTE)


# -- sweeps and jobs ------------------------------------------------------------------------------


def test_a_sweeps_watermark_becomes_its_begin_and_only_when_it_is_complete() -> None:
    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW - 40 * DAY), Window(NOW - 50 * DAY), vendor(), RULES)

    at = page(Lane.SWEEP, at, [NOW - 40 * DAY], "t1", vendor(NOW + SECOND)).checkpoint
    assert at.watermark == NOW - 40 * DAY
    at = page(Lane.SWEEP, at, [NOW - 39 * DAY], None, vendor(NOW + MINUTE)).checkpoint
    assert at.watermark == NOW - 40 * DAY
    step = page(Lane.SWEEP, at, [], None, vendor(NOW + HOUR))

    assert (step.watermark, step.more, step.checkpoint.run) == (NOW, False, None)


def test_sweeps_cover_whatever_becomes_visible_within_window_less_every_of_its_stamp() -> None:
    begins = [NOW, NOW + 5 * MINUTE, NOW + 3 * HOUR, NOW + 3 * HOUR + 5 * MINUTE]
    at, spans = Checkpoint(NOW - 5 * MINUTE), []
    for moment in begins:
        at = lanes.begin(Lane.SWEEP, at, Window(NOW - DAY), vendor(moment), RULES)
        spans.append((run_in(at).start, moment))
        at = page(Lane.SWEEP, at, [], None, vendor(moment + MINUTE)).checkpoint

    for minute in range(200):
        stamp = NOW + minute * MINUTE
        visible = stamp + 10 * MINUTE
        reads = [(start, begin) for start, begin in spans if begin >= visible]
        assert not reads or any(start <= stamp < begin for start, begin in reads)


def test_a_job_ends_at_its_windows_end_whatever_the_clocks_say() -> None:
    window = Window(NOW - 40 * DAY, NOW - 5 * DAY)
    at = lanes.begin(Lane.JOB, None, window, vendor(skew=3600.0), RULES)

    first = page(Lane.JOB, at, [], None, vendor(skew=3600.0))
    last = page(Lane.JOB, first.checkpoint, [], None, vendor(skew=3600.0))

    assert (first.more, first.checkpoint.watermark) == (True, NOW - 10 * DAY)
    assert (last.more, last.watermark, last.checkpoint.run) == (False, window.end, None)


# -- clocks in doubt ------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", [vendor(skew=31.0), vendor(skew=-660.0), vendor(known=False)])
def test_while_the_clocks_are_apart_the_tip_goes_no_further_than_the_newest_record(doubt: VendorTime) -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, doubt, RULES)

    step = page(Lane.TIP, at, [NOW - 20 * MINUTE, NOW - 10 * MINUTE], now=doubt)

    assert step.watermark == NOW - 10 * MINUTE


@pytest.mark.parametrize("lane", [Lane.TIP, Lane.SWEEP])
def test_while_the_clocks_are_apart_an_empty_run_moves_no_watermark_but_ends(lane: Lane) -> None:
    doubt = vendor(skew=100.0)
    at = lanes.begin(lane, tip(NOW - 50 * DAY), None, doubt, RULES)
    pages = 0
    more = True

    while more:
        step = page(lane, at, now=doubt)
        at, more, pages = step.checkpoint, step.more, pages + 1

    assert at.watermark == NOW - 50 * DAY
    assert pages == 2


def test_doubt_in_one_answer_lasts_for_the_run() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)

    at = page(Lane.TIP, at, [NOW - 30 * MINUTE], "t1", vendor(NOW + DAY, -86400.0)).checkpoint
    step = page(Lane.TIP, at, [NOW - 10 * MINUTE])

    assert step.watermark == NOW - 10 * MINUTE


def test_a_sweep_in_doubt_counts_from_its_newest_record() -> None:
    doubt = vendor(skew=100.0)
    at = lanes.begin(Lane.SWEEP, Checkpoint(NOW - HOUR), Window(NOW - DAY), doubt, RULES)

    step = page(Lane.SWEEP, at, [NOW - 20 * MINUTE, NOW - 50 * MINUTE], now=doubt)

    assert step.watermark == NOW - 20 * MINUTE


def test_no_watermark_ever_goes_back() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - SECOND), None, vendor(), RULES)

    step = page(Lane.TIP, at, [NOW - 20 * SECOND], now=vendor(NOW - 40 * DAY, 40 * 86400.0))

    assert step.watermark == NOW - SECOND


# -- vendors that serve in no order ---------------------------------------------------------------


def test_nothing_follows_from_an_order_that_is_not_promised() -> None:
    rules = replace(RULES, unordered=True)
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), rules)

    at = page(Lane.TIP, at, [NOW - 30 * MINUTE, NOW - 20 * MINUTE], "t1").checkpoint

    assert at.watermark == NOW - HOUR
    assert lanes.resume_from(run_in(at)) == run_in(at).start


def test_the_last_window_may_reach_beyond_vendor_time_and_no_watermark_follows() -> None:
    rules = replace(RULES, reach=365 * DAY)
    for lane, watermark in ((Lane.TIP, NOW), (Lane.SWEEP, NOW)):
        at = lanes.begin(lane, tip(NOW - HOUR), Window(NOW - DAY), vendor(), rules)
        assert run_in(at).end == NOW + 365 * DAY

        step = lanes.finish_window(lane, at, run_in(at), vendor(), rules)

        assert (step.more, step.watermark) == (False, watermark)


def test_a_job_never_reaches_beyond_its_window() -> None:
    rules = replace(RULES, reach=365 * DAY)

    at = lanes.begin(Lane.JOB, None, Window(NOW - DAY, NOW - HOUR), vendor(), rules)

    assert run_in(at).end == NOW - HOUR


def test_what_lies_beyond_vendor_time_is_a_window_of_its_own_after_narrow_ones() -> None:
    rules = replace(RULES, reach=365 * DAY)
    at = lanes.begin(Lane.SWEEP, tip(NOW - HOUR), Window(NOW - DAY), vendor(), rules)
    run = msgspec.structs.replace(run_in(at), end=NOW)

    step = lanes.finish_window(Lane.SWEEP, at, run, vendor(), rules)

    assert step.more
    assert (run_in(step.checkpoint).start, run_in(step.checkpoint).end) == (NOW, NOW + 365 * DAY)


def test_a_tip_may_be_told_to_begin_earlier_but_not_before_the_feed() -> None:
    at = lanes.begin(Lane.TIP, Checkpoint(NOW, state=TIP_STATE), None, vendor(), RULES, NOW - 2 * HOUR)
    bounded = lanes.begin(Lane.TIP, Checkpoint(NOW, state=TIP_STATE), None, vendor(), RULES, NOW - 9 * DAY)

    assert run_in(at).start == NOW - 2 * HOUR
    assert run_in(bounded).start == NOW - DAY
