"""One page of a version's deltas per call: the request, and what its failures mean."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from collector.errors import CheckpointExpired, SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import AnswerTooLarge
from collector.sources.eset import delta
from collector.sources.eset.asking import Asker, Asking, Turn
from collector.sources.eset.client import TookTooLong
from collector.sources.eset.delta import Bounds, Outcome
from collector.sources.eset.pending import PendingAnswer
from collector.sources.eset.slicing import UnreadablePage
from collector.sources.eset.tracks import Following, Track
from collector.sources.lanes import Rules
from collector.timestamps import parse_rfc3339

# A dead token may be answered 500 as well. Giving one up costs a walk of the lists, keeping it costs freshness: some
# eight minutes, as pollers wait.
_FAULTS = 8
_SMALLEST, _SMALLEST_SLOW = 1, 50
_FIRST_WAIT = 0.25


class Deltas:
    """Follows deltas; keeps nothing between calls."""

    def __init__(self, asker: Asker, rules: Rules) -> None:
        self._asker = asker
        self._rules = rules

    async def read(self, asking: Asking) -> Turn:
        """Ask for the next page; raises as `Source.fetch`, save what gives deltas up."""
        track, progress, path = asking.track, asking.progress, f"{asking.path}:listDelta"
        following = progress.following or Following(date=self._asker.sure)
        query = [("deltaToken", track.token or delta.LATEST), ("pageSize", str(track.page_size))]
        if following.page_token is not None:
            query.append(("pageToken", following.page_token))
        try:
            read = await self._asker.ask(asking, path, query, "createdDetections", tokened=True)
        except SourceError as exc:
            outcome, wait = self._failed(asking, following, path, exc)
            return self._turn(asking, outcome, retry_after=wait)
        if isinstance(read, PendingAnswer):
            kept = replace(progress, following=following)
            return Turn(track, kept, pending=read, retry_after=read.wait())
        outcome = delta.took(track, progress, following, read.slices, self._bounds(asking))
        turn = self._turn(asking, outcome)
        return Turn(
            turn.track,
            turn.progress,
            over=turn.over,
            slices=read.slices,
            left=range(len(read.slices.cuts)),
            request_id=read.request_id,
        )

    def _turn(self, asking: Asking, outcome: Outcome, retry_after: float | None = None) -> Turn:
        self._tell(asking, outcome.track)
        progress = replace(asking.progress, following=outcome.following)
        return Turn(outcome.track, progress, over=outcome.over, retry_after=retry_after)

    def _bounds(self, asking: Asking) -> Bounds:
        beginning: datetime = parse_rfc3339(asking.at.state["beginning"])
        clock = self._asker.client.vendor_clock.read().now
        return Bounds(self._asker.sure, clock, beginning, self._rules.sweep_window)

    def _failed(
        self, asking: Asking, following: Following, path: str, exc: SourceError
    ) -> tuple[Outcome, float | None]:
        track, progress, bounds = asking.track, asking.progress, self._bounds(asking)
        match exc:
            case CheckpointExpired():
                return delta.page_refused(track, progress, bounds), None
            case UnreadablePage():
                wait = _FIRST_WAIT * 2**following.fails
                self._asker.log.warning("delta unreadable", version=asking.version, error=str(exc))
                return delta.unreadable(track, progress, following, bounds), wait
            case AnswerTooLarge() | TookTooLong():
                return self._too_much(asking, following, exc)
            case SourceDenied() | SourceProtocolError() if str(exc).startswith(path):
                return Outcome(delta.given_up(track, progress, bounds), None, over=True), None
            case SourceUnavailable() if self._asker.is_lasting(asking.lane, path, exc, _FAULTS):
                return delta.refused(track, progress, bounds), None
        raise exc

    def _too_much(
        self, asking: Asking, following: Following, exc: AnswerTooLarge | TookTooLong
    ) -> tuple[Outcome, float | None]:
        """An answer over our cap, or over the vendor's time: smaller pages, which need a new beginning."""
        track = asking.track
        smallest = _SMALLEST if isinstance(exc, AnswerTooLarge) else _SMALLEST_SLOW
        if track.page_size > smallest:
            track = replace(track, page_size=max(smallest, track.page_size // 2))
            return Outcome(track, Following(date=following.date)), exc.retry_after
        if isinstance(exc, TookTooLong):
            raise exc
        return delta.refused(track, asking.progress, self._bounds(asking)), None

    def _tell(self, asking: Asking, track: Track) -> None:
        before, log = asking.track, self._asker.log
        if before.token is not None and track.token is None:
            log.warning("delta token dead, the lists are to be read again", version=asking.version)
        if before.delta_off is None and track.delta_off is not None:
            log.info("deltas are not offered, the lists are read instead", version=asking.version)
        if before.delta_off is not None and track.delta_off is None:
            log.info("deltas are offered again", version=asking.version)
