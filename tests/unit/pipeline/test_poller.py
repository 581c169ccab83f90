from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from collector.errors import (
    CheckpointExpired,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
    StoreFull,
)
from collector.metrics import METRICS
from collector.model import Checkpoint, Lane, Page, Record, Window
from collector.pipeline.asking import Asking, Intervals
from collector.pipeline.gate import Gate
from collector.pipeline.poller import Poller, _covered
from collector.pipeline.status import FeedStatus
from collector.room import Room
from collector.store import Position
from collector.testing import FakeClock, ScriptedSource, make_record
from collector.testing.clock import START
from collector.timestamps import format_utc
from collector.turns import Call, Caller, current_call
from tests.unit.pipeline.workbench import ACME, FullStore, Workbench, quiet, until

MINUTE, FIVE = timedelta(minutes=1), timedelta(minutes=5)
BEGUN = {"beginning": format_utc(START - timedelta(hours=24)), "started": format_utc(START)}


def checkpoint(number: int = 0, run: dict[str, Any] | None = None) -> Checkpoint:
    return Checkpoint(START + timedelta(seconds=number), run, BEGUN)


def page(*numbers: int, more: bool = False, **changes: Any) -> Page:
    """A page of these records whose checkpoint tells it from others."""
    after = changes.pop("checkpoint", checkpoint(max(numbers, default=0)))
    return Page([make_record(number) for number in numbers], after, more=more, fetched_at=START, **changes)


class Feed:
    """One poller with all it needs."""

    def __init__(self, bench: Workbench, clock: FakeClock) -> None:
        self.bench = bench
        self.clock = clock
        self.source = ScriptedSource()
        self.gate = Gate()
        self.status = FeedStatus(ACME)
        self.intervals = Intervals(MINUTE, FIVE)
        self.room = Room(1 << 20)
        self.asking = Asking(Caller(600.0), self.room)
        self.store = FullStore(bench.store)

    def poller(self) -> Poller:
        return Poller(
            ACME,
            self.source,
            self.store,  # type: ignore[arg-type]  # stands in for the store
            self.gate,
            self.clock,
            self.intervals,
            self.asking,
            self.status,
        )

    def run_tip(self, poller: Poller) -> asyncio.Task[None]:
        """Round after round, as a timetable has them."""

        async def rounds() -> None:
            if poller.tip_delay:
                await self.clock.sleep(poller.tip_delay)
            while True:
                await self.clock.sleep(await poller.tip())

        return self.bench.run(rounds())

    def run_sweep(self, poller: Poller) -> asyncio.Task[None]:
        """The same, from when the poller says that it may begin."""
        started = asyncio.Event()
        poller.on_started = started.set

        async def rounds() -> None:
            await started.wait()
            while True:
                if wait := await poller.sweep():
                    await self.clock.sleep(wait)

        return self.bench.run(rounds())

    def calls(self, lane: Lane = Lane.TIP) -> list[Checkpoint | None]:
        return [call.after for call in self.source.calls if call.lane is lane]

    async def stored(self) -> list[str]:
        chunk = await self.bench.store.read(Position(1), [ACME], 1 << 20)
        return [record.id for stored in chunk.pages for record in stored.records]

    async def checkpoint(self, lane: Lane = Lane.TIP) -> Checkpoint | None:
        return await self.bench.store.checkpoint(ACME, lane)


@pytest.fixture
def feed(bench: Workbench, slow_clock: FakeClock) -> Feed:
    return Feed(bench, slow_clock)


async def pass_time(feed: Feed, seconds: float, until_: Callable[[], object] = lambda: True) -> None:
    """Let so much time pass, and what happens then come to its end."""
    await quiet(8)
    await feed.clock.advance(seconds)
    await quiet(8)
    await until(until_)


def shown(feed: Feed) -> str:
    return feed.status.state


async def test_page_and_checkpoint_are_stored_together_and_the_next_fetch_begins_there(feed: Feed) -> None:
    feed.source.script(page(1, 2, more=True), page(3))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert await feed.stored() == ["event-1", "event-2", "event-3"]
    assert feed.calls() == [None, checkpoint(2)]
    assert await feed.checkpoint() == checkpoint(3)
    assert (feed.status.state, feed.status.events) == ("ok", 3)


async def test_page_that_is_not_stored_is_asked_for_again(feed: Feed) -> None:
    feed.source.script(*[page(1)] * 20)
    feed.store.full.add("commit_page")
    feed.run_tip(feed.poller())
    await until(lambda: feed.store.refused)
    while len(feed.store.refused) < 3:
        await pass_time(feed, 1)

    assert await feed.checkpoint() is None
    feed.store.full.clear()
    while not feed.status.caught_up:
        await pass_time(feed, 1)
    assert feed.calls() == [None] * 4
    assert await feed.stored() == ["event-1"]


async def test_refused_page_is_tried_again_and_does_not_move_the_checkpoint(feed: Feed) -> None:
    unstorable = Page([Record("\ud800", 0, None, b"{}")], checkpoint(5), more=False, fetched_at=START)
    feed.source.script(unstorable, page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.errors)
    assert feed.status.state == "backing_off"
    await pass_time(feed, 5, lambda: feed.status.caught_up)

    assert feed.calls() == [None, None]
    assert await feed.stored() == ["event-1"]


async def test_restart_goes_on_from_the_stored_checkpoint(feed: Feed) -> None:
    feed.source.script(page(1))
    task = feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)
    task.cancel()
    await asyncio.wait([task])
    feed.run_tip(feed.poller())
    await until(lambda: len(feed.source.calls) == 2)

    assert feed.calls() == [None, checkpoint(1)]


async def test_polls_begin_at_the_interval_whatever_the_poll_took(feed: Feed) -> None:
    class Slow(ScriptedSource):
        async def fetch(self, *args: Any) -> Page:
            answer = await super().fetch(*args)
            await feed.clock.sleep(20)
            return answer

    feed.source = Slow()
    feed.run_tip(feed.poller())
    await until(lambda: feed.source.calls)
    await pass_time(feed, 20)
    await pass_time(feed, 39)
    assert len(feed.source.calls) == 1
    await pass_time(feed, 1, lambda: len(feed.source.calls) == 2)


async def test_failures_back_off_with_growing_waits_and_end_with_a_good_poll(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(*[SourceUnavailable("503")] * 12, page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)
    waits = feed.clock.slept[:12]

    assert waits[0] <= 2.0
    assert 150.0 <= waits[-1] <= 300.0
    assert feed.status.consecutive_errors == 0
    assert feed.status.errors == 12


async def test_vendors_wish_to_wait_is_honoured(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(SourceUnavailable("429", retry_after=0.5, throttled=True), SourceUnavailable("503", 120.0))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert feed.clock.slept[:2] == [1.0, 120.0]


async def test_a_vendor_that_wishes_for_no_wait_again_and_again_is_not_hammered(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(*[SourceUnavailable("429", 0.0, throttled=True)] * 9, page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)
    waits = feed.clock.slept[:9]

    assert waits[0] == 1.0
    assert waits[1] >= 2.0
    assert waits[8] >= 150.0


async def test_denied_feed_is_retried_slowly_and_visible(feed: Feed) -> None:
    feed.source.script(*[SourceDenied("wrong client secret")] * 8)
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.errors)
    assert (feed.status.state, feed.status.last_error) == ("denied", "wrong client secret")
    for errors in range(2, 9):
        await pass_time(feed, 900, lambda errors=errors: feed.status.errors >= errors)  # type: ignore[misc]

    waits = feed.clock.slept[:8]
    assert waits[0] >= 30.0
    assert 450.0 <= waits[-1] <= 900.0


@pytest.mark.parametrize(("denials", "state"), [(1, "ok"), (99, "backing_off")], ids=["ends", "lasts"])
async def test_denied_lane_asks_again_once_the_other_gets_an_answer_but_not_at_each(
    feed: Feed, denials: int, state: str
) -> None:
    feed.source.script(*[SourceDenied("no licence")] * denials)
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    poller = feed.poller()
    feed.run_tip(poller)
    await until(lambda: feed.status.denied)
    await quiet(8)
    assert len(feed.calls()) == 1

    for _ in range(4):
        await poller._step(Lane.SWEEP)
        await quiet(8)

    assert len(feed.calls()) == 2
    assert feed.status.state == state


async def test_refused_token_drops_the_run_and_never_the_watermark(feed: Feed) -> None:
    in_run = checkpoint(7, {"token": "abc"})
    feed.source.script(page(1, more=True, checkpoint=in_run), CheckpointExpired("token refused"), page(2))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert feed.calls() == [None, in_run, checkpoint(7)]
    assert await feed.stored() == ["event-1", "event-2"]


async def test_token_refused_again_and_again_backs_off_even_while_the_other_lane_is_well(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    poller = feed.poller()
    expired = CheckpointExpired("token refused")
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    waits = []
    for _ in range(4):
        waits.append(poller._wait_after(Lane.TIP, expired))
        await poller._step(Lane.SWEEP)

    assert waits[:2] == [0.0, 0.0]
    assert waits[3] > 0


async def test_lane_whose_tokens_die_without_getting_on_backs_off_although_pages_between_are_good(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    anew = checkpoint(1, {"start": 1})
    for _ in range(8):
        feed.source.script(page(1, more=True, checkpoint=checkpoint(1, {"token": "abc"})))
        feed.source.script(CheckpointExpired("no", anew))
    feed.source.script(page(2))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert feed.clock.slept[:2] == [0.0, 0.0]
    assert feed.clock.slept[7] >= 16.0


async def test_lane_whose_tokens_die_but_that_gets_on_goes_on_at_once_from_where_it_was(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    for number in range(1, 9):
        feed.source.script(page(number, more=True, checkpoint=checkpoint(number, {"token": "abc"})))
        feed.source.script(CheckpointExpired("no", checkpoint(number, {"start": number}), got_on=True))
    feed.source.script(page(9))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert feed.clock.slept[:8] == [0.0] * 8
    assert checkpoint(8, {"start": 8}) in feed.calls()


async def test_the_first_refusals_of_a_token_are_followed_at_once(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(*[CheckpointExpired("no")] * 4, page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert feed.clock.slept[:2] == [0.0, 0.0]
    assert all(wait >= 1.0 for wait in feed.clock.slept[2:4])


async def test_full_volume_while_dropping_a_run_is_tried_again(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    in_run = checkpoint(7, {"token": "abc"})
    feed.source.script(page(1, more=True, checkpoint=in_run), *[CheckpointExpired("no")] * 3, page(2))
    feed.store.full.add("set_checkpoint")
    feed.run_tip(feed.poller())
    await until(lambda: len(feed.store.refused) >= 2)
    feed.store.full.clear()
    await until(lambda: feed.status.caught_up)

    assert feed.calls()[:3] == [None, in_run, in_run]


async def test_lane_that_is_to_be_asked_later_is_asked_then(feed: Feed) -> None:
    feed.source.script(page(more=True, retry_after=25.0), page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.last_success)
    await pass_time(feed, 24)
    assert len(feed.source.calls) == 1
    await pass_time(feed, 1, lambda: feed.status.caught_up)

    assert len(feed.source.calls) == 2


async def test_closed_gate_pauses_the_feed_visibly_before_the_next_fetch(feed: Feed) -> None:
    feed.gate.close("log full", {})
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.paused)
    await quiet(5)
    assert feed.source.calls == []
    assert shown(feed) == "paused"

    feed.gate.close(None, {})
    await until(lambda: feed.status.caught_up)
    assert shown(feed) == "ok"


async def test_gate_is_passed_before_every_page(feed: Feed) -> None:
    feed.source.script(page(1, more=True), page(2))
    feed.store.full.add("commit_page")
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.errors)
    feed.gate.close(None, {ACME: "backlog"})
    feed.store.full.clear()
    await pass_time(feed, 10)

    assert len(feed.source.calls) == 1


# -- the sweep ------------------------------------------------------------------------------------


async def test_first_sweep_begins_one_interval_after_the_first_start_and_from_there(feed: Feed) -> None:
    feed.source.script(page(1))
    poller = feed.poller()
    feed.run_sweep(poller)
    await quiet(5)
    assert feed.clock.sleepers == 0
    feed.run_tip(poller)
    await until(lambda: feed.status.caught_up)
    await pass_time(feed, 299)
    assert feed.calls(Lane.SWEEP) == []
    await pass_time(feed, 1, lambda: feed.calls(Lane.SWEEP))

    sweep = next(call for call in feed.source.calls if call.lane is Lane.SWEEP)
    assert sweep.after == Checkpoint(START)
    assert sweep.window == Window(START - timedelta(hours=24))


async def test_restart_does_not_put_off_the_first_sweep(feed: Feed) -> None:
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    await feed.clock.advance(200)
    poller = feed.poller()
    feed.run_sweep(poller)
    feed.run_tip(poller)
    await until(lambda: feed.status.caught_up)
    await pass_time(feed, 100, lambda: feed.calls(Lane.SWEEP))


@pytest.mark.parametrize("jump", [timedelta(days=-365), timedelta(days=365)])
async def test_wrong_clock_neither_skips_nor_stalls_the_first_sweep(feed: Feed, jump: timedelta) -> None:
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    feed.clock.jump(jump)
    poller = feed.poller()
    feed.run_sweep(poller)
    feed.run_tip(poller)
    await until(lambda: feed.status.caught_up)
    await pass_time(feed, 300, lambda: feed.calls(Lane.SWEEP))


async def test_sweep_goes_on_from_its_own_checkpoint_and_begins_anew_at_its_interval(feed: Feed) -> None:
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    await feed.bench.store.set_checkpoint(ACME, Lane.SWEEP, Checkpoint(START, {"token": "x"}))
    feed.source.script(page(1, more=True, checkpoint=Checkpoint(START)), page(2), lane=Lane.SWEEP)
    poller = feed.poller()
    feed.run_sweep(poller)
    feed.run_tip(poller)
    await until(lambda: feed.status.swept)
    assert len(feed.calls(Lane.SWEEP)) == 2
    assert feed.calls(Lane.SWEEP)[0] == Checkpoint(START, {"token": "x"})

    await pass_time(feed, 299)
    assert len(feed.calls(Lane.SWEEP)) == 2
    await pass_time(feed, 1, lambda: len(feed.calls(Lane.SWEEP)) == 3)


async def test_refused_token_of_the_first_sweep_begins_it_again(feed: Feed) -> None:
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, checkpoint(1))
    feed.source.script(CheckpointExpired("no"), lane=Lane.SWEEP)
    poller = feed.poller()
    feed.run_sweep(poller)
    feed.run_tip(poller)
    await until(lambda: feed.status.caught_up)
    await pass_time(feed, 300, lambda: len(feed.calls(Lane.SWEEP)) == 2)

    assert feed.calls(Lane.SWEEP) == [Checkpoint(START)] * 2


@pytest.mark.parametrize("state", [{}, {"started": 5, "beginning": None}, {"started": "soon", "beginning": "then"}])
async def test_tip_that_does_not_say_when_it_began_makes_the_sweep_fail_visibly(
    feed: Feed, state: dict[str, Any]
) -> None:
    await feed.bench.store.set_checkpoint(ACME, Lane.TIP, Checkpoint(START, None, state))
    poller = feed.poller()
    feed.run_sweep(poller)
    feed.run_tip(poller)
    await until(lambda: feed.status.errors)

    assert "does not say when the feed began" in str(feed.status.last_error)


# -- once -----------------------------------------------------------------------------------------


async def test_once_reads_both_lanes_to_their_end(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(page(1, more=True), page(2, more=False, retry_after=3.0), page(3))
    feed.source.script(page(4), lane=Lane.SWEEP)
    await feed.poller().once()

    assert await feed.stored() == ["event-1", "event-2", "event-3", "event-4"]
    assert feed.clock.slept == [3.0]
    assert feed.status.caught_up
    assert feed.status.swept


async def test_once_forgives_a_few_failures_and_a_refused_token(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    in_run = checkpoint(7, {"token": "abc"})
    feed.source.script(
        SourceUnavailable("503"), page(1, more=True, checkpoint=in_run), CheckpointExpired("no"), page(2)
    )
    await feed.poller().once()

    assert feed.calls() == [None, None, in_run, checkpoint(7)]


async def test_once_gives_up_after_six_failures_in_a_row(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(*[SourceUnavailable("503")] * 9)

    with pytest.raises(SourceUnavailable):
        await feed.poller().once()
    assert len(feed.source.calls) == 6


async def test_once_gives_up_where_a_part_of_the_feed_fails_and_the_rest_has_nothing_new(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(page(1, more=True))
    for _ in range(20):
        feed.source.script(SourceUnavailable("503"), page(more=True, checkpoint=checkpoint(1)))

    with pytest.raises(SourceUnavailable):
        await feed.poller().once()
    assert len(feed.source.calls) == 12


async def test_once_ends_where_tokens_die_without_getting_on(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    for _ in range(20):
        feed.source.script(page(1, more=True, checkpoint=checkpoint(1, {"token": "abc"})), CheckpointExpired("no"))

    with pytest.raises(CheckpointExpired):
        await feed.poller().once()
    assert len(feed.source.calls) == 12


async def test_once_ends_where_pages_stay_empty(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(*[page(more=True)] * 600)

    with pytest.raises(SourceUnavailable, match="500 pages in a row"):
        await feed.poller().once()


@pytest.mark.parametrize("failure", [SourceDenied("no licence"), SourceProtocolError("no JSON")])
async def test_once_gives_up_at_once_where_waiting_does_not_help(feed: Feed, failure: SourceError) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.source.script(failure)

    with pytest.raises(type(failure)):
        await feed.poller().once()
    assert feed.status.last_error == str(failure)


@pytest.mark.parametrize("verb", ["commit_page"])
async def test_once_does_not_wait_for_room(feed: Feed, verb: str) -> None:
    feed.store.full.add(verb)
    with pytest.raises(StoreFull):
        await feed.poller().once()


async def test_once_does_not_wait_for_ever_for_a_backlog_to_shrink(feed: Feed) -> None:
    feed.clock = FakeClock(hurry=True)
    feed.gate.close(None, {ACME: "backlog of sink archive"})
    with pytest.raises(StoreFull, match="backlog of sink archive"):
        await feed.poller().once()

    assert sum(feed.clock.slept) == 60
    assert feed.source.calls == []


async def test_once_waits_a_while_for_a_backlog_to_shrink(feed: Feed) -> None:
    feed.gate.close(None, {ACME: "backlog of sink archive"})
    task = feed.bench.run(feed.poller().once())
    await pass_time(feed, 30)
    feed.gate.close(None, {})
    await pass_time(feed, 1, task.done)

    assert feed.status.caught_up


async def test_feeds_do_not_begin_or_go_on_together(feed: Feed) -> None:
    feed.intervals = Intervals(MINUTE, FIVE, tip_delay=7.0, first=0.75)
    feed.run_tip(feed.poller())
    await pass_time(feed, 6.9)
    assert feed.source.calls == []
    await pass_time(feed, 0.1, lambda: feed.status.caught_up)
    await pass_time(feed, 45, lambda: len(feed.source.calls) == 2)
    await pass_time(feed, 60, lambda: len(feed.source.calls) == 3)
    await until(lambda: len(feed.clock.slept) == 4)

    assert feed.clock.slept == [7.0, 45.0, 60.0, 60.0]


async def test_sweeps_do_not_begin_together(feed: Feed) -> None:
    feed.intervals = Intervals(MINUTE, FIVE, sweep_delay=9.0, first=0.75)
    waits = []
    for wait in (0.75 * 300, 9.0):
        poller = feed.poller()
        tasks = [feed.run_sweep(poller), feed.run_tip(poller)]
        await until(lambda: len(feed.clock.slept) == 2)
        waits.append(next(slept for slept in feed.clock.slept if slept != 45.0))
        await pass_time(feed, wait, lambda: feed.calls(Lane.SWEEP))
        await quiet()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        feed.clock.slept.clear()

    assert waits == [pytest.approx(225.0, abs=0.1), 9.0]


async def test_turns_are_taken_in_the_feeds_name_and_its_bytes_count_until_they_are_stored(feed: Feed) -> None:
    seen: list[tuple[Call | None, int]] = []
    commit: Any = feed.bench.store.commit_page

    class Watched(ScriptedSource):
        async def fetch(self, feed_: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
            await feed.room.grow("answer", 700)
            feed.room.release("answer")
            seen.append((current_call(), feed.room.held))
            return await super().fetch(feed_, lane, after, window)

    async def committing(*args: Any) -> Any:
        seen.append((current_call(), feed.room.held))
        return await commit(*args)

    feed.source = Watched()
    setattr(feed.store, "commit_page", committing)  # noqa: B010 -- stands in for the store's
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)

    assert [(call and call.caller, held) for call, held in seen] == [(feed.asking.caller, 700)] * 2
    assert feed.room.held == 0


async def test_time_between_two_polls_is_measured_and_shown(feed: Feed) -> None:
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)
    before = feed.status.interval_seconds
    await pass_time(feed, 60, lambda: len(feed.source.calls) == 2)
    await until(lambda: feed.status.interval_seconds)

    assert before is None
    labels = {"tenant": ACME.tenant, "source": ACME.source, "feed": ACME.feed}
    assert feed.status.interval_seconds == 60.0
    assert METRICS.registry.get_sample_value("edr_collector_feed_interval_seconds", labels) == 60.0


async def test_how_much_came_up_in_how_long_is_told_to_who_gives_turns(feed: Feed) -> None:
    backlog = checkpoint(0, {"token": "abc"})
    feed.source.script(page(*range(90), more=True, checkpoint=backlog), page(*range(90, 180)))
    caller, fresh = feed.asking.caller, Caller(600.0)
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.caught_up)
    fresh.gave(180, 0.0, more=False, covered=86400.0)

    assert caller.behind is False
    assert caller.weight == pytest.approx(fresh.weight, rel=0.01)


@pytest.mark.parametrize(
    ("after", "to", "seconds"),
    [
        (None, checkpoint(60), 86460.0),
        (None, Checkpoint(START, None, {}), 0.0),
        (Checkpoint(START), checkpoint(60), 60.0),
        (checkpoint(60), checkpoint(0), 0.0),
        (checkpoint(60), Checkpoint(None, {"token": "abc"}), 0.0),
    ],
    ids=["first", "no-beginning", "later", "back", "no-watermark"],
)
def test_vendors_time_a_page_brings_the_tip_on(after: Checkpoint | None, to: Checkpoint, seconds: float) -> None:
    assert _covered(after, page(checkpoint=to)) == seconds


async def test_who_gives_turns_is_told_of_a_feed_that_fails_until_it_is_well(feed: Feed) -> None:
    feed.source.script(SourceUnavailable("503"), SourceDenied("no"), CheckpointExpired("old"), page(1))
    feed.run_tip(feed.poller())
    await until(lambda: feed.status.errors)
    failures = [feed.asking.caller.failures]
    await pass_time(feed, 10, lambda: feed.status.errors == 2)
    failures.append(feed.asking.caller.failures)
    await pass_time(feed, 900, lambda: feed.status.caught_up)

    assert failures == [1, 2]
    assert feed.asking.caller.failures == 0
