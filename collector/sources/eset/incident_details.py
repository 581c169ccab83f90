"""What the list does not tell of an incident: two requests, asked for sparingly.

Kept between calls is only what costs requests when it is lost: answers, for as long as the list shows the same of the
incident, and how often a request has failed. An answer is good for later only if it was read a while after the
incident's last update: the vendor's times may be whole seconds, and a second change may fall into the same one.

One incident whose own request fails however often must not hold up all others: after some attempts, with a good answer
of the list before each, it is delivered as the list shows it. It is read again whenever it is listed, and what it then
brings is another state. Requests that the vendor refuses to this customer as such are not repeated for an hour.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import Answer, AnswerTooLarge
from collector.model import Lane
from collector.sources.eset.client import EsetClient, NotOffered
from collector.sources.eset.incident_record import Item, cut_incident, slice_comments
from collector.sources.eset.pending import PendingAnswer

PATH = "/v2/incidents"
Part = Literal["", "/comments"]

_SETTLED = timedelta(seconds=5)
_FRESH_SECONDS = 30.0
_KEPT_BYTES, _KEPT_ANYWAY = 1 << 20, 8
_REFUSED, _FAILED = 2, 5
# So many incidents refused in a row: it is no matter of the incident.
_CLOSED_AFTER: dict[Part, int] = {"": 3, "/comments": 1}
_CLOSED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Details:
    """Both answers. `incident` None: there is none; `comments` None: unknown. `requests`: how many this took."""

    incident: bytes | None = None
    comments: Sequence[bytes] | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    parts: Sequence[bytes] | None
    at: float
    settled: bool
    is_new: bool = False


class IncidentDetails:
    """Reads incidents one by one, for all lanes of one feed."""

    def __init__(self, client: EsetClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._answers: OrderedDict[tuple[Part, str, str], _Kept] = OrderedDict()
        self._bytes = 0
        self._failures: Counter[tuple[Part, str]] = Counter()
        self._refused_in_a_row: Counter[Part] = Counter()
        self._closed_until: dict[Part, float] = {}

    async def read(
        self, item: Item, lane: Lane, kept: PendingAnswer | None, max_age: float | None = None
    ) -> Details | PendingAnswer:
        """The details of one incident; what is to be kept of an answer that the vendor has not got yet.

        `max_age`: answers read longer ago, in seconds, do not count; None: they do if nothing can have changed since.

        Raises:
            SourceUnavailable: list the incidents again, then try again.
        """
        if item.uuid is None or item.uuid in {".", ".."}:  # these two would lead elsewhere
            return Details()
        incident = self._recall("", item, max_age) or await self._ask("", item, lane, kept)
        if isinstance(incident, PendingAnswer):
            return incident
        if not incident.parts:
            return Details(requests=int(incident.is_new))
        comments = self._recall("/comments", item, max_age) or await self._ask("/comments", item, lane, kept)
        if isinstance(comments, PendingAnswer):
            return comments
        return Details(incident.parts[0], comments.parts, int(incident.is_new) + int(comments.is_new))

    def _recall(self, part: Part, item: Item, max_age: float | None) -> _Kept | None:
        now = self._clock.monotonic()
        if now < self._closed_until.get(part, now):
            return _Kept(None, now, settled=False)
        known = self._answers.get((part, item.uuid or "", item.version))
        if known is None:
            return None
        age = now - known.at
        usable = known.settled or age < _FRESH_SECONDS if max_age is None else age <= max_age
        return known if usable else None

    async def _ask(self, part: Part, item: Item, lane: Lane, kept: PendingAnswer | None) -> _Kept | PendingAnswer:
        uuid = item.uuid or ""
        path = f"{PATH}/{quote(uuid, safe='')}{part}"
        parts: Sequence[bytes] | None = None
        try:
            answer = await self._client.ask("incident", path, (), lane, kept)
            if isinstance(answer, PendingAnswer):
                return answer
            parts = _parts(part, answer, uuid)
        except (NotOffered, AnswerTooLarge) as exc:
            self._log.debug("no details of an incident", part=part or "incident", error=str(exc))
        except SourceError as exc:
            if not self._is_given_up(part, uuid, exc):
                raise SourceUnavailable(str(exc), getattr(exc, "retry_after", None)) from exc
        else:
            del self._failures[part, uuid]
            self._refused_in_a_row[part] = 0
        known = _Kept(parts, self._clock.monotonic(), settled=parts is not None and self._is_settled(item.updated))
        self._keep((part, uuid, item.version), known)
        return replace(known, is_new=True)

    def _is_given_up(self, part: Part, uuid: str, exc: SourceError) -> bool:
        """Count a failure; whether to go on without this answer."""
        if isinstance(exc, SourceUnavailable) and exc.throttled:
            raise exc
        is_refusal = isinstance(exc, (SourceDenied, SourceProtocolError))
        self._failures[part, uuid] += 1
        if self._failures[part, uuid] < (_REFUSED if is_refusal else _FAILED):
            return False
        del self._failures[part, uuid]
        self._log.warning(
            "an incident is delivered without some of its details", part=part or "incident", error=str(exc)
        )
        if is_refusal:
            self._refused_in_a_row[part] += 1
            if self._refused_in_a_row[part] >= _CLOSED_AFTER[part]:
                self._refused_in_a_row[part] = 0
                self._closed_until[part] = self._clock.monotonic() + _CLOSED_SECONDS
        return True

    def _is_settled(self, updated: datetime | None) -> bool:
        now = self._client.vendor_clock.read()
        return updated is not None and now.known and now.now - updated >= _SETTLED

    def _keep(self, key: tuple[Part, str, str], known: _Kept) -> None:
        self._drop(key)
        self._answers[key] = known
        self._bytes += _size(known)
        while self._bytes > _KEPT_BYTES and len(self._answers) > _KEPT_ANYWAY:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: tuple[Part, str, str]) -> None:
        dropped = self._answers.pop(key, None)
        if dropped is not None:
            self._bytes -= _size(dropped)


def _parts(part: Part, answer: Answer, uuid: str) -> Sequence[bytes] | None:
    if part == "/comments":
        return slice_comments(answer.body)
    incident = cut_incident(answer.body, uuid)
    return None if incident is None else [incident]


def _size(known: _Kept) -> int:
    return 300 + sum(map(len, known.parts or ()))
