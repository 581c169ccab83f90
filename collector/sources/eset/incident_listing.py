"""A page of the list of incidents and how much of it has become records.

The list is read in large pages, for incidents that change while pages are turned shift those that follow, and may make
one fall between two pages. Their details are read a few at a time, each few committed: so a page stays in memory until
it is through. `Place` is what the checkpoint holds of that: after a restart the page is asked for anew, and goes on
where it was if it holds the same incidents, else from its first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from collector.errors import SourceError, SourceUnavailable
from collector.model import Lane, Record
from collector.sources.eset.client import EsetClient
from collector.sources.eset.incident_details import PATH, IncidentDetails
from collector.sources.eset.incident_record import ItemPage, record_of, slice_incidents
from collector.sources.eset.pending import PendingAnswer, fingerprint
from collector.sources.vendor_time import VendorTime

_RECORDS, _BYTES = 200, 4 << 20
# A slice of this size takes about as long as the loop may be held up.
_SLICE_ON_LOOP_BYTES = 512 << 10


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a lane is in the page that comes next.

    `digest`: the page's, `done`: so many of its incidents are records. `torn`: how often the page was unreadable.
    `by_creation`: it is a page of the window's second reading, for incidents without an `updateTime`.
    `pending`: the answer the vendor is making, as `PendingAnswer.to_json`.
    """

    digest: str = ""
    done: int = 0
    torn: int = 0
    by_creation: bool = False
    pending: dict[str, Any] | None = None

    @property
    def kept(self) -> PendingAnswer | None:
        """The answer the vendor is making."""
        return PendingAnswer.from_json(self.pending)

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    @classmethod
    def from_json(cls, holder: Mapping[str, Any] | None) -> Place:
        """The place in what a lane stored; the beginning where there is none of a known shape."""
        try:
            return msgspec.convert((holder or {}).get("place", {}), cls)
        except msgspec.ValidationError:
            return cls()


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list as it was read. `request` names what was asked for, `now`: the vendor's time at the answer."""

    request: str
    page: ItemPage
    now: VendorTime
    request_id: str

    def undated(self) -> Listing:
        """The same without the incidents that have an `updateTime`."""
        items = [item for item in self.page.items if not item.is_dated]
        return replace(self, page=replace(self.page, items=items))

    def is_at(self, request: str, place: Place) -> bool:
        """Whether it is what the checkpoint is about."""
        return bool(place.digest) and (self.request, self.page.digest) == (request, place.digest)


class ListReader:
    """Reads pages of the list for one lane, and remembers the one that is being worked off."""

    def __init__(self, client: EsetClient) -> None:
        self._client = client
        self._known: Listing | None = None

    async def read(self, query: Sequence[tuple[str, str]], lane: Lane, place: Place) -> Listing | PendingAnswer:
        """The page that `query` asks for, or what is to be kept of an answer that the vendor has not got yet.

        Raises:
            UnreadablePage: as `slice_incidents`.
            SourceError: as `EsetClient.ask`; `CheckpointExpired` where the query holds a `pageToken`.
        """
        request = fingerprint("incident", PATH, query)
        known, self._known = self._known, None
        if known is None or not known.is_at(request, place):
            tokened = "pageToken" in dict(query)
            answer = await self._client.ask("incident", PATH, query, lane, place.kept, tokened=tokened)
            if isinstance(answer, PendingAnswer):
                return answer
            if answer.body.lstrip()[:1] in (b"", b"<"):
                # A gateway's page, not the vendor's: no reason to suspect the incidents.
                raise SourceUnavailable(f"{PATH}: the answer is no JSON")
            now = self._client.vendor_clock.read()
            if len(answer.body) > _SLICE_ON_LOOP_BYTES:
                page = await asyncio.to_thread(slice_incidents, answer.body)
            else:
                page = slice_incidents(answer.body)
            known = Listing(request, page, now, answer.headers.get("request-id", ""))
        self._known = known
        return known

    def forget(self) -> None:
        """The page is through, or is to be asked for anew."""
        self._known = None


@dataclass(frozen=True, slots=True)
class Portion:
    """What a few incidents of a page became. `failure`: why it is no more; then `records` may still be some."""

    records: Sequence[Record]
    place: Place
    wait: float | None = None
    failure: SourceError | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What is wanted of a portion. `requests`: so many at most, but for the last incident's second.

    `max_age`: as `IncidentDetails.read`. `whole`: leave out what can only be told from the list.
    """

    requests: int
    max_age: float | None = None
    whole: bool = False


async def read_portion(listing: Listing, place: Place, details: IncidentDetails, lane: Lane, need: Need) -> Portion:
    """Read the details of as many incidents as so many requests allow, from `place` on."""
    done = place.done if place.digest == listing.page.digest else 0
    kept = place.kept
    records: list[Record] = []
    requests = size = 0
    while done < len(listing.page.items) and requests < need.requests and len(records) < _RECORDS and size < _BYTES:
        item = listing.page.items[done]
        try:
            found = await details.read(item, lane, kept, need.max_age)
        except SourceError as exc:
            return Portion(records, _at(listing, place, done), failure=exc)
        if isinstance(found, PendingAnswer):
            pending = msgspec.structs.replace(_at(listing, place, done), pending=found.to_json())
            return Portion(records, pending, wait=found.wait())
        done += 1
        requests += found.requests
        if need.whole and found.incident is None:
            continue
        record = record_of(item, found.incident, found.comments)
        records.append(record)
        size += len(record.raw) + len(record.extra or b"")
    return Portion(records, _at(listing, place, done))


def _at(listing: Listing, place: Place, done: int) -> Place:
    return Place(digest=listing.page.digest, done=done, by_creation=place.by_creation)
