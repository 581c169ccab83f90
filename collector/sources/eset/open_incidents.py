"""Open incidents are read again at a low rate: a detection may join one without moving its `updateTime`.

Whether new members or comments move that time is not documented. So, besides following it, the tip goes through all
incidents that are not closed once in a while, and what it finds in them makes a new state or is known already. A pass
is part of the tip's lane, a few incidents a call, its place in the checkpoint's state; it takes the turns of a sweep,
and whenever the tip is due it goes first. A pass that can't go on is given up until the next: it harms nothing.

Only incidents whose last update lies in the sweep's window, and not before the feed's beginning, are read again: of
older ones the ids of states that were delivered may have been forgotten.

`Checkpoint.state["open"]` of the tip: `{"due"}` between passes, with `"pass"` during one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceProtocolError
from collector.model import Lane, Record
from collector.sources.eset.client import EsetClient
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.incident_details import IncidentDetails
from collector.sources.eset.incident_listing import Listing, ListReader, Need, Place, Portion, read_portion
from collector.sources.eset.pending import PendingAnswer
from collector.timestamps import parse_rfc3339

_KEY = "open"
_POLLS = 15
_OPEN = "INCIDENT_STATUS_OPEN,INCIDENT_STATUS_IN_PROGRESS,INCIDENT_STATUS_WAITING_FOR_INPUT"
_LIMIT, _PAGES, _REQUESTS = 1000, 20, 10
_FAILS, _WAIT = 3, 2.0


class _Pass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`since`: the oldest update to look at; `tip`: when the tip was last caught up; `fails`: failures in a row."""

    since: datetime
    tip: datetime
    token: str | None = None
    pages: int = 0
    fails: int = 0
    place: dict[str, Any] | None = None


class _State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    due: datetime
    going: _Pass | None = msgspec.field(default=None, name="pass")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a call brought; fields as in `Page`, `state` is the checkpoint's."""

    state: Mapping[str, Any]
    records: Sequence[Record] = ()
    more: bool = True
    wait: float | None = None
    request_id: str = ""


class OpenIncidents:
    """Reads them for one feed. Kept between calls is the page being worked off, and whether this process had a pass."""

    def __init__(
        self, config: EsetConfig, client: EsetClient, details: IncidentDetails, clock: Clock, log: Log
    ) -> None:
        self._client = client
        self._details = details
        self._clock = clock
        self._log = log
        self._poll = config.poll_interval
        self._window = config.sweep.window
        self._every = config.reread_open or min(_POLLS * config.poll_interval, config.sweep.every)
        self._had_pass = False
        self._told = False
        self._list = ListReader(client)

    def comes_before_tip(self, state: Mapping[str, Any], now: datetime) -> bool:
        """Whether a pass goes on now; the tip does when its interval is over."""
        own = _read(state)
        return own is not None and own.going is not None and timedelta(0) <= now - own.going.tip < self._poll

    @staticmethod
    def has_begun(state: Mapping[str, Any]) -> bool:
        """Whether the tip was ever caught up."""
        return _read(state) is not None

    def after_tip(self, state: Mapping[str, Any], now: datetime) -> tuple[Mapping[str, Any], bool]:
        """The tip is caught up: its state, and whether a pass begins or goes on with the next call.

        A process that has just started has one soon, for it may not live until the next is due; unless the feed itself
        has just begun.
        """
        own = _read(state)
        if own is None:
            self._had_pass = True
            return _write(state, _State(due=now + self._every)), False
        if own.going is not None:
            return _write(state, msgspec.structs.replace(own, going=msgspec.structs.replace(own.going, tip=now))), True
        if self._had_pass and own.due - self._every <= now < own.due:
            return state, False
        self._had_pass = True
        since = max(now - self._window, parse_rfc3339(state["beginning"]))
        return _write(state, _State(due=now + self._every, going=_Pass(since=since, tip=now))), True

    async def read(self, state: Mapping[str, Any], now: datetime) -> Reading:
        """Go on with the pass that `state` holds. Raises nothing of the vendor's."""
        own = _read(state)
        if own is None or own.going is None:
            return Reading(state, more=False)
        place = Place.from_json({"place": own.going.place or {}})
        try:
            listing = await self._list.read(_query(own.going), Lane.SWEEP, place)
            if isinstance(listing, PendingAnswer):
                place = msgspec.structs.replace(place, pending=listing.to_json())
                return Reading(_at(state, own, own.going, place), wait=listing.wait())
            need = Need(_REQUESTS, max_age=self._every.total_seconds() / 2, whole=True)
            portion = await read_portion(listing, place, self._details, Lane.SWEEP, need)
        except SourceError as exc:
            return self._failed(state, own, place, exc)
        if portion.failure is not None and not portion.records:
            # One incident must not keep the pass from the others.
            skipped = msgspec.structs.replace(portion.place, done=portion.place.done + 1)
            return self._failed(state, own, skipped, portion.failure)
        own = msgspec.structs.replace(own, going=msgspec.structs.replace(own.going, fails=0))
        return self._went_on(state, own, listing, portion, now)

    def _went_on(
        self, state: Mapping[str, Any], own: _State, listing: Listing, portion: Portion, now: datetime
    ) -> Reading:
        going, token = own.going, listing.page.token
        if going is not None and portion.place.done < len(listing.page.items):
            state = _at(state, own, going, portion.place)
            return Reading(state, portion.records, wait=portion.wait, request_id=listing.request_id)
        self._list.forget()
        self._told = False
        if going is None or token is None or token == going.token or going.pages + 1 >= _PAGES:
            state = _write(state, _State(due=now + self._every))
            return Reading(state, portion.records, more=False, request_id=listing.request_id)
        going = msgspec.structs.replace(going, token=token, pages=going.pages + 1)
        return Reading(_at(state, own, going, Place()), portion.records, request_id=listing.request_id)

    def _failed(self, state: Mapping[str, Any], own: _State, place: Place, exc: SourceError) -> Reading:
        """Try again, or give the pass up: what is open is not all there is, and the tip tells what is wrong."""
        going = own.going
        if going is not None and going.fails + 1 < _FAILS and not isinstance(exc, (SourceDenied, SourceProtocolError)):
            going = msgspec.structs.replace(going, fails=going.fails + 1)
            return Reading(_at(state, own, going, place), wait=getattr(exc, "retry_after", None) or _WAIT)
        tell = self._log.debug if self._told else self._log.warning
        tell("open incidents can't be read again for now", error=str(exc))
        self._list.forget()
        self._told = True
        return Reading(_write(state, msgspec.structs.replace(own, going=None)), more=False)


def _at(state: Mapping[str, Any], own: _State, going: _Pass, place: Place) -> Mapping[str, Any]:
    going = msgspec.structs.replace(going, place=place.to_json())
    return _write(state, msgspec.structs.replace(own, going=going))


def _query(going: _Pass) -> list[tuple[str, str]]:
    since = going.since.replace(microsecond=0, tzinfo=None).isoformat()
    words = f'incident.status in [{_OPEN}] && incident.update_time >= timestamp("{since}Z")'
    query = [("pageSize", str(_LIMIT)), ("orderBy", "update_time"), ("filter", words)]
    return query if going.token is None else [*query, ("pageToken", going.token)]


def _read(state: Mapping[str, Any]) -> _State | None:
    try:
        return msgspec.convert(state.get(_KEY), _State)
    except msgspec.ValidationError:
        return None


def _write(state: Mapping[str, Any], own: _State) -> Mapping[str, Any]:
    return {**state, _KEY: msgspec.to_builtins(own)}
