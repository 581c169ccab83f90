"""The detections of incidents: one page of one incident's per call, as records of the feed `incidents`.

`GET /incidents/v1/detections` wants an `incidentId`; there is no variant for a whole organization, and no order is
promised. Detections are immutable: read again they are known, so whatever goes wrong an incident's are simply read from
the beginning. They hold no incident up: an incident whose detections fail is put behind the others, and where they
are denied altogether the incidents go on without them, to be completed when the right is given.

Detections of an old incident that are older than the ids which are remembered would be taken for new ones: what an
incident known for long had long before the lane was last caught up is passed over, for it was read at its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import CheckpointExpired, NotLicensed, SourceDenied, SourceError, SourceUnavailable
from collector.http import Answer, AnswerTooLarge
from collector.model import Checkpoint, Gap, Lane, Page, Record
from collector.sources import lanes
from collector.sources.run import MILLISECOND
from collector.sources.slicing import UnreadablePage
from collector.sources.withsecure.client import NotOffered, WithSecureClient
from collector.sources.withsecure.complaints import transaction_of
from collector.sources.withsecure.incident_slices import detection_record
from collector.sources.withsecure.ordered import page_of, take_apart
from collector.sources.withsecure.slicing import Slices, minute_of
from collector.sources.withsecure.todo import Todo, from_ms, to_ms, todo_of, with_todo
from collector.timestamps import format_utc, parse_rfc3339

PATH = "/incidents/v1/detections"

_DENIED_FOR, _DENIED_AT_MOST = timedelta(minutes=1), timedelta(minutes=15)
_OLD = timedelta(days=7)
_CAUGHT_UP = "caught_up"
_FAULTS, _ANEW, _PROOFS = 3, 5, 8


class Detections:
    """Reads what the checkpoints say is to do. Kept between calls: failures in a row and whether a right is lacking."""

    def __init__(self, organization_id: str | None, client: WithSecureClient, clock: Clock, log: Log) -> None:
        self._organization_id = organization_id
        self._client = client
        self._clock = clock
        self._log = log
        self._faults: Counter[Lane] = Counter()
        self._denied_until: datetime | None = None
        self._denials = 0
        self._is_well = False

    def vendor_is_well(self) -> None:
        """Another answer could be read."""
        self._is_well = True

    def next_of(self, at: Checkpoint, now: datetime) -> Todo | None:
        """The incident whose turn it is, None where there is none."""
        if self._denied_until is not None and now < self._denied_until:
            return None
        return next((todo for todo in todo_of(at) if todo.is_due(now)), None)

    async def fetch(self, lane: Lane, at: Checkpoint, todo: Todo) -> Page:
        """One page of this incident's detections.

        Raises:
            SourceUnavailable: ask again later, nothing moved.
        """
        try:
            answer, slices = await self._read(todo, lane)
        except SourceError as exc:
            return self._without_answer(lane, at, todo, exc)
        del self._faults[lane]
        self._is_well, self._denials, self._denied_until = True, 0, None
        records = _without_old(slices.records, at, todo)
        if slices.anchor is None:
            return self._page(lane, _replaced(at, todo), records, answer, more=_is_ahead(todo))
        following = todo.turned(slices.anchor, [record.id for record in slices.records])
        if following is None:
            return self._anew(lane, at, todo, SourceUnavailable(f"{PATH}: its anchors lead nowhere"), records)
        return self._page(lane, _replaced(at, todo, following), records, answer)

    async def look(self, todo: Todo) -> None:
        """Read one detection of an incident, for a check.

        Raises:
            SourceError: why it can't be read.
        """
        await self._read(msgspec.structs.replace(todo, limit=1), Lane.TIP)

    def go_on(self, page: Page, lane: Lane, now: datetime, *, more: bool = False) -> Page:
        """The page of a lane that is caught up only if there is nothing else to do."""
        if page.more:
            return page
        if more or self.next_of(page.checkpoint, now) is not None:
            return replace(page, more=True, watermark=None)
        if lane is not Lane.JOB:
            watermark = page.checkpoint.watermark
            caught_up = {} if watermark is None else {_CAUGHT_UP: format_utc(watermark)}
            at = replace(page.checkpoint, state={**page.checkpoint.state, **caught_up})
            return replace(page, checkpoint=at)
        left = todo_of(page.checkpoint)
        if not left:
            return page
        # A job is over only when all is read.
        due = min(from_ms(todo.due_ms) for todo in left)
        wait = max(1.0, (max(due, self._denied_until or due) - now).total_seconds())
        return replace(page, more=True, watermark=None, retry_after=wait)

    async def _read(self, todo: Todo, lane: Lane) -> tuple[Answer, Slices]:
        query = [("incidentId", todo.of.id), ("limit", str(todo.limit))]
        if todo.token is not None:
            query.append(("anchor", todo.token))
        if self._organization_id is not None:
            query.append(("organizationId", self._organization_id))
        answer = await self._client.get(PATH, lane, query, anchored=todo.token is not None, optional=True)
        return answer, await take_apart(PATH, answer, partial(detection_record, extra=todo.of.extra()))

    def _without_answer(self, lane: Lane, at: Checkpoint, todo: Todo, exc: SourceError) -> Page:
        match exc:
            case CheckpointExpired():
                return self._anew(lane, at, todo, exc)
            case NotOffered():
                # Not there, or not there yet: an incident may have gone into another.
                return self._failed(lane, at, todo, exc)
            case NotLicensed():
                return self._denied(lane, at, exc)
            case SourceDenied():
                # The credentials: nothing can be read, and nothing is known of this right.
                raise exc
            case _:
                return self._unreadable(lane, at, todo, exc)

    def _anew(self, lane: Lane, at: Checkpoint, todo: Todo, exc: SourceError, records: Sequence[Record] = ()) -> Page:
        """A token is refused or leads nowhere: the incident's detections from their beginning, a few times at once."""
        if todo.anew < _ANEW:
            return self._page(lane, _replaced(at, todo, todo.begun_again()), records)
        return self._failed(lane, at, todo.begun_again(), exc, records)

    def _denied(self, lane: Lane, at: Checkpoint, exc: SourceDenied) -> Page:
        """The right is lacking: tried again ever later, for one refusal may be the vendor's error."""
        wait = min(_DENIED_AT_MOST, _DENIED_FOR * 2 ** min(self._denials, 10))
        self._denied_until = self._client.vendor_clock.read().now + wait
        if self._denials == 0:
            self._log.error("detections denied, incidents go on without them", error=str(exc))
        self._denials += 1
        return self._page(lane, at, more=self._denials > 1)

    def _unreadable(self, lane: Lane, at: Checkpoint, todo: Todo, exc: SourceError) -> Page:
        if isinstance(exc, SourceUnavailable) and (exc.throttled or exc.retry_after is not None):
            raise exc
        self._faults[lane] += 1
        too_large = isinstance(exc, AnswerTooLarge)
        if self._faults[lane] < _FAULTS and not too_large:
            raise exc
        if todo.limit > 1 and (too_large or isinstance(exc, UnreadablePage)):
            return self._page(lane, _replaced(at, todo, msgspec.structs.replace(todo, limit=todo.limit // 2)))
        return self._failed(lane, at, todo, exc)

    def _failed(self, lane: Lane, at: Checkpoint, todo: Todo, exc: SourceError, records: Sequence[Record] = ()) -> Page:
        """This incident's detections can't be read now: another's turn; given up only if all else can be read."""
        del self._faults[lane]
        now = self._client.vendor_clock.read().now
        later = todo.later(now, proven=self._is_well)
        self._is_well = False
        self._log.debug("detections unreadable", lane=lane, tries=later.tries, error=str(exc))
        if later.proofs < _PROOFS:
            return self._page(lane, _replaced(at, todo, later, last=True), records, more=_is_ahead(todo))
        start = from_ms(todo.at_ms)
        gap = Gap(start, start + MILLISECOND, f"detections of incident {todo.of.id}: {exc}", todo.token)
        return self._page(lane, _replaced(at, todo), records, gaps=(gap,))

    def _page(
        self,
        lane: Lane,
        at: Checkpoint,
        records: Sequence[Record] = (),
        answer: Answer | None = None,
        gaps: Sequence[Gap] = (),
        *,
        more: bool = False,
    ) -> Page:
        """`more`: what was tried again came ahead of the incidents themselves, which are still to be asked for."""
        now = self._client.vendor_clock.read()
        unfinished = at.run is not None
        step = lanes.Step(at, more=unfinished, watermark=None if unfinished else at.watermark)
        page = page_of(step, now, self._clock, records, "" if answer is None else transaction_of(answer), gaps)
        return self.go_on(page, lane, now.now, more=more and lane is not Lane.JOB)


def _is_ahead(todo: Todo) -> bool:
    return todo.tries > 0


def _replaced(at: Checkpoint, todo: Todo, following: Todo | None = None, *, last: bool = False) -> Checkpoint:
    left = []
    for each in todo_of(at):
        if each.of.id != todo.of.id:
            left.append(each)
        elif following is not None and not last:
            left.append(following)
    return with_todo(at, [*left, following] if following is not None and last else left)


def _without_old(records: Sequence[Record], at: Checkpoint, todo: Todo) -> Sequence[Record]:
    try:
        old = parse_rfc3339(at.state[_CAUGHT_UP]) - _OLD
    except (KeyError, TypeError, ValueError):
        return records
    if todo.of.created is None or todo.of.created >= to_ms(old):
        return records
    return [record for record in records if not 0 < record.bucket < minute_of(old)]
