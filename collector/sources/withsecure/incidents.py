"""The feed `incidents`: states of incidents (Broad Context Detections), and the detections of each as own records.

`GET /incidents/v1/incidents` by `updatedTimestampStart` and `End` (never together with the created range), `order=asc`
since newest first is the default, 1 to 50 a page. An incident that changes moves to the end of that order while it is
being read: the frozen end of a run, the overlap and ids made of the state see to it that each state counts once. Its
detections come from `GET /incidents/v1/detections`, which wants an `incidentId`, 1 to 100 a page.

One call reads one page of incidents or one page of the detections of one incident. What is still to be read stands in
the checkpoint (`todo`), stored together with the incidents. Both are asked for by every lane: the tip reads the
detections of each state once, the sweep those of every incident in its window, and at times those of all that are open
(`recheck`), for it is unknown whether a new detection always moves the incident's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2b

from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import CheckpointExpired, NotLicensed, SourceDenied, SourceProtocolError
from collector.http import Answer, AnswerTooLarge
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources import lanes
from collector.sources.run import MILLISECOND
from collector.sources.slicing import UnreadablePage
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.config import WithSecureConfig
from collector.sources.withsecure.detections import Detections
from collector.sources.withsecure.incident_slices import belonging_of, incident_record, is_open
from collector.sources.withsecure.narrowing import Ask
from collector.sources.withsecure.ordered import OrderedFeed, page_of, rules_of, take_apart
from collector.sources.withsecure.recheck import Recheck, recheck_of, scheduled
from collector.sources.withsecure.slicing import Slices
from collector.sources.withsecure.todo import Todo, from_ms, merged, to_ms, todo_of, with_todo
from collector.timestamps import format_utc

PATH = "/incidents/v1/incidents"
MAX_LIMIT = 50
_REMEMBERED, _MOST = 200, 500
_RECHECK_SWEEPS = 12
_KNOWN = "known"


class Incidents:
    """Reads incidents for one API client. Positions are in the checkpoints."""

    def __init__(self, config: WithSecureConfig, client: WithSecureClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._clock = clock
        self._organization_id = config.organization_id
        self._recheck_every = _RECHECK_SWEEPS * config.sweep.every
        self._feed = OrderedFeed(PATH, self._read, rules_of(config, MAX_LIMIT), client, clock, log)
        self._detections = Detections(config.organization_id, client, clock, log)

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        planned = await self._client.vendor_time(lane)
        if after is not None and (todo := self._detections.next_of(after, planned.now)) is not None:
            return await self._detections.fetch(lane, after, todo)
        if lane is Lane.SWEEP and after is not None and (walk := recheck_of(after)) is not None:
            return await self._recheck(after, walk)
        page = await self._feed.fetch(lane, after, window)
        return self._with_detections(lane, page, window, planned.now)

    async def look(self) -> Sequence[str]:
        """Read the newest incident of the last 30 days and a detection of it, for a check; what to remark.

        Raises:
            SourceDenied: incidents can't be read: no licence, or no right.
        """
        now = (await self._client.vendor_time(Lane.TIP)).now
        _, slices = await self._read(Ask(now - timedelta(days=30), now, limit=1, descending=True), Lane.TIP)
        for todo in todo_of(_noted(Checkpoint(), slices.records[:1])[0]):
            try:
                await self._detections.look(todo)
            except SourceDenied as exc:
                return [f"their detections are denied: {exc}"]
        return []

    async def _read(self, ask: Ask, lane: Lane) -> tuple[Answer, Slices]:
        query = [
            ("updatedTimestampStart", format_utc(ask.start)),
            ("updatedTimestampEnd", format_utc(ask.end)),
            ("order", "desc" if ask.descending else "asc"),
            ("limit", str(ask.limit)),
        ]
        if ask.token is not None:
            query.append(("anchor", ask.token))
        if self._organization_id is not None:
            query.append(("organizationId", self._organization_id))
        anchored = ask.token is not None
        try:
            answer = await self._client.get(PATH, lane, query, anchored=anchored, optional=True)
        except NotLicensed as exc:
            # The same text each time, so that it is told once: the vendor's transaction is another each time.
            words = str(exc).partition(" (transaction ")[0]
            raise NotLicensed(f"not licensed, or the credentials lack the right: {words}") from exc
        slices = await take_apart(PATH, answer, incident_record)
        self._detections.vendor_is_well()
        return answer, slices

    def _with_detections(self, lane: Lane, page: Page, window: Window | None, now: datetime) -> Page:
        """The page with its incidents on the list of those whose detections are to be read."""
        at, records = page.checkpoint, page.records
        if lane is Lane.TIP:
            at, records = _without_known(at, records)
        at, gaps = _noted(at, records)
        if lane is Lane.SWEEP and not page.more:
            at = scheduled(at, window, now, self._recheck_every)
        page = replace(page, checkpoint=at, gaps=(*page.gaps, *gaps))
        return self._detections.go_on(page, lane, now, more=recheck_of(at) is not None)

    async def _recheck(self, at: Checkpoint, walk: Recheck) -> Page:
        """One page of what was known long ago."""
        records: Sequence[Record] = ()
        try:
            _, slices = await self._read(walk.ask(MAX_LIMIT), Lane.SWEEP)
        except CheckpointExpired:
            following = walk.without_token()
        except (UnreadablePage, AnswerTooLarge, SourceProtocolError):
            following = walk.over()
        else:
            records, following = slices.records, walk.after(slices.records, slices.anchor)
        at, gaps = _noted(following.kept(at), [record for record in records if is_open(record.raw)])
        now = self._client.vendor_clock.read()
        step = lanes.Step(at, more=False, watermark=at.watermark)
        page = page_of(step, now, self._clock, records, gaps=gaps)
        return self._detections.go_on(page, Lane.SWEEP, now.now, more=recheck_of(at) is not None)


def _without_known(at: Checkpoint, records: Sequence[Record]) -> tuple[Checkpoint, Sequence[Record]]:
    """The records whose state was not met in the pages before, which the overlap brings once more."""
    stored = at.state.get(_KNOWN)
    known = [mark for mark in stored if isinstance(mark, str)] if isinstance(stored, list) else []
    marks = {blake2b(record.id.encode(), digest_size=8).hexdigest(): record for record in records}
    fresh = {mark: record for mark, record in marks.items() if mark not in set(known)}
    kept = [mark for mark in known if mark not in fresh][-_REMEMBERED:] + list(fresh)
    return replace(at, state={**at.state, _KNOWN: kept}), list(fresh.values())


def _noted(at: Checkpoint, records: Sequence[Record]) -> tuple[Checkpoint, Sequence[Gap]]:
    """The checkpoint with these incidents to do; what does not fit, the oldest, as gaps."""
    more = [
        Todo(belonging, at_ms=0 if record.recorded_at is None else to_ms(record.recorded_at))
        for record in records
        if (belonging := belonging_of(record.raw)) is not None
    ]
    todo = merged(todo_of(at), more)
    left_out = todo[:-_MOST] if len(todo) > _MOST else []
    gaps = [
        Gap(from_ms(each.at_ms), from_ms(each.at_ms) + MILLISECOND, f"detections of incident {each.of.id}: left out")
        for each in left_out
    ]
    return with_todo(at, todo[-_MOST:]), gaps
