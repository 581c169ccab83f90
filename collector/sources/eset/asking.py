"""One request for detections: for what it is asked, what it leads to, how its answer is taken apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import aiohttp
from structlog.typing import FilteringBoundLogger as Log

from collector.errors import SourceUnavailable
from collector.http import Answer
from collector.model import Checkpoint, Gap, Lane, Window
from collector.sources.eset.client import EsetClient
from collector.sources.eset.complaints import request_id_of
from collector.sources.eset.pending import PendingAnswer
from collector.sources.eset.slicing import Slices, UnreadablePage, slice_page
from collector.sources.eset.tracks import Progress, Track, Version
from collector.sources.eset.walking import cautious

# A slice of this size takes about as long as the loop may be held up.
_SLICE_ON_LOOP_BYTES = 512 << 10
_UNKNOWN_TOLD = 100


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request is asked for: the lane, its checkpoint and bounds, the version; `pending`: its kept answer."""

    lane: Lane
    at: Checkpoint
    window: Window | None
    version: Version
    track: Track
    progress: Progress
    pending: PendingAnswer | None

    @property
    def key(self) -> tuple[Lane, Version]:
        """Who asks, for what is kept between calls."""
        return self.lane, self.version

    @property
    def path(self) -> str:
        """The version's list."""
        return f"/{self.version}/detections"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one request led to. `over`: the activity has no more for now. `left`: positions of records to deliver."""

    track: Track
    progress: Progress
    over: bool = False
    slices: Slices | None = None
    left: Sequence[int] = ()
    retry_after: float | None = None
    gaps: tuple[Gap, ...] = ()
    request_id: str = ""
    pending: PendingAnswer | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """An answer that could be read."""

    slices: Slices
    request_id: str


class Asker:
    """Asks for pages and takes them apart; remembers how often in a row a path of a lane failed."""

    def __init__(self, client: EsetClient, log: Log) -> None:
        self.client = client
        self.log = log
        self._faults: Counter[tuple[Lane, str]] = Counter()
        self._told: set[str] = set()

    @property
    def sure(self) -> datetime:
        """What can be vouched for of vendor time."""
        return cautious(self.client.vendor_clock.read())

    async def ask(
        self,
        asking: Asking,
        path: str,
        query: Sequence[tuple[str, str]],
        key: Literal["detections", "createdDetections"],
        *,
        tokened: bool,
    ) -> Read | PendingAnswer:
        """Ask for a page whose list is `key`.

        Raises:
            UnreadablePage: the answer is no page, besides what `EsetClient.ask` says.
        """
        answer = await self.client.ask("incident", path, query, asking.lane, asking.pending, tokened=tokened)
        if isinstance(answer, PendingAnswer):
            return answer
        slices = await self._slices(answer, path, key)
        del self._faults[asking.lane, path]
        for unknown in slices.unknown:
            if unknown not in self._told and len(self._told) < _UNKNOWN_TOLD:
                self._told.add(unknown)
                self.log.info("an answer has a member that nobody knows", path=path, member=unknown[:100])
        return Read(slices, request_id_of(answer))

    def is_lasting(self, lane: Lane, path: str, exc: SourceUnavailable, most: int) -> bool:
        """Whether a failure counts like a page that can't be read: the same page fails so often in a row.

        The vendor must have answered the page's own request: an outage of the network or the login says nothing.
        """
        is_answer = str(exc).startswith(path) or isinstance(exc.__cause__, aiohttp.ClientPayloadError)
        if exc.throttled or exc.retry_after is not None or not is_answer:
            return False
        self._faults[lane, path] += 1
        return self._faults[lane, path] >= most

    async def _slices(self, answer: Answer, path: str, key: str) -> Slices:
        name = request_id_of(answer)
        if answer.body.lstrip()[:1] in (b"", b"<"):
            # A gateway's page, not the vendor's: no reason to suspect the records.
            raise SourceUnavailable(f"{path}: the answer is no JSON (request {name})")
        try:
            if len(answer.body) > _SLICE_ON_LOOP_BYTES:
                return await asyncio.to_thread(slice_page, answer.body, key)
            return slice_page(answer.body, key)
        except UnreadablePage as exc:
            raise UnreadablePage(f"{path}: {exc} (request {name})") from exc
