"""A lane's pages without a vendor: what the tests of `lanes` are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.model import Checkpoint, Lane, Record
from collector.sources import lanes
from collector.sources.run import Run, run_of
from collector.sources.vendor_time import VendorTime

NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
RULES = lanes.Rules(
    width=30 * DAY,
    limit=200,
    overlap=30 * SECOND,
    sweep_every=5 * MINUTE,
    sweep_window=15 * MINUTE,
    start_from=DAY,
)
TIP_STATE = {"beginning": "2026-03-01T09:15:00.000Z", "started": "2026-03-02T09:15:00.000Z"}


def vendor(now: datetime = NOW, skew: float = 0.0, *, known: bool = True) -> VendorTime:
    return VendorTime(now, known=known, skew=skew)


def record(moment: datetime | None, name: str = "") -> Record:
    return Record(id=name or str(moment), bucket=0, recorded_at=moment, raw=b"{}")


def run_in(checkpoint: Checkpoint) -> Run:
    run = run_of(checkpoint)
    assert run is not None
    return run


def tip(watermark: datetime, **more: Any) -> Checkpoint:
    return Checkpoint(watermark, state={**TIP_STATE, "beginning": "2020-01-01T00:00:00Z", **more})


def page(
    lane: Lane,
    at: Checkpoint,
    times: Sequence[datetime | None] = (),
    token: str | None = None,
    now: VendorTime | None = None,
) -> lanes.Step:
    """One readable page, as a source deals with it."""
    now = now or vendor()
    records = [record(moment, f"{index}:{moment}") for index, moment in enumerate(times)]
    run = lanes.note(run_in(at), records, now)
    return lanes.advance(lane, at, run, records, token) or lanes.finish_window(lane, at, run, now, RULES)
