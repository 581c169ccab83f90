"""The checks find what they are there to find: each broken sink here fails at least one of them."""

import pytest

from collector.errors import SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt
from collector.testing import SINK_CHECKS, RecordingConfig, RecordingSink, SinkSubject, make_event, recording_plugin


class Loses(RecordingSink):
    async def deliver(self, batch: Batch) -> Receipt:
        return await super().deliver(Batch("", batch.events[:4], batch.payloads[:4]))


class Doubles(RecordingSink):
    async def deliver(self, batch: Batch) -> Receipt:
        self._seen.clear()
        return await super().deliver(batch)


class Reorders(RecordingSink):
    async def deliver(self, batch: Batch) -> Receipt:
        return await super().deliver(Batch("", batch.events[::-1], batch.payloads[::-1]))


class Invents(RecordingSink):
    async def probe(self) -> None:
        self.lines.append(b"probe")


class Misnames(RecordingSink):
    async def deliver(self, batch: Batch) -> Receipt:
        receipt = await super().deliver(batch)
        return Receipt(rejected={len(batch): "off by one"}, state=receipt.state)


class Bloats(RecordingSink):
    async def deliver(self, batch: Batch) -> Receipt:
        await super().deliver(batch)
        return Receipt(state=bytes(70_000))


class Greedy(RecordingSink):
    def __init__(self) -> None:
        super().__init__(BatchLimits(max_events=100_000))


class Unreachable(RecordingSink):
    async def probe(self) -> None:
        raise SinkUnavailable("no")


class Forgets(RecordingSink):
    """Says that a batch is accepted, and stores it only when it is closed, which a crash prevents."""

    async def prepare(self, batch: Batch) -> bytes | None:
        self.lines[:] = self.lines[: len(self.lines) // 7 * 7]
        return None


def encode(event: Event) -> bytes:
    return event.raw


def subject_of(sink: RecordingSink, *, exactly_once: bool = True) -> SinkSubject:
    return SinkSubject(recording_plugin(sink), RecordingConfig(), lambda: sink.lines, encode, exactly_once)


async def failures(sink: RecordingSink) -> list[str]:
    failed = []
    for check in SINK_CHECKS:
        try:
            await check(subject_of(type(sink)()))
        except AssertionError as exc:
            failed.append(str(exc))
    return failed


async def test_a_good_sink_passes_every_check() -> None:
    assert await failures(RecordingSink()) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Loses(), "missing"),
        (Doubles(), "twice"),
        (Reorders(), "order"),
        (Invents(), "the probe left"),
        (Misnames(), "positions"),
        (Bloats(), "70000 bytes"),
        (Greedy(), "max_events"),
        (Unreachable(), "the probe says: no"),
        (Forgets(), "missing"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_broken_sink_is_found(broken: RecordingSink, says: str) -> None:
    assert any(says in failure for failure in await failures(broken))


async def test_doubles_are_allowed_where_the_sink_says_so() -> None:
    for check in SINK_CHECKS:
        await check(subject_of(Doubles(), exactly_once=False))


async def test_the_recording_sink_does_what_its_script_says() -> None:
    sink = RecordingSink()
    events = [make_event(number) for number in range(3)]
    batch = Batch("", events, [event.raw for event in events])
    sink.script = [SinkUnavailable("down"), lambda _: Receipt(rejected={0: "bad"}, deferred=frozenset({2}))]

    with pytest.raises(SinkUnavailable):
        await sink.deliver(batch)
    assert sink.lines == []
    receipt = await sink.deliver(batch)
    assert receipt.rejected == {0: "bad"}
    assert sink.lines == [events[1].raw]
    await sink.deliver(batch)
    assert sink.lines == [events[1].raw, events[0].raw, events[2].raw]
