"""A vendor and a receiver in memory, as plugins: what a test puts there is found by the name in the configuration."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr

from collector.errors import SinkError, SourceError
from collector.model import OWNER_UNKNOWN, Checkpoint, Lane, Normalized, Page, Record, Window
from collector.settings import Location
from collector.sinks.base import Batch, SinkContext, SinkPlugin
from collector.sinks.config import SinkConfig
from collector.sources.base import BudgetKey, Organization, SourceContext, SourcePlugin
from collector.sources.config import Organizations, RateLimitConfig, SourceConfig, SweepConfig
from collector.testing import RecordingSink, make_record
from collector.testing.clock import START
from collector.testing.sources import BEGUN

_PAGE = 5


class MemoryVendor:
    """Serves its records in order, five a page, from where the checkpoint says."""

    feeds: Sequence[str] = ("alerts", "incidents")

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {"alerts": [], "incidents": []}
        self.failure: SourceError | Exception | None = None
        self.failing: dict[str, SourceError] = {}
        self.opening: SourceError | None = None
        self.fetched: list[tuple[str, Lane]] = []
        self.contexts: list[SourceContext] = []
        self.open = 0
        self.remarks: list[str] = []
        self.lacking: list[str] = []
        self.customers: Sequence[Organization] | SourceError | None = None

    def add(self, *numbers: int, feed: str = "alerts", raw: bytes | None = None) -> None:
        self.records[feed] += [make_record(n) if raw is None else make_record(n, raw=raw) for n in numbers]

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        self.fetched.append((feed, lane))
        if self.failure is not None:
            raise self.failure
        if feed in self.failing:
            raise self.failing[feed]
        if lane is Lane.SWEEP:
            return Page((), Checkpoint(START), more=False, fetched_at=START)
        begin = 0 if after is None else int(after.state["next"])
        records = self.records[feed][begin : begin + _PAGE]
        end = begin + len(records)
        checkpoint = Checkpoint(START, None, {**BEGUN.state, "next": end})
        return Page(records, checkpoint, more=end < len(self.records[feed]), fetched_at=START)

    async def check(self) -> Sequence[str]:
        if isinstance(self.failure, SourceError):
            raise self.failure
        return self.remarks

    def warnings(self) -> Sequence[str]:
        return self.lacking

    async def organizations(self) -> Sequence[Organization] | None:
        if isinstance(self.customers, SourceError):
            raise self.customers
        return self.customers


class MemorySink(RecordingSink):
    """Takes everything, twice if it is sent twice; `opening` is raised when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: SinkError | None = None

    def accept(self, batch: Batch, without: set[int] | frozenset[int] = frozenset()) -> None:
        self.lines += [line for index, line in enumerate(batch.payloads) if index not in without]


VENDORS: dict[tuple[str, str], MemoryVendor] = {}
RECEIVERS: dict[str, MemorySink] = {}


class MemorySweep(SweepConfig):
    every: timedelta = timedelta(minutes=5)
    window: timedelta = timedelta(minutes=15)


class MemoryRate(RateLimitConfig):
    requests: int = 300
    per: timedelta = timedelta(seconds=60)


class MemorySourceConfig(SourceConfig):
    type: Literal["memory"] = "memory"
    client_secret: SecretStr = SecretStr("")
    host: str = "memory"
    user: str = ""
    sweep: SweepConfig = Field(default_factory=MemorySweep)
    rate_limit: RateLimitConfig = Field(default_factory=MemoryRate)

    @property
    def account(self) -> tuple[str, ...]:
        return (self.user,) if self.user else ()

    by_owner: Organizations | None = None

    @property
    def own_organizations(self) -> Mapping[str, str] | None:
        return self.by_owner

    def without_names(self) -> Self:
        return self.model_copy(update={"by_owner": self.by_owner is not None})

    def remarks(self) -> Iterator[tuple[Location, str]]:
        yield from ()


class OtherSourceConfig(MemorySourceConfig):
    type: Literal["other"] = "other"  # type: ignore[assignment]  # another plugin's


class MemorySinkConfig(SinkConfig):
    type: Literal["memory"] = "memory"
    note: str = ""


@asynccontextmanager
async def _open_source(config: BaseModel, context: SourceContext) -> AsyncIterator[MemoryVendor]:
    vendor = VENDORS.setdefault((context.tenant, context.name), MemoryVendor())
    vendor.contexts.append(context)
    if vendor.opening is not None:
        raise vendor.opening
    vendor.open += 1
    try:
        yield vendor
    finally:
        vendor.open -= 1


@asynccontextmanager
async def _open_sink(config: BaseModel, context: SinkContext, state: bytes | None) -> AsyncIterator[MemorySink]:
    sink = RECEIVERS.setdefault(context.name, MemorySink())
    if sink.opening is not None:
        raise sink.opening
    sink.states.append(state)
    try:
        yield sink
    finally:
        sink.closed += 1


def _normalize(feed: str, record: Record) -> Normalized:
    if b"broken" in record.raw:
        raise ValueError(feed)
    unknown = ("surprise",) if b"surprise" in record.raw else ()
    organization = re.search(rb'"org":"([^"]+)"', record.raw)
    return Normalized(
        id=record.id,
        kind="detection",
        severity="medium",
        severity_vendor="",
        title="",
        recorded_at=record.recorded_at,
        organization_id=organization[1].decode() if organization else "",
        organization_name=f"Name of {organization[1].decode()}" if organization else "",
        flags=(OWNER_UNKNOWN,) if b"nobody" in record.raw else (),
        unknown=unknown,
    )


def _budget_key(config: BaseModel) -> BudgetKey:
    return BudgetKey(getattr(config, "host", ""), "", "")


SOURCE = SourcePlugin(
    "Memory", "Memory", ("alerts", "incidents"), MemorySourceConfig, _open_source, _normalize, _budget_key, {}
)
OTHER_SOURCE = SourcePlugin(
    "Other", "Other", ("alerts", "incidents"), OtherSourceConfig, _open_source, _normalize, _budget_key, {}
)
SINK = SinkPlugin(MemorySinkConfig, _open_sink)
