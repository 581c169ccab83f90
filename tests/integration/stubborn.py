"""A vendor and a receiver that misbehave on demand: plugins for a real daemon, installed by the test that needs them.

What a file named so in `$STUBBORN_FOLDER` does: `block-loop`: the next poll blocks the whole event loop for ever;
`hang-poller`: it never returns; `hang-janitor`: the janitor's next look never returns; `vendor-down`: every poll fails;
`sink-down`: the receiver takes nothing. `$STUBBORN_PATIENCE`: how long, in seconds, a loop may take for one turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from collector import liveness
from collector.errors import SinkUnavailable, SourceUnavailable
from collector.model import Checkpoint, Lane, Normalized, Page, Record, Window
from collector.pipeline.janitor import Janitor
from collector.sinks.base import Batch, BatchLimits, Receipt, Sink, SinkContext, SinkPlugin
from collector.sinks.config import SinkConfig
from collector.sources.base import BudgetKey, Source, SourceContext, SourcePlugin
from collector.sources.config import RateLimitConfig, SourceConfig, SweepConfig
from collector.timestamps import format_utc

FOLDER = Path(os.environ.get("STUBBORN_FOLDER", "."))
for _name in liveness.PATIENCE:
    liveness.PATIENCE[_name] = float(os.environ.get("STUBBORN_PATIENCE", "3600"))


def asked(what: str) -> bool:
    return (FOLDER / what).exists()


async def for_ever() -> None:
    await asyncio.Event().wait()


class StubbornSourceConfig(SourceConfig):
    type: Literal["stubborn"] = "stubborn"
    sweep: SweepConfig = SweepConfig(every=timedelta(hours=1), window=timedelta(hours=2))
    rate_limit: RateLimitConfig = RateLimitConfig(requests=1000, per=timedelta(seconds=1))


class StubbornSource:
    """One new event a poll."""

    feeds: Sequence[str] = ("events",)

    def __init__(self) -> None:
        self._numbers = count(time.time_ns())

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        if asked("block-loop"):
            time.sleep(3600)  # noqa: ASYNC251 -- that is the point
        if asked("hang-poller"):
            await for_ever()
        if asked("vendor-down"):
            raise SourceUnavailable("the vendor is down")
        now = datetime.now(UTC)
        began = {"beginning": format_utc(now), "started": format_utc(now)}
        record = Record(f"{next(self._numbers)}", 0, now, b"{}")
        return Page([record], Checkpoint(now, state=after.state if after else began), more=False, fetched_at=now)

    async def check(self) -> Sequence[str]:
        return []


@asynccontextmanager
async def open_source(config: BaseModel, context: SourceContext) -> AsyncIterator[Source]:
    yield StubbornSource()


def normalize(feed: str, record: Record) -> Normalized:
    return Normalized(record.id, "security_event", "low", "low", "A test")


class StubbornSinkConfig(SinkConfig):
    type: Literal["stubborn"] = "stubborn"


class StubbornSink:
    limits = BatchLimits()
    max_in_flight = 1

    def partition(self, event: object) -> str:
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        if asked("sink-down"):
            raise SinkUnavailable("the receiver is down")
        return Receipt()

    async def probe(self) -> None:
        if asked("sink-down"):
            raise SinkUnavailable("the receiver is down")


@asynccontextmanager
async def open_sink(config: BaseModel, context: SinkContext, state: bytes | None) -> AsyncIterator[Sink]:
    yield StubbornSink()


_check = Janitor.check


async def _check_or_hang(self: Janitor) -> None:
    if asked("hang-janitor"):
        await for_ever()
    await _check(self)


setattr(Janitor, "check", _check_or_hang)  # noqa: B010 -- a method is replaced on purpose

SOURCE = SourcePlugin(
    vendor="Stubborn",
    product="Test",
    feeds=("events",),
    config=StubbornSourceConfig,
    open=open_source,
    normalize=normalize,
    budget_key=lambda _config: BudgetKey("", "", ""),
    severity_numbers={},
)
SINK = SinkPlugin(config=StubbornSinkConfig, open=open_sink)
