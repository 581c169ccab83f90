"""The sources under contract: each on its own vendor's simulator, with one face for all."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from collector.budget import Budget
from collector.clock import Clock
from collector.errors import CheckpointExpired, SourceError
from collector.http import HttpClients
from collector.model import Checkpoint, Gap, Lane, Record, Window
from collector.simulator import BAD_DAY, COMPANY, Fault, Mix, WithSecureSimulator
from collector.simulator.eset import BAD_DAY as ESET_BAD_DAY
from collector.simulator.eset import HARBOUR, DetectionMix, EsetSimulator
from collector.simulator.faults import Faults
from collector.sources.base import Source, SourceContext, SourcePlugin
from collector.sources.eset.source import PLUGIN as ESET
from collector.sources.withsecure import PLUGIN as WITHSECURE
from collector.timestamps import parse_rfc3339

_NO_RUSH = {"requests": 90_000, "per": "1s"}
_MOST_PAGES = 3000


class Stage(ABC):
    """A simulated vendor as the contract sees it, whatever it calls what a feed consists of.

    Events are named by what identifies them at the vendor; `name_of` gives the name a record belongs to.
    """

    plugin: SourcePlugin
    feed: str
    bad_day: ClassVar[Mapping[str, float]]
    requests_each = 0
    """How many requests one event costs; where it does, tests make fewer."""
    late: timedelta = timedelta(minutes=9)
    """How late an event shows up that the sweep alone finds; beyond the overlap, within the sweep's window."""
    tip_finds_late = False
    """The tip finds such an event, too."""

    def many(self, count: int) -> int:
        """So many events, or far fewer where each costs requests."""
        return count // 20 if self.requests_each else count

    def have_a_bad_day(self) -> None:
        """All faults strike, less those that only cost time."""
        for name, chance in self.bad_day.items():
            if "throttled" not in name and name != "slow":
                self.faults.switch_on(name, Fault(probability=chance, seconds=0.0))
        self.faults.switch_on_all({"date_wrong": 0.03, "date_missing": 0.03})

    @abstractmethod
    def serve(self) -> AbstractAsyncContextManager[str]:
        """Listen; the value is the base URL."""

    @abstractmethod
    def config(self, base_url: str) -> dict[str, Any]:
        """The keys of a source of this vendor."""

    @abstractmethod
    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        """So many events with times in [start, end), all visible at once; their names."""

    @abstractmethod
    def shown(self) -> dict[str, Sequence[bytes]]:
        """Every event by its name, with all bytes that a reader may have got for it."""

    @property
    @abstractmethod
    def faults(self) -> Faults:
        """What can go wrong."""

    @property
    @abstractmethod
    def violations(self) -> list[str]:
        """Rules of the vendor that were broken."""

    def name_of(self, record: Record) -> str | None:
        """The event this record belongs to; None: to none, it only goes with another."""
        return record.id


class SecurityEvents(Stage):
    plugin = WITHSECURE
    feed = "security_events"
    bad_day = BAD_DAY

    def __init__(self) -> None:
        self.vendor = WithSecureSimulator(requests=100_000, per_seconds=1.0)

    def serve(self) -> AbstractAsyncContextManager[str]:
        return self.vendor.serve()

    def config(self, base_url: str) -> dict[str, Any]:
        secret = {"client_id": COMPANY.client_id, "client_secret": COMPANY.client_secret}
        return {**secret, "base_url": base_url, "feeds": [self.feed]}

    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        return self.vendor.cloud.fill(count, start, end, mix=Mix(late=0.0))

    def shown(self) -> dict[str, Sequence[bytes]]:
        return {key: entry["versions"] for key, entry in self.vendor.ledger(hashes=False).items()}

    @property
    def faults(self) -> Faults:
        return self.vendor.faults

    @property
    def violations(self) -> list[str]:
        return self.vendor.violations


class WithSecureIncidents(SecurityEvents):
    feed = "incidents"
    requests_each = 1

    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        return self.vendor.cloud.incidents.open(count, start, end)

    def shown(self) -> dict[str, Sequence[bytes]]:
        report = self.vendor.cloud.incidents.report()
        return {key: [state["raw"] for state in entry["states"]] for key, entry in report.items()}

    def name_of(self, record: Record) -> str | None:
        return record.id.partition("@")[0] if "@" in record.id else None


class EsetStage(Stage):
    plugin = ESET
    bad_day = ESET_BAD_DAY
    late = timedelta(hours=8)

    def __init__(self) -> None:
        self.vendor = EsetSimulator(requests=100_000, per_seconds=1.0)

    def serve(self) -> AbstractAsyncContextManager[str]:
        return self.vendor.serve()

    def config(self, base_url: str) -> dict[str, Any]:
        urls = dict.fromkeys(("auth_url", "incident_url", "device_url"), base_url)
        return {"username": HARBOUR.username, "password": HARBOUR.password, "feeds": [self.feed], **urls}

    @property
    def faults(self) -> Faults:
        return self.vendor.faults

    @property
    def violations(self) -> list[str]:
        return self.vendor.violations


class EsetDetections(EsetStage):
    feed = "detections"
    # A page holds so much that few requests are made.
    bad_day: ClassVar[Mapping[str, float]] = {name: 2 * chance for name, chance in ESET_BAD_DAY.items()}
    delta = 200
    tip_finds_late = True

    def __init__(self) -> None:
        super().__init__()
        self.vendor.offer(v1_delta=self.delta)

    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        return self.vendor.cloud.fill(count, start, end, mix=DetectionMix(late=0.0, future=0.0))

    def shown(self) -> dict[str, Sequence[bytes]]:
        return {key: entry["versions"] for key, entry in self.vendor.ledger().items()}


class EsetDetectionLists(EsetDetections):
    """The tenant has no delta: the tip reads lists."""

    delta = 501
    tip_finds_late = False


class EsetIncidents(EsetStage):
    feed = "incidents"
    requests_each = 2
    tip_finds_late = True  # where it is open

    def __init__(self) -> None:
        super().__init__()
        self.vendor.incidents.lag_ms = 0

    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        return self.vendor.incidents.fill(count, start, end)

    def shown(self) -> dict[str, Sequence[bytes]]:
        return {key: [state["raw"] for state in states] for key, states in self.vendor.incidents.report().items()}

    def name_of(self, record: Record) -> str | None:
        return record.id.partition("@")[0]


class LeapingClock(Clock):
    """What a source waits for between calls takes no time here."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def leap(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass
class Subject:
    """A source on its stage, and what it brought so far: by name, how often and with which bytes."""

    stage: Stage
    source: Source
    clock: LeapingClock
    started: datetime
    times: Counter[str] = field(default_factory=Counter)
    raw: dict[str, set[bytes]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def anew(self) -> Subject:
        """The same source, with nothing brought yet."""
        return replace(self, times=Counter(), raw={}, gaps=[])

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            name = self.stage.name_of(record)
            if name is not None:
                self.times[name] += 1
                self.raw.setdefault(name, set()).add(record.raw)

    async def read(
        self, lane: Lane, after: Checkpoint | None, window: Window | None = None, most: int = _MOST_PAGES
    ) -> Checkpoint:
        """Until the lane is caught up, failures tried again, each checkpoint through JSON as the store does."""
        for _ in range(most):
            try:
                page = await self.source.fetch(self.stage.feed, lane, stored(after), window)
            except CheckpointExpired as exc:
                assert after is not None
                after = exc.resume or replace(after, run=None)
                continue
            except SourceError as exc:
                self.clock.leap(getattr(exc, "retry_after", None) or 1.0)
                continue
            self.take(page.records)
            self.gaps += page.gaps
            assert page.watermark is None or page.watermark == page.checkpoint.watermark
            if after is not None and after.watermark is not None:
                assert page.checkpoint.watermark is not None
                assert page.checkpoint.watermark >= after.watermark
            after = page.checkpoint
            if not page.more:
                return after
            self.clock.leap(page.retry_after or 0.0)
        raise AssertionError(f"not caught up after {most} pages")

    async def sweep(self, tip: Checkpoint, after: Checkpoint | None = None) -> Checkpoint:
        begun = after or Checkpoint(parse_rfc3339(tip.state["started"]))
        return await self.read(Lane.SWEEP, begun, Window(parse_rfc3339(tip.state["beginning"])))


def stored(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    run = None if checkpoint.run is None else json.loads(json.dumps(checkpoint.run))
    return Checkpoint(checkpoint.watermark, run, json.loads(json.dumps(checkpoint.state)))


STAGES: Mapping[str, type[Stage]] = {
    "withsecure security_events": SecurityEvents,
    "withsecure incidents": WithSecureIncidents,
    "eset detections": EsetDetections,
    "eset detections without delta": EsetDetectionLists,
    "eset incidents": EsetIncidents,
}


@asynccontextmanager
async def on_stage(stage: Stage) -> AsyncIterator[Subject]:
    """The source of this stage, open; no limit of requests is in its way."""
    clock = LeapingClock()
    budget = Budget(90_000, 1.0, clock)
    giving = asyncio.create_task(budget.run())
    try:
        async with stage.serve() as base_url, HttpClients() as http:
            config = stage.plugin.config.model_validate({"rate_limit": _NO_RUSH, **stage.config(base_url)})
            context = SourceContext("acme", "source", http, budget, clock)
            async with stage.plugin.open(config, context) as source:
                yield Subject(stage, source, clock, datetime.now(UTC))
    finally:
        giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving
