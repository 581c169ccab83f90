from __future__ import annotations

from collections import Counter

import pytest

from collector.model import Lane
from collector.policy import Policy
from collector.turns import Call, Caller, Turn

MAX_AGE = 600.0


class Bench:
    """A policy, and feeds by name; turns are given once a second unless a test says otherwise."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.names: dict[Caller, str] = {}
        self.now = 0.0

    def feed(self, name: str, *, asked: float | None = None, events: int = 0, behind: bool = False) -> Caller:
        caller = Caller(MAX_AGE)
        self.names[caller] = name
        self.policy.join(caller)
        if asked is not None:
            caller.ask(asked - 60.0)
            caller.gave(0, asked - 60.0, more=False)
            caller.ask(asked)
            caller.gave(events, asked, more=behind)
        return caller

    def wait(self, caller: Caller | None, lane: Lane = Lane.TIP, *, begun: bool = False, again: bool = False) -> Turn:
        turn = Turn(lane, None if caller is None else Call(caller, 2 if begun else 0), again)
        self.policy.add(turn)
        return turn

    def give(self, seconds: float = 1.0) -> str:
        self.now += seconds
        turn = self.policy.next(self.now)
        if turn is None:
            return ""
        name = self.names[turn.call.caller] if turn.call else "nobody"
        return f"{name} {turn.lane}" if turn.lane is not Lane.TIP else name

    def all(self) -> list[str]:
        given = []
        while name := self.give():
            given.append(name)
        return given


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_where_nobody_waits_nobody_gets_a_turn(bench: Bench) -> None:
    assert bench.give() == ""
    assert bench.policy.waiting == {Lane.TIP: 0, Lane.SWEEP: 0, Lane.JOB: 0}


def test_who_spent_a_turn_on_a_login_is_first_then_feeds_never_asked_then_the_rest(bench: Bench) -> None:
    bench.now = 500.0
    bench.wait(bench.feed("behind", asked=400.0, behind=True))
    bench.wait(bench.feed("busy", asked=400.0, events=100))
    bench.wait(bench.feed("begun", asked=400.0), begun=True)
    bench.wait(bench.feed("new"))
    bench.wait(bench.feed("newer"))
    bench.wait(bench.feed("logged in"), again=True)

    assert bench.all()[:4] == ["logged in", "new", "newer", "begun"]


def test_a_feed_is_read_at_once_after_its_first_login(bench: Bench) -> None:
    """Else a thousand feeds would log in before the first of them is read."""
    first = bench.feed("first")
    call = Call(first)
    bench.policy.add(Turn(Lane.TIP, call))
    for number in range(3):
        bench.wait(bench.feed(f"new {number}"))
    given = [bench.give()]
    for _ in range(2):
        bench.policy.add(Turn(Lane.TIP, call))
        given.append(bench.give())

    assert given == ["first", "first", "new 0"]


def test_a_feed_never_asked_goes_before_the_sweeps_and_jobs_of_others(bench: Bench) -> None:
    old = bench.feed("old", asked=0.0)
    for _ in range(50):
        bench.wait(old, Lane.SWEEP)
        bench.wait(old, Lane.JOB)
    for number in range(30):
        bench.wait(bench.feed(f"new {number}"))

    assert bench.all()[:30] == [f"new {number}" for number in range(30)]


def test_of_feeds_that_are_equally_old_the_busier_goes_first(bench: Bench) -> None:
    bench.now = 100.0
    for name, events in (("quiet", 0), ("busy", 100), ("some", 10)):
        bench.wait(bench.feed(name, asked=40.0, events=events))

    assert bench.all() == ["busy", "some", "quiet"]


def test_of_feeds_that_are_equally_busy_the_older_goes_first(bench: Bench) -> None:
    bench.now = 400.0
    for name, asked in (("old", 200.0), ("oldest", 100.0), ("young", 300.0)):
        bench.wait(bench.feed(name, asked=asked))

    assert bench.all() == ["oldest", "old", "young"]


def test_a_feed_that_just_delivered_goes_before_a_quiet_one_that_waits_somewhat_longer(bench: Bench) -> None:
    bench.now = 200.0
    bench.wait(bench.feed("quiet", asked=60.0))
    bench.wait(bench.feed("delivered", asked=130.0, events=20))

    assert bench.all() == ["delivered", "quiet"]


def test_backlogs_and_feeds_with_news_get_turns_by_turns_and_quiet_feeds_wait(bench: Bench) -> None:
    bench.now = 200.0
    busy = [bench.feed(f"busy {n}", asked=100.0, events=100) for n in range(3)]
    for caller in [*busy, bench.feed("quiet", asked=100.0)]:
        bench.wait(caller)
    for number in range(6):
        bench.wait(bench.feed(f"behind {number}", asked=200.0, behind=True))

    given = bench.all()
    kinds = [name.split()[0] for name in given]

    assert kinds[:6] == ["behind", "busy"] * 3
    assert kinds[6:] == ["behind", "behind", "behind", "quiet"]
    assert [name for name in given if name.startswith("behind")] == [f"behind {n}" for n in range(6)]


def test_a_feed_is_asked_by_its_age_however_much_others_have(bench: Bench) -> None:
    """The oldest of many quiet ones waits while two never stop: until the age it may have, not longer."""
    quiet = {bench.feed(f"quiet {n}", asked=0.0): n for n in range(60)}
    for caller in quiet:
        bench.wait(caller)
    busy = [bench.feed(f"busy {n}", asked=0.0, behind=True) for n in range(2)]
    for caller in busy:
        bench.wait(caller)
    last = dict.fromkeys(quiet, 0.0)
    for _ in range(3000):
        bench.now += 1.0
        turn = bench.policy.next(bench.now)
        assert turn is not None
        assert turn.call is not None
        caller = turn.call.caller
        caller.gave(200 if caller in busy else 0, bench.now, more=caller in busy)
        if caller in quiet:
            assert bench.now - last[caller] <= MAX_AGE
            last[caller] = bench.now
        bench.wait(caller)

    assert min(last.values()) >= 3000 - MAX_AGE


def test_the_rest_of_a_fetch_does_not_hold_up_the_others_for_ever(bench: Bench) -> None:
    bench.now = 1000.0
    long = bench.feed("long", asked=990.0)
    others = [bench.feed(f"other {n}", asked=900.0) for n in range(40)]
    for caller in others:
        bench.wait(caller)
    given = Counter[str]()
    for _ in range(100):
        bench.wait(long, begun=True)
        given[bench.give()[:5]] += 1

    assert given["long"] >= 60
    assert given["other"] >= 12


def test_the_oldest_feeds_get_no_more_turns_than_their_age_needs(bench: Bench) -> None:
    bench.now = 100.0
    for number in range(108):
        bench.wait(bench.feed(f"quiet {number}", asked=0.0))
    behind = bench.feed("behind", asked=0.0, behind=True)
    given = Counter[str]()
    for _ in range(100):
        bench.wait(behind)
        name = bench.give()[:6]
        given[name] += 1
        behind.gave(200, bench.now, more=True)

    assert 15 <= given["quiet "] <= 25  # 109 feeds within 540 seconds


def test_the_oldest_feed_waits_for_few_turns_of_fetches_that_have_begun(bench: Bench) -> None:
    bench.now = 1000.0
    long = bench.feed("long", asked=990.0)
    for number in range(300):
        bench.wait(bench.feed(f"other {number}", asked=900.0))
    given = []
    for _ in range(100):
        bench.wait(long, begun=True)
        given.append(bench.give()[:5])

    assert given.count("other") >= 24


def test_where_the_budget_is_too_small_for_every_age_backlogs_still_get_on(bench: Bench) -> None:
    quiet = [bench.feed(f"quiet {n}", asked=0.0) for n in range(2000)]
    behind = bench.feed("behind", asked=0.0, behind=True)
    for caller in [*quiet, behind]:
        bench.wait(caller)
    given = Counter[str]()
    for _ in range(400):
        name = bench.give()[:6]
        given[name] += 1
        if name == "behind":
            behind.gave(200, bench.now, more=True)
            bench.wait(behind)

    assert given["behind"] >= 45
    assert given["quiet "] >= 300


def test_sweeps_get_a_fifth_and_jobs_a_twentieth_of_a_busy_budget(bench: Bench) -> None:
    caller = bench.feed("feed", asked=0.0)
    given = Counter[str]()
    for lane in Lane:
        bench.wait(caller, lane)
    for _ in range(1000):
        given[name := bench.give()] += 1
        lane = Lane(name.split()[1]) if " " in name else Lane.TIP
        bench.wait(caller, lane)

    assert given["feed sweep"] >= 199
    assert given["feed job"] >= 40
    assert given["feed"] >= 700


def test_a_sweeps_fetch_that_has_begun_goes_before_other_sweeps_but_not_for_ever(bench: Bench) -> None:
    caller = bench.feed("feed", asked=0.0)
    first = [bench.wait(caller, Lane.SWEEP) for _ in range(10)]
    for _ in range(20):
        bench.wait(caller, Lane.SWEEP, begun=True)
    order = [turn for _ in range(8) if (turn := bench.policy.next(0.0)) is not None]

    assert [turn in first for turn in order] == [False, False, False, True] * 2
    assert [turn for turn in order if turn in first] == first[:2]


def test_turns_of_nobody_are_given_in_the_order_they_came(bench: Bench) -> None:
    turns = [bench.wait(None) for _ in range(5)]

    assert [bench.policy.next(0.0) for _ in range(6)] == [*turns, None]


def test_a_turn_nobody_needs_any_more_is_not_given(bench: Bench) -> None:
    first, second = bench.wait(bench.feed("first")), bench.wait(bench.feed("second"))
    bench.policy.discard(first)
    bench.policy.discard(first)

    assert bench.policy.waiting[Lane.TIP] == 1
    assert bench.policy.next(0.0) is second


def test_feeds_that_left_are_not_counted_by_their_age_any_more(bench: Bench) -> None:
    callers = [bench.feed(f"feed {n}") for n in range(6000)]
    for caller in callers[1:]:
        bench.policy.leave(caller)
    behind = bench.feed("behind", asked=0.0, behind=True)
    bench.wait(bench.feed("quiet", asked=-30.0))
    given = []
    for _ in range(5):
        bench.wait(behind)
        given.append(bench.give())
        behind.gave(200, bench.now, more=True)

    assert given == ["behind"] * 5


def test_feeds_that_left_do_not_count_for_how_many_turns_their_age_takes() -> None:
    policy, callers = Policy(), [Caller(600.0), Caller(60.0), Caller(60.0)]
    for caller in callers:
        policy.join(caller)
        policy.join(caller)
    all_of_them = policy._aging_rate
    for caller in callers[1:]:
        policy.leave(caller)
        policy.leave(caller)

    assert all_of_them == pytest.approx(1 / 540 + 2 / 54)
    assert policy._aging_rate == pytest.approx(1 / 540)
    policy.leave(callers[0])
    assert policy._aging_rate == 0.0
