"""One page of a version's lists per call: the request, and what its failures mean."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from collector.errors import CheckpointExpired, SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import AnswerTooLarge
from collector.model import Lane
from collector.sources.eset import bisecting, delta, walking
from collector.sources.eset.asking import Asker, Asking, Read, Turn
from collector.sources.eset.bisecting import Failure
from collector.sources.eset.client import TookTooLong
from collector.sources.eset.pending import PendingAnswer
from collector.sources.eset.slicing import Slices, UnreadablePage
from collector.sources.eset.tracks import VERSIONS, Progress, Track, Version, missed, round_of, track_of
from collector.sources.eset.walking import Place, Walked
from collector.sources.lanes import Rules
from collector.sources.run import Run
from collector.timestamps import format_utc

_REFUSALS = 3
# So often in a row a page may fail otherwise than by being torn; each step of the search then waits a while.
_FAULTS, _FAULT_WAIT = 5, 10.0


class Walks:
    """Walks lists. Kept between calls is only what an error keeps from the store; losing it costs requests."""

    def __init__(self, asker: Asker, rules: Rules) -> None:
        self._asker = asker
        self._rules = rules
        self._refused: Counter[tuple[Lane, Version]] = Counter()
        self._instead: dict[tuple[Lane, Version], tuple[Progress, Progress]] = {}

    async def read(self, asking: Asking) -> Turn:
        """Ask for the next page; begins a walk where none is under way. Raises as `Source.fetch`."""
        before, asking = asking.track, self._resumed(asking)
        if asking.progress.walk is None:
            begun = walking.begin(self._place(asking), asking.track, asking.progress, asking.window)
            asking = dataclasses.replace(asking, track=begun.track, progress=begun.progress)
        run = asking.progress.walk
        if run is None:
            if asking.lane is not Lane.JOB:
                # Nothing to read before the vendor's clock has moved on; unless it was told wrongly.
                self._asker.client.doubt_time()
            return Turn(asking.track, asking.progress, over=True)
        control = bisecting.control_of(run, asking.progress.trouble)
        tokened = control is None and run.token is not None
        try:
            read = await self._asker.ask(asking, asking.path, _query(run, control), "detections", tokened=tokened)
        except SourceDenied as exc:
            return self._not_offered(asking, before, exc)
        except SourceError as exc:
            return self._failed(asking, before, run, exc)
        if isinstance(read, PendingAnswer):
            return Turn(asking.track, asking.progress, pending=read, retry_after=read.wait())
        return self._readable(asking, run, read)

    def _place(self, asking: Asking) -> Place:
        return Place(asking.lane, asking.at, self._asker.client.vendor_clock.read(), self._rules)

    def _resumed(self, asking: Asking) -> Asking:
        """With the progress that an error kept from the store."""
        stored, following = self._instead.pop(asking.key, (None, None))
        if following is None or stored != asking.progress:
            return asking
        return dataclasses.replace(asking, progress=following)

    def _readable(self, asking: Asking, run: Run, read: Read) -> Turn:
        del self._refused[asking.key]
        if asking.track.list_off is not None:
            self._asker.log.info("detections are offered again", version=asking.version)
        progress, slices = asking.progress, read.slices
        track = replace(asking.track, list_off=None, seen=True)
        if progress.trouble is not None and progress.trouble.phase == "control":
            following = bisecting.found(run, progress.trouble, empty=not slices.cuts)
            kept = replace(progress, walk=following.run, trouble=following.trouble)
            return Turn(track, kept, retry_after=following.wait or None, request_id=read.request_id)
        track, left = walking.undelivered(track, slices, run, self._rules)
        run = replace(run, fails=0, tries=0)
        try:
            walked = walking.took(self._place(asking), track, progress, run, slices)
        except CheckpointExpired as exc:
            walked = walking.expired(self._place(asking), track, progress, run, str(exc))
        return self._turn(walked, slices, left, read.request_id)

    def _turn(
        self, walked: Walked, slices: Slices | None = None, left: Sequence[int] = (), request_id: str = ""
    ) -> Turn:
        return Turn(
            walked.track,
            walked.progress,
            # Where another walk is due at once this one was not the last: "caught up" is to mean it.
            over=walked.over and walked.track.sweep_from is None,
            slices=slices,
            left=left,
            retry_after=walked.retry_after,
            gaps=walked.gaps,
            request_id=request_id,
        )

    def _failed(self, asking: Asking, before: Track, run: Run, exc: SourceError) -> Turn:
        track, progress = asking.track, asking.progress
        match exc:
            case CheckpointExpired():
                self._asker.log.warning("page token refused, the window is read again", version=asking.version)
                return self._turn(walking.expired(self._place(asking), track, progress, run, str(exc)))
            case UnreadablePage() | AnswerTooLarge() | TookTooLong():
                return self._unreadable(asking, run, exc)
            case SourceProtocolError():
                walked = walking.refused(self._place(asking), track, progress, run)
                return self._not_offered(asking, before, exc) if walked is None else self._turn(walked)
            case SourceUnavailable():
                most = 1 if progress.trouble is not None else _FAULTS
                if self._asker.is_lasting(asking.lane, asking.path, exc, most):
                    return self._unreadable(asking, run, exc)
        raise exc

    def _unreadable(self, asking: Asking, run: Run, exc: SourceUnavailable) -> Turn:
        """The answer can't be read: the run remembers, so a page without records carries it to the store."""
        trouble, (kind, at_least) = asking.progress.trouble, _kind_of(exc)
        if kind == "failing" or (kind == "slow" and run.limit <= bisecting.SMALLEST_SLOW_PAGE):
            without = walking.without_future(self._place(asking), asking.track, asking.progress, run)
            if without is not None:
                return self._turn(without)
        following = bisecting.failed(run, trouble, str(exc), kind)
        progress = replace(asking.progress, walk=following.run, trouble=following.trouble)
        if following.lasting:
            self._instead[asking.key] = round_of(asking.at).of(asking.version), progress
            raise SourceUnavailable(f"nothing can be read: {exc}", following.wait) from exc
        if following.gap is not None:
            return self._turn(
                walking.passed(self._place(asking), asking.track, asking.progress, run, following.gap, following.run)
            )
        tell = self._asker.log.warning if run.fails == 0 and trouble is None else self._asker.log.debug
        tell("page unreadable", lane=asking.lane, version=asking.version, in_a_row=run.fails + 1, error=str(exc))
        return Turn(asking.track, progress, retry_after=max(at_least, following.wait) or None)

    def _not_offered(self, asking: Asking, before: Track, exc: SourceError) -> Turn:
        """The list is refused. One that was read before is given up at the third time only; the last one never."""
        if not str(exc).startswith(asking.path) or (before.seen and isinstance(exc, SourceProtocolError)):
            raise exc
        self._refused[asking.key] += 1
        if before.seen and before.list_off is None and self._refused[asking.key] < _REFUSALS:
            raise exc
        others = [track_of(asking.at, version) for version in VERSIONS if version != asking.version]
        reads_deltas = asking.lane is Lane.TIP and before.delta_off is None
        if not reads_deltas and all(track.is_off(asking.lane) for track in others):
            raise exc
        if before.list_off is None:
            first = track_of(asking.at, VERSIONS[0])
            usual = asking.version != VERSIONS[0] and first.list_off is None  # most customers have the first alone
            tell = self._asker.log.info if usual else self._asker.log.warning
            tell("detections are not offered", version=asking.version, error=str(exc))
        now = self._asker.client.vendor_clock.read().now
        track = replace(before, list_off=missed(before.list_off, now))
        kept = replace(asking.progress, walk=None, trouble=None)
        return Turn(delta.settled(track), kept, over=True)


def _kind_of(exc: SourceUnavailable) -> tuple[Failure, float]:
    """What an answer that can't be used is a case of, and how many seconds to wait at least."""
    match exc:
        case UnreadablePage():
            return "unreadable", 0.0
        case AnswerTooLarge():
            return "large", 0.0
        case TookTooLong():
            return "slow", exc.retry_after or 0.0
    return "failing", _FAULT_WAIT


def _query(run: Run, control: bisecting.Control | None) -> list[tuple[str, str]]:
    start, end, limit = (run.start, run.end, run.limit) if control is None else (control.start, control.end, 1)
    query = [("startTime", format_utc(start)), ("endTime", format_utc(end)), ("pageSize", str(limit))]
    if control is None and run.token is not None:
        query.append(("pageToken", run.token))
    return query
