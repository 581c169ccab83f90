from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import structlog

from collector.metrics import METRICS
from collector.model import StreamId
from collector.pipeline.backlogs import Backlogs, Claim
from collector.pipeline.status import SinkStatus
from collector.store import Backlog, Position
from collector.testing import FakeClock
from collector.testing.clock import START
from tests.unit.pipeline.workbench import ACME, BEGIN, BETA, Workbench

MANY = 1 << 40


@dataclass
class Sink:
    """A delivery loop as the janitor sees it."""

    status: SinkStatus
    bench: Workbench
    position: Position = BEGIN
    takes: Sequence[StreamId] = (ACME, BETA)
    skipped_to: list[Position] = field(default_factory=list)
    busy: bool = False

    @property
    def idle(self) -> bool:
        return self.position >= self.bench.log.end

    @property
    def holds(self) -> Position:
        return self.position

    @property
    def skipping(self) -> bool:
        return self.busy

    def streams(self) -> Sequence[StreamId]:
        return self.takes

    def skip(self, position: Position) -> None:
        self.skipped_to.append(position)


@pytest.fixture(autouse=True)
def no_metrics_left() -> Iterator[None]:
    yield
    for name in ["archive", *(f"sink-{number}" for number in range(100))]:
        METRICS.forget(sink=name)


@pytest.fixture
def backlogs(bench: Workbench) -> Backlogs:
    return Backlogs(bench.store, bench.clock, lambda: bench.log.end)


def sink(bench: Workbench, name: str = "archive", **changes: object) -> Sink:
    return Sink(SinkStatus(name, ""), bench, **changes)  # type: ignore[arg-type]


def metric(name: str) -> float | None:
    return METRICS.registry.get_sample_value(f"edr_collector_sink_{name}", {"sink": "archive"})


async def size_of(bench: Workbench, *streams: StreamId) -> int:
    return (await bench.store.backlog(Position(1), streams)).stored_bytes


async def test_what_waits_shows_in_status_and_metrics_and_goes_when_it_is_delivered(
    bench: Workbench, backlogs: Backlogs
) -> None:
    await bench.append(3)
    await bench.append(2, BETA)
    archive = sink(bench, takes=(ACME,))
    await backlogs.look([Claim(archive, True, MANY)])
    size = await size_of(bench, ACME)

    status = archive.status
    assert (status.backlog_events, status.backlog_bytes, status.oldest_unsent) == (3, size, START)
    assert (metric("backlog_events"), metric("backlog_bytes")) == (3, size)
    assert metric("oldest_unsent_timestamp_seconds") == START.timestamp()

    archive.position = bench.log.end
    await backlogs.look([Claim(archive, True, MANY)])
    assert archive.status.backlog_events == 0
    assert archive.status.oldest_unsent is None
    assert (metric("backlog_events"), metric("oldest_unsent_timestamp_seconds")) == (0, 0)


async def test_backlog_at_its_limit_pauses_the_feeds_of_that_sink_alone(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(3)
    await bench.append(3, BETA)
    size = await size_of(bench, ACME)
    behind = sink(bench, takes=(ACME,))
    other = sink(bench, "sink-1", takes=(BETA,))

    with structlog.testing.capture_logs() as logs:
        assert await backlogs.look([Claim(behind, True, size + 1), Claim(other, True, MANY)]) == {}
        await backlogs.look([Claim(behind, True, size), Claim(other, True, MANY)])
        paused = await backlogs.look([Claim(behind, True, size), Claim(other, True, MANY)])

    assert list(paused) == [ACME]
    assert "backlog of sink archive" in paused[ACME]
    assert [(line["log_level"], line["sink"]) for line in logs] == [("error", "archive")]


async def test_feeds_go_on_when_the_backlog_is_well_below_its_limit(bench: Workbench, backlogs: Backlogs) -> None:
    for _ in range(20):
        await bench.append(1)
    size = await size_of(bench, ACME)
    behind = sink(bench)
    claims = [Claim(behind, True, size)]
    assert await backlogs.look(claims)

    behind.position = Position(2)
    assert await backlogs.look(claims)
    behind.position = Position(4)
    with structlog.testing.capture_logs() as logs:
        assert await backlogs.look(claims) == {}
    assert [line["event"] for line in logs] == ["backlog is down again"]


async def test_sink_that_has_gone_pauses_nothing(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(1)
    assert await backlogs.look([Claim(sink(bench), True, 1)])

    assert await backlogs.look([]) == {}
    assert backlogs._measured == {}


async def test_sink_that_is_no_longer_required_pauses_nothing(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(1)
    archive = sink(bench)
    assert await backlogs.look([Claim(archive, True, 1)])

    assert await backlogs.look([Claim(archive, False, 1)]) == {}


async def test_sink_that_is_not_required_is_moved_past_the_older_half_of_its_own_backlog(
    bench: Workbench, backlogs: Backlogs
) -> None:
    for _ in range(10):
        await bench.append(1)
        await bench.append(20, BETA)
    size = await size_of(bench, ACME)
    optional = sink(bench, takes=(ACME,))

    assert await backlogs.look([Claim(optional, False, size)]) == {}

    left = await bench.store.backlog(optional.skipped_to[0], [ACME])
    assert size / 4 < left.stored_bytes <= size / 2


async def test_sink_that_is_asked_to_skip_already_is_not_asked_again(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(1)
    optional = sink(bench, busy=True)
    await backlogs.look([Claim(optional, False, 1)])

    assert optional.skipped_to == []


async def test_single_page_over_the_limit_is_skipped_as_a_whole(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(50)
    optional = sink(bench)
    await backlogs.look([Claim(optional, False, 10)])

    assert optional.skipped_to == [Position(2)]


async def test_sinks_that_keep_up_cost_no_look_at_the_store(bench: Workbench, backlogs: Backlogs) -> None:
    await bench.append(1)
    claims = [Claim(sink(bench, f"sink-{number}", position=bench.log.end), True, MANY) for number in range(50)]

    async def never(*_: object) -> Backlog:
        raise AssertionError

    bench.store.backlog = never  # type: ignore[method-assign,assignment]
    await backlogs.look(claims)


async def test_of_many_that_are_behind_some_are_measured_at_a_look_and_all_within_a_few(
    bench: Workbench, backlogs: Backlogs
) -> None:
    await bench.append(1)
    sinks = [sink(bench, f"sink-{number}") for number in range(50)]
    claims = [Claim(one, True, 1) for one in sinks]
    measured = []
    for _ in range(3):
        await backlogs.look(claims)
        measured.append(sum(one.status.backlog_events for one in sinks))

    assert measured == [20, 40, 50]


async def test_look_ends_early_when_measuring_takes_long(bench: Workbench, clock: FakeClock) -> None:
    await bench.append(1)
    backlogs = Backlogs(bench.store, clock, lambda: bench.log.end)
    measure = bench.store.backlog

    async def slow(position: Position, streams: Sequence[StreamId] | None = None) -> Backlog:
        await clock.sleep(0.15)
        return await measure(position, streams)

    bench.store.backlog = slow  # type: ignore[method-assign]
    sinks = [sink(bench, f"sink-{number}") for number in range(10)]
    await backlogs.look([Claim(one, True, MANY) for one in sinks])

    assert sum(one.status.backlog_events for one in sinks) == 2


async def test_feeds_wait_a_moment_for_a_sink_that_follows_but_not_as_fast_as_they_fetch(
    bench: Workbench, backlogs: Backlogs
) -> None:
    for _ in range(20):
        await bench.append(1)
    size = await size_of(bench, ACME)
    slow = sink(bench, takes=(ACME,))
    claims = [Claim(slow, True, int(1.5 * size))]
    paced = []
    for position, seconds in ((1, 1), (2, 1), (2, 0), (2, 1.9), (2, 0.1), (3, 1), (15, 1), (21, 1)):
        slow.position = Position(position)
        assert await backlogs.look(claims) == {}
        paced.append(backlogs.paced == {ACME})
        await bench.clock.sleep(seconds)

    # Not before it moves, not when it has stood for two seconds, not once it has less than half its limit.
    assert paced == [False, True, True, True, False, True, False, False]


async def test_sink_that_is_no_longer_required_paces_nobody(bench: Workbench, backlogs: Backlogs) -> None:
    for _ in range(20):
        await bench.append(1)
    slow = sink(bench)
    limit = int(1.5 * await size_of(bench, ACME))
    await backlogs.look([Claim(slow, True, limit)])
    slow.position = Position(2)
    await backlogs.look([Claim(slow, True, limit)])
    assert backlogs.paced

    await backlogs.look([Claim(slow, False, limit)])
    assert not backlogs.paced


async def test_sink_that_goes_while_it_is_measured_leaves_no_metric_behind(
    bench: Workbench, backlogs: Backlogs
) -> None:
    await bench.append(1)
    archive = sink(bench)
    measure = bench.store.backlog

    async def leaving(position: Position, streams: Sequence[StreamId] | None = None) -> Backlog:
        archive.status.gone = True
        return await measure(position, streams)

    bench.store.backlog = leaving  # type: ignore[method-assign]
    await backlogs.look([Claim(archive, True, MANY)])

    assert metric("backlog_events") is None
