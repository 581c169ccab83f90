"""A feed that the vendor serves in order of its own stamps: one page of one lane per call, however it is asked for.

What is asked and how a page is sliced is the caller's (`Reader`); here pages become checkpoints (`lanes`), and a page
that can't be read is passed (`narrowing`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import aiohttp
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import CheckpointExpired, SourceUnavailable
from collector.http import Answer, AnswerTooLarge
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources import lanes
from collector.sources.run import Run, run_of
from collector.sources.slicing import UnreadablePage
from collector.sources.vendor_time import MAX_SKEW_SECONDS, VendorTime
from collector.sources.withsecure import narrowing
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.complaints import transaction_of
from collector.sources.withsecure.config import WithSecureConfig
from collector.sources.withsecure.narrowing import Ask
from collector.sources.withsecure.slicing import Slices, slice_page

Reader = Callable[[Ask, Lane], Awaitable[tuple[Answer, Slices]]]

# The vendor refuses wider ranges.
WIDEST = timedelta(days=30)
# A slice of this size takes about as long as the loop may be held up.
_SLICE_ON_LOOP_BYTES = 512 << 10
# So often in a row a page may fail otherwise than by being torn; each step of the search then waits a while.
_FAULTS, _FAULT_WAIT = 5, 10.0


def rules_of(config: WithSecureConfig, limit: int) -> lanes.Rules:
    """How the lanes of a feed walk whose pages hold up to `limit` records."""
    return lanes.Rules(
        width=WIDEST,
        limit=limit,
        overlap=config.overlap,
        sweep_every=config.sweep.every,
        sweep_window=config.sweep.window,
        start_from=config.start_from,
    )


async def take_apart(path: str, answer: Answer, make: Callable[[bytes], Record] | None = None) -> Slices:
    """The records of an answer; `make` as in `slice_page`.

    Raises:
        UnreadablePage: it is no page; SourceUnavailable: it is not the vendor's.
    """
    if answer.body.lstrip()[:1] in (b"", b"<"):
        # A gateway's page, not the vendor's: no reason to suspect the records.
        raise SourceUnavailable(f"{path}: the answer is no JSON (transaction {transaction_of(answer)})")
    try:
        if len(answer.body) > _SLICE_ON_LOOP_BYTES:
            return await asyncio.to_thread(slice_page, answer.body, make)
        return slice_page(answer.body, make)
    except UnreadablePage as exc:
        raise UnreadablePage(f"{path}: {exc} (transaction {transaction_of(answer)})") from exc


def page_of(
    step: lanes.Step,
    now: VendorTime,
    clock: Clock,
    records: Sequence[Record] = (),
    request_id: str = "",
    gaps: Sequence[Gap] = (),
) -> Page:
    """A step with what else a page says; `now` is the vendor's time at its answer."""
    return Page(
        records=records,
        checkpoint=step.checkpoint,
        more=step.more,
        fetched_at=now.now if abs(now.skew) > MAX_SKEW_SECONDS else clock.now(),
        watermark=step.watermark,
        vendor_time=now.now if now.known else None,
        clock_skew=now.skew,
        retry_after=step.retry_after,
        request_id=request_id,
        gaps=gaps,
    )


class OrderedFeed:
    """Reads one feed of one API client. Positions are in the checkpoints.

    Kept between calls is only what an error keeps from the store: how often a page has failed, and how a search goes on
    whose last step raised one. Losing it costs requests.
    """

    def __init__(
        self, path: str, read: Reader, rules: lanes.Rules, client: WithSecureClient, clock: Clock, log: Log
    ) -> None:
        self._path = path
        self._read = read
        self._rules = rules
        self._client = client
        self._clock = clock
        self._log = log
        self._instead: dict[Lane, tuple[Run, Run]] = {}
        self._faults: Counter[Lane] = Counter()

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        planned = await self._client.vendor_time(lane)
        at, run = after, run_of(after)
        if at is None or run is None:
            at = lanes.begin(lane, after, window, planned, self._rules)
            run = run_of(at)
        if run is None:
            # Nothing to read before the vendor's clock has moved on; unless it was told wrongly, so it is asked anew.
            self._client.doubt_time()
            return self._page(lanes.Step(at, more=False, watermark=at.watermark), planned)
        stored, following = self._instead.pop(lane, (run, run))
        run = following if stored == run else run
        try:
            answer, slices = await self._read(narrowing.ask_of(run, planned.now, lanes.known_gaps(at.state)), lane)
        except (UnreadablePage, AnswerTooLarge) as exc:
            return self._unreadable(lane, at, run, exc)
        except CheckpointExpired:
            anew = narrowing.expired(run)
            if anew is None:
                raise
            return self._page(lanes.Step(lanes.keep(at, anew), more=True), self._client.vendor_clock.read())
        except SourceUnavailable as exc:
            if not self._is_pages_own(lane, run, exc):
                raise
            return self._unreadable(lane, at, run, exc, at_least=_FAULT_WAIT)
        del self._faults[lane]
        now = self._client.vendor_clock.read()
        if after is None and now.now < planned.now - timedelta(seconds=1):
            # The login's clock was ahead of this answer's: begin by the earlier one, before anything depends on it.
            return self._page(lanes.Step(lanes.begin(lane, None, window, now, self._rules), more=True), now)
        return self._readable(lane, at, run, slices, now, transaction_of(answer))

    def _readable(self, lane: Lane, at: Checkpoint, run: Run, slices: Slices, now: VendorTime, request_id: str) -> Page:
        run = narrowing.succeeded(run)
        if narrowing.is_aside(run):
            # What a control read finds was read before, and may lie outside of the lane's bounds.
            records = slices.records if narrowing.is_delivered(run) else ()
            following = narrowing.read_aside(run, slices.anchor, empty=not slices.records)
            step = lanes.Step(lanes.keep(at, following), more=True)
            if following.narrow is None:
                step = self._behind(lane, at, run, following, now)
            return self._page(step, now, records, request_id)
        run = lanes.note(run, slices.records, now)
        step = lanes.advance(lane, at, run, slices.records, slices.anchor) or self._behind(
            lane, at, run, narrowing.after_window(run), now
        )
        return self._page(step, now, slices.records, request_id)

    def _is_pages_own(self, lane: Lane, run: Run, exc: SourceUnavailable) -> bool:
        """Whether a failure counts like a page that can't be read: the same page fails for the fifth time.

        The vendor must have answered the page's own request: an outage of the network or the login says nothing.
        """
        is_answer = str(exc).startswith(self._path) or isinstance(exc.__cause__, aiohttp.ClientPayloadError)
        if exc.throttled or exc.retry_after is not None or not is_answer:
            return False
        self._faults[lane] += 1
        is_searching = run.fails > 0 or run.limit < run.most or run.narrow is not None
        return self._faults[lane] >= _FAULTS or is_searching

    def _unreadable(self, lane: Lane, at: Checkpoint, run: Run, exc: SourceUnavailable, at_least: float = 0.0) -> Page:
        """The answer can't be read: the run remembers, so a page without records carries it to the store."""
        now = self._client.vendor_clock.read()
        outcome = narrowing.failed(run, str(exc), at_once=isinstance(exc, AnswerTooLarge))
        if outcome.lasting:
            stored = run_of(at) or run
            self._instead[lane] = stored, outcome.run
            raise SourceUnavailable(f"nothing can be read: {exc}", outcome.wait) from exc
        if outcome.gap is None:
            tell = self._log.warning if run.fails == 0 and run.narrow is None else self._log.debug
            tell("page unreadable", lane=lane, limit=run.limit, in_a_row=outcome.run.fails, error=str(exc))
            step = lanes.Step(lanes.keep(at, outcome.run), more=True, retry_after=max(at_least, outcome.wait))
            return self._page(step, now)
        at = lanes.remember_gap(at, outcome.gap)
        return self._page(self._behind(lane, at, run, outcome.run, now), now, gaps=(outcome.gap,))

    def _behind(self, lane: Lane, at: Checkpoint, run: Run, following: Run, now: VendorTime) -> lanes.Step:
        """The window of `run` is done with; `following` is what is left of the one around it."""
        at = lanes.close_window(lane, at, run)
        if following.narrow is None and following.start >= following.end:
            return lanes.finish_window(lane, at, following, now, self._rules)
        return lanes.Step(lanes.keep(at, following), more=True)

    def _page(
        self,
        step: lanes.Step,
        now: VendorTime,
        records: Sequence[Record] = (),
        request_id: str = "",
        gaps: Sequence[Gap] = (),
    ) -> Page:
        return page_of(step, now, self._clock, records, request_id, gaps)
