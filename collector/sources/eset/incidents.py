"""The feed `incidents`: a few incidents of one lane per call, each in the state it is in.

`GET /v2/incidents` by a filter on `update_time`, so that every change of an incident brings it again; its order is
asked for and not relied on. The filter's language and operators are those of the vendor's help page; filters are at
most 200 characters long, both bounds inclusive and sent in whole seconds, rounded outwards. The last window has no
upper bound: a stamp ahead of the vendor's own `Date` keeps nothing back. Pages as large as the vendor makes them, and
windows so narrow that one page holds them, for a page's token may die while details of its incidents are read.

Incidents without an `updateTime`, which old ones may be, pass no filter on it: sweeps, jobs and the very first run read
each window a second time, by `create_time`, for these alone.

Every state that a call sees becomes a record, and the state is the one of the incident's own request: what changes
between the list and that request is seen at once, what changes after it moves `update_time` and is listed again. What
does not move it is found when the incidents that are still open are read again (`open_incidents`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import CheckpointExpired, SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import AnswerTooLarge
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources import lanes
from collector.sources.eset.client import EsetClient, TookTooLong
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.incident_details import PATH, IncidentDetails
from collector.sources.eset.incident_listing import Listing, ListReader, Need, Place, read_portion
from collector.sources.eset.incident_record import Item, slice_incidents
from collector.sources.eset.open_incidents import OpenIncidents
from collector.sources.eset.pending import PendingAnswer
from collector.sources.run import MILLISECOND, Run, run_of
from collector.sources.slicing import UnreadablePage
from collector.sources.vendor_time import MAX_SKEW_SECONDS, VendorTime

MAX_LIMIT = 1000
_WIDEST = timedelta(days=36500)
_REACH = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# A page of so many leads on to others: narrower windows are better than its token.
_FULL = 100
_REQUESTS = 24
_TORN_TWICE, _TORN_WAIT = 2, 2.0
_FAULTS, _FAULT_WAIT = 5, 10.0
_SMALLER = 32


class Incidents:
    """Reads incidents for one API user. Positions are in the checkpoints.

    Kept between calls is only what costs requests when it is lost: pages that are being worked off, details of
    incidents, how often something has failed.
    """

    def __init__(self, config: EsetConfig, client: EsetClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._details = IncidentDetails(client, clock, log)
        self._lists = {lane: ListReader(client) for lane in Lane}
        self._faults: Counter[Lane] = Counter()
        self._open = OpenIncidents(config, client, self._details, clock, log)
        self._rules = lanes.Rules(
            width=_WIDEST,
            limit=MAX_LIMIT,
            overlap=config.overlap,
            sweep_every=config.sweep.every,
            sweep_window=config.sweep.window,
            start_from=config.start_from,
            unordered=True,
            reach=_REACH,
        )

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`, with a bounded number of requests for details besides the one for the list."""
        planned = await self._client.vendor_time(lane)
        at, run = after, run_of(after)
        if at is not None and run is None and lane is Lane.TIP and self._open.comes_before_tip(at.state, planned.now):
            return await self._read_open(at, planned)
        if at is None or run is None:
            at = lanes.begin(lane, after, window, planned, self._rules)
            run = run_of(at)
        if run is None:
            # Nothing to read before the vendor's clock has moved on; unless it was told wrongly, so it is asked anew.
            self._client.doubt_time()
            return self._page(lanes.Step(at, more=False, watermark=at.watermark), planned)
        place = Place.from_json(at.run)
        try:
            listing = await self._lists[lane].read(_query(run, place), lane, place)
        except SourceError as exc:
            return await self._failed(lane, at, run, place, exc)
        del self._faults[lane]
        if isinstance(listing, PendingAnswer):
            place = msgspec.structs.replace(place, pending=listing.to_json())
            return self._page(lanes.Step(_keep(at, run, place), more=True, retry_after=listing.wait()), planned)
        if after is None and listing.now.now < planned.now - _SECOND:
            # The login's clock was ahead of this answer's: begin by the earlier one, before anything depends on it.
            at = lanes.begin(lane, None, window, listing.now, self._rules)
            return self._page(lanes.Step(at, more=True), listing.now)
        return await self._readable(lane, at, run, place, listing)

    async def _failed(self, lane: Lane, at: Checkpoint, run: Run, place: Place, exc: SourceError) -> Page:
        """What follows from a page that could not be had; raises where that is no more than to ask again."""
        if isinstance(exc, CheckpointExpired):
            raise _expired(at, str(exc)) from exc
        if isinstance(exc, SourceUnavailable) and self._is_pages_own(lane, exc):
            return await self._unreadable(lane, at, run, place, exc)
        if isinstance(exc, (SourceDenied, SourceProtocolError)) and place.by_creation:
            self._log.warning("incidents without an update time can't be asked for", lane=lane, error=str(exc))
            now = self._client.vendor_clock.read()
            return self._page(self._finish(lane, at, run, now), now)
        raise exc

    async def _read_open(self, at: Checkpoint, planned: VendorTime) -> Page:
        reading = await self._open.read(at.state, planned.now)
        step = lanes.Step(replace(at, state=reading.state), reading.more, at.watermark, reading.wait)
        return self._page(step, self._client.vendor_clock.read(), reading.records, reading.request_id)

    async def _readable(self, lane: Lane, at: Checkpoint, run: Run, place: Place, listing: Listing) -> Page:
        if place.by_creation:
            listing = listing.undated()
        page = listing.page
        if page.token is not None and run.token is None and len(page.items) >= _FULL and _is_wide(run):
            return self._page(lanes.Step(_keep(at, _halved(run), Place()), more=True), listing.now)
        portion = await read_portion(listing, place, self._details, lane, Need(_REQUESTS))
        if portion.failure is not None:
            self._lists[lane].forget()  # the next attempt lists anew: whether that works tells whose fault it is
            if not portion.records:
                raise portion.failure
        if portion.place.done < len(page.items):
            step = lanes.Step(_keep(at, run, portion.place), more=True, retry_after=portion.wait)
            return self._page(step, listing.now, portion.records, listing.request_id)
        self._lists[lane].forget()
        shown = [_as_shown(item) for item in page.items]
        run = lanes.note(run, shown, listing.now)
        onward = lanes.advance(lane, at, run, shown, page.token)
        if onward is not None:
            kept = {**(onward.checkpoint.run or {}), "place": Place(by_creation=place.by_creation).to_json()}
            step = replace(onward, checkpoint=replace(onward.checkpoint, run=kept))
        elif not place.by_creation and self._has_undated(lane, at):
            run = msgspec.structs.replace(run, token=None, mark="", marked=0, empty=0)
            step = lanes.Step(_keep(at, run, Place(by_creation=True)), more=True)
        else:
            step = self._finish(lane, at, run, listing.now)
        return self._page(step, listing.now, portion.records, listing.request_id)

    def _has_undated(self, lane: Lane, at: Checkpoint) -> bool:
        """Whether to look for incidents without an `updateTime`: old ones, so the tip does in its first run alone."""
        return lane is not Lane.TIP or not self._open.has_begun(at.state)

    def _finish(self, lane: Lane, at: Checkpoint, run: Run, now: VendorTime) -> lanes.Step:
        """The window is done with; the next one may be wider than this one had to be."""
        wider = None if run.width_ms is None else run.width_ms * 2
        run = msgspec.structs.replace(run, width_ms=wider, limit=MAX_LIMIT)
        step = lanes.finish_window(lane, at, run, now, self._rules)
        if lane is not Lane.TIP or step.more:
            return step
        state, goes_on = self._open.after_tip(step.checkpoint.state, now.now)
        return replace(step, checkpoint=replace(step.checkpoint, state=state), more=goes_on)

    def _is_pages_own(self, lane: Lane, exc: SourceUnavailable) -> bool:
        """Whether a failure is one to ask for less after: of its kind, or the fifth in a row of the same page."""
        if isinstance(exc, (UnreadablePage, AnswerTooLarge, TookTooLong)):
            return True
        if exc.throttled or exc.retry_after is not None or not str(exc).startswith(PATH):
            return False
        self._faults[lane] += 1
        return self._faults[lane] >= _FAULTS

    async def _unreadable(self, lane: Lane, at: Checkpoint, run: Run, place: Place, exc: SourceUnavailable) -> Page:
        """Ask again, then for less: half the window, fewer incidents; what stays unreadable by itself is a gap."""
        now = self._client.vendor_clock.read()
        torn = place.torn + 1
        tell = self._log.warning if torn == 1 else self._log.debug
        tell("page unreadable", lane=lane, limit=run.limit, start=run.start, end=run.end, error=str(exc))
        if torn < _TORN_TWICE and isinstance(exc, UnreadablePage):
            following, place = run, Place(torn=torn, by_creation=place.by_creation)
        elif _is_wide(run):
            following, place = _halved(run), Place()
        elif run.limit > 1:
            following = msgspec.structs.replace(run, limit=max(1, run.limit // _SMALLER), token=None)
            place = Place()
        else:
            return await self._step_over(lane, at, run, exc)
        wait = _TORN_WAIT if isinstance(exc, UnreadablePage) else _FAULT_WAIT
        return self._page(lanes.Step(_keep(at, following, place), more=True, retry_after=wait), now)

    async def _step_over(self, lane: Lane, at: Checkpoint, run: Run, exc: SourceUnavailable) -> Page:
        """A second that can't be read while the same question about another can: a gap."""
        asked_now = f'incident.update_time >= timestamp("{_whole_second(self._client.vendor_clock.read().now)}")'
        control = [("pageSize", "1"), ("orderBy", "update_time"), ("filter", asked_now)]
        answer = await self._client.ask("incident", PATH, control, lane, None)
        if isinstance(answer, PendingAnswer):
            raise SourceUnavailable(f"nothing can be read: {exc}", answer.wait()) from exc
        slice_incidents(answer.body)
        gap = Gap(run.start, run.end, str(exc), run.token)
        now = self._client.vendor_clock.read()
        run = msgspec.structs.replace(run, limit=MAX_LIMIT)
        return self._page(self._finish(lane, lanes.remember_gap(at, gap), run, now), now, gaps=(gap,))

    def _page(
        self,
        step: lanes.Step,
        now: VendorTime,
        records: Sequence[Record] = (),
        request_id: str = "",
        gaps: Sequence[Gap] = (),
    ) -> Page:
        return Page(
            records=records,
            checkpoint=step.checkpoint,
            more=step.more,
            fetched_at=now.now if abs(now.skew) > MAX_SKEW_SECONDS else self._clock.now(),
            watermark=step.watermark,
            vendor_time=now.now if now.known else None,
            clock_skew=now.skew,
            retry_after=step.retry_after,
            request_id=request_id,
            gaps=gaps,
        )


def _expired(at: Checkpoint, why: str) -> CheckpointExpired:
    """A page's token is refused: the window is read anew, in halves where that happens again."""
    anew = lanes.expired(at, why)
    resumed = run_of(anew.resume)
    if anew.got_on or resumed is None or not _is_wide(resumed):
        return anew
    return CheckpointExpired(why, _keep(at, _halved(resumed), Place()), got_on=True)


def _query(run: Run, place: Place) -> list[tuple[str, str]]:
    name = "create_time" if place.by_creation else "update_time"
    bounds = [f'incident.{name} >= timestamp("{_whole_second(run.start)}")']
    if run.reach is None or run.end < run.reach:
        bounds.append(f'incident.{name} <= timestamp("{_whole_second(run.end + _SECOND - timedelta(microseconds=1))}")')
    query = [("pageSize", str(run.limit)), ("orderBy", name), ("filter", " && ".join(bounds))]
    return query if run.token is None else [*query, ("pageToken", run.token)]


def _whole_second(moment: datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _is_wide(run: Run) -> bool:
    return run.end - run.start > _SECOND


def _halved(run: Run) -> Run:
    """The run with half of its window, in whole seconds; the part beyond vendor time goes first."""
    width = run.end - run.start
    run = msgspec.structs.replace(run, token=None, mark="", marked=0, empty=0)
    if run.start < run.goal < run.end:
        return msgspec.structs.replace(run, end=run.goal)
    half = max(_SECOND, timedelta(seconds=width // _SECOND // 2))
    return msgspec.structs.replace(run, end=run.start + half, width_ms=half // MILLISECOND)


def _as_shown(item: Item) -> Record:
    """What the walk through the pages needs of an incident."""
    return Record(id=f"{item.uuid}@{item.version}", bucket=0, recorded_at=item.updated, raw=b"")


def _keep(at: Checkpoint, run: Run, place: Place) -> Checkpoint:
    return replace(at, run={**run.to_json(), "place": place.to_json()})
