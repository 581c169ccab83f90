"""The feed `detections`: one page of one lane per call.

| lane | reads |
|---|---|
| tip | deltas (`:listDelta`) of each version that offers them, and the lists where deltas leave something open |
| sweep, job | the lists of each version that is offered |

Deltas leave something open at the very first start, after a delta token died, and for as long as there are none.

A lane goes in rounds: each activity (`delta:v1`, `delta:v2`, `walk:v1`, `walk:v2`) until it has no more for now; during
a long walk the deltas are asked again every few pages. Facts of the vendor: `/v1/detections` are those of ESET PROTECT
and Inspect; `/v2/detections` is offered to few (501 was seen) and has Cloud Office's as well; ids are the same in both.
A page holds 1000 records at most, and may hold fewer on any page but for the last too. What is not offered is asked for
again after a minute, then ever more slowly, down to once an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import msgspec
import orjson
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError
from collector.model import Checkpoint, Lane, Page, Record, Window
from collector.sources import lanes
from collector.sources.eset import walking
from collector.sources.eset.asking import Asker, Asking, Turn
from collector.sources.eset.client import EsetClient
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.deltas import Deltas
from collector.sources.eset.resting import Rests
from collector.sources.eset.tracks import VERSIONS, Round, Track, Version, round_of, store, track_of
from collector.sources.eset.walks import Walks
from collector.sources.vendor_time import MAX_SKEW_SECONDS, VendorTime
from collector.timestamps import parse_rfc3339

_LIMIT = 1000
# The vendor says nothing of how long a window may be: so long that nobody needs two.
_WIDEST = timedelta(days=36525)
_WALK_PAGES = 10


class DeviceNames(Protocol):
    """Who knows what devices are called; never raises, and takes a few seconds at most."""

    async def names(self, uuids: Collection[str], lane: Lane) -> Mapping[str, Any]:
        """What is known of these devices."""
        ...


class Detections:
    """Reads detections for one API user. Positions are in the checkpoints.

    Kept between calls is only what an error keeps from the store; losing it costs requests.
    """

    def __init__(self, config: EsetConfig, client: EsetClient, devices: DeviceNames, clock: Clock, log: Log) -> None:
        self._client = client
        self._devices = devices
        self._clock = clock
        self._rests = Rests(clock, config.poll_interval.total_seconds())
        # What a round did before a restart may be long ago, and whoever runs once wants the newest.
        self._anew: set[Lane] = {Lane.TIP}
        self._all_refused: set[Lane] = set()
        self._rules = lanes.Rules(
            width=_WIDEST,
            limit=_LIMIT,
            overlap=config.overlap,
            sweep_every=config.sweep.every,
            sweep_window=config.sweep.window,
            start_from=config.start_from,
            unordered=True,
            reach=walking.CENTURY,
        )
        asker = Asker(client, log)
        self._deltas = Deltas(asker, self._rules)
        self._walks = Walks(asker, self._rules)

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        planned = await self._client.vendor_time(lane)
        at = self._begun(lane, after, planned)
        around = round_of(at)
        if lane in self._anew:
            self._anew.discard(lane)
            around = replace(around, done=())
        tracks = {version: track_of(at, version) for version in VERSIONS}
        activity = self._choose(lane, tracks, around, planned)
        kind, version = _parts(activity)
        asking = Asking(lane, at, window, version, tracks[version], around.of(version), around.pending)
        try:
            turn = await (self._deltas if kind == "delta" else self._walks).read(asking)
        except SourceError as exc:
            self._fell(lane, activity, exc, tracks, around, planned)
            raise
        self._rests.rose(lane, activity)
        now = self._client.vendor_clock.read()
        if after is None and lane is Lane.TIP and now.now < planned.now - timedelta(seconds=1):
            # The login's clock was ahead of this answer's: begin by the earlier one, before anything depends on it.
            return self._page(lanes.begun(None, now, self._rules), now, more=True)
        tracks[version] = turn.track
        around = self._after(activity, around.put(version, turn.progress), turn, lane)
        more = turn.pending is not None or self._next(lane, tracks, around, now) is not None
        if not more:
            self._all_refused.discard(lane)
        records = await self._records(turn, lane)
        return self._page(store(at, lane, tracks, around if more else None), now, records, turn, more=more)

    def _begun(self, lane: Lane, after: Checkpoint | None, now: VendorTime) -> Checkpoint:
        if lane is not Lane.TIP:
            return after or Checkpoint()
        at = lanes.begun(after, now, self._rules)
        if not now.skewed and parse_rfc3339(at.state["beginning"]) > now.now:
            # Begun by a clock far ahead that is right now: nothing was read, begin anew.
            return lanes.begun(None, now, self._rules)
        return at

    # -- what comes next ---------------------------------------------------------------------

    def _choose(self, lane: Lane, tracks: Mapping[Version, Track], around: Round, now: VendorTime) -> str:
        """The activity to ask for; raises the failure of those that rest where no other is left."""
        if around.pending is not None:
            return around.doing
        due = [name for name in self._due(lane, tracks, around, now) if name not in around.done]
        if not due:
            # Nothing of what may be offered is due: a lane that reads nothing is not well, so it asks for all of it.
            self._all_refused.add(lane)
            due = [name for name in self._due(lane, tracks, around, now) if name not in around.done] or ["walk:v1"]
        ready = [name for name in due if not self._rests.is_resting(lane, name)]
        if ready:
            return ready[0]
        if lane is Lane.TIP:  # meanwhile there may be news elsewhere
            self._anew.add(lane)
        raise self._rests.again(lane, due[0])

    def _fell(
        self,
        lane: Lane,
        activity: str,
        exc: SourceError,
        tracks: Mapping[Version, Track],
        around: Round,
        now: VendorTime,
    ) -> None:
        others = [name for name in self._due(lane, tracks, around, now) if name != activity]
        if lane is not Lane.TIP:
            others = [name for name in others if name not in around.done]
        if others:
            self._rests.fell(lane, activity, exc)
        elif isinstance(exc, SourceDenied):
            self._all_refused.add(lane)
        if lane is Lane.TIP:
            self._anew.add(lane)

    def _next(self, lane: Lane, tracks: Mapping[Version, Track], around: Round, now: VendorTime) -> str | None:
        return next((name for name in self._due(lane, tracks, around, now) if name not in around.done), None)

    def _due(self, lane: Lane, tracks: Mapping[Version, Track], around: Round, now: VendorTime) -> Iterator[str]:
        every = lane in self._all_refused
        if lane is Lane.TIP:
            for version, track in tracks.items():
                if track.delta_off is None or every or track.delta_off.is_due(now.now):
                    yield f"delta:{version}"
        for version, track in tracks.items():
            open_ends = track.sweep_from or track.sweep_again or track.delta_off or around.of(version).walk
            if lane is Lane.TIP and not open_ends:
                continue
            if track.list_off is None or every or track.list_off.is_due(now.now):
                yield f"walk:{version}"

    def _after(self, activity: str, around: Round, turn: Turn, lane: Lane) -> Round:
        kind, _ = _parts(activity)
        done, pages = around.done, around.pages
        if turn.over:
            done = (*done, activity)
        elif kind == "walk" and lane is Lane.TIP and turn.pending is None:
            pages += 1
            if pages >= _WALK_PAGES:
                pages, done = 0, tuple(name for name in done if not name.startswith("delta"))
        doing = activity if turn.pending is not None else ""
        return replace(around, done=done, pages=pages, doing=doing, pending=turn.pending)

    async def _records(self, turn: Turn, lane: Lane) -> Sequence[Record]:
        if turn.slices is None:
            return ()
        cuts = [turn.slices.cuts[position] for position in turn.left]
        unnamed = {cut.device for cut in cuts if cut.device is not None}
        names = await self._devices.names(unnamed, lane) if unnamed else {}
        return [_with_device(cut.record, names.get(cut.device or "")) for cut in cuts]

    def _page(
        self,
        checkpoint: Checkpoint,
        now: VendorTime,
        records: Sequence[Record] = (),
        turn: Turn | None = None,
        *,
        more: bool,
    ) -> Page:
        return Page(
            records=records,
            checkpoint=checkpoint,
            more=more,
            fetched_at=now.now if abs(now.skew) > MAX_SKEW_SECONDS else self._clock.now(),
            watermark=None if more else checkpoint.watermark,
            vendor_time=now.now if now.known else None,
            clock_skew=now.skew,
            retry_after=turn.retry_after if turn is not None and more else None,
            request_id="" if turn is None else turn.request_id,
            gaps=() if turn is None else turn.gaps,
        )


def _parts(activity: str) -> tuple[str, Version]:
    kind, _, version = activity.partition(":")
    return kind, "v2" if version == "v2" else "v1"


def _with_device(record: Record, name: Any) -> Record:
    if name is None:
        return record
    extra = orjson.dumps({"device": msgspec.to_builtins(name)})
    return Record(record.id, record.bucket, record.recorded_at, record.raw, extra)
