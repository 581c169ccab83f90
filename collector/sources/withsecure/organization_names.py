"""What organizations are called: incidents and their detections name theirs by its id alone, security events do both.

The name goes into `Record.extra` as `organization: {"id", "name"}`. It is a courtesy, no event waits for it for long:
all organizations are listed when the first name is wanted, once an hour after that, and when an unknown id turns up;
a call takes a few seconds and requests at most, the next one goes on where it ended. While the list is not to be had,
which credentials of a single company may be refused, events go with the names known before, or without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

import orjson
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceProtocolError
from collector.model import Lane, Page, Record, organization_key
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.incident_slices import organization_of
from collector.sources.withsecure.organizations import MOST_PAGES, read_organizations

_SECONDS, _PAGES = 8.0, 20
_GOOD_SECONDS, _PAUSE_SECONDS = 3600.0, 60.0
_REST_SECONDS, _LONGEST_REST = 60.0, 900.0
_KEPT, _LONGEST = 50_000, 1000


class OrganizationNames:
    """Knows them for one API client. Kept in memory alone: losing it costs requests."""

    def __init__(self, client: WithSecureClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._walk = asyncio.Lock()
        self._names: dict[str, str] = {}
        self._strangers: set[str] = set()
        self._anchor: str | None = None
        self._pages = self._failures = 0
        self._due = self._pauses_until = self._rests_until = clock.monotonic()

    async def put(self, lane: Lane, page: Page) -> Page:
        """The page with the names of its organizations, as far as they are known."""
        if not page.records:
            return page
        wanted = [organization_of(record) for record in page.records]
        names = await self.names({identity for identity in wanted if identity}, lane)
        records = [
            _with_name(record, identity, names.get(identity, ""))
            for record, identity in zip(page.records, wanted, strict=True)
        ]
        return replace(page, records=records)

    async def names(self, identities: Collection[str], lane: Lane) -> Mapping[str, str]:
        """What is known of these organizations, after asking for what is not; raises nothing."""
        keys = {identity: organization_key(identity) for identity in identities}
        if self._is_to_ask(keys.values()):
            try:
                async with asyncio.timeout(_SECONDS), self._walk:
                    await self._learn(keys.values(), lane)
            except TimeoutError:
                self._rest("no answer in time", _REST_SECONDS)
            except SourceError as exc:
                is_final = isinstance(exc, (SourceDenied, SourceProtocolError))
                self._anchor = None
                self._rest(str(exc), _GOOD_SECONDS if is_final else _REST_SECONDS)
        return {identity: self._names[key] for identity, key in keys.items() if key in self._names}

    def _is_to_ask(self, keys: Collection[str]) -> bool:
        now = self._clock.monotonic()
        if not keys or now < self._rests_until:
            return False
        if now >= self._due or self._anchor is not None:
            return True
        return now >= self._pauses_until and any(self._is_new(key) for key in keys)

    def _is_new(self, key: str) -> bool:
        return key not in self._names and key not in self._strangers

    async def _learn(self, keys: Collection[str], lane: Lane) -> None:
        for _ in range(_PAGES):
            if not self._is_to_ask(keys):  # another lane has asked meanwhile
                return
            page, following = await read_organizations(self._client, lane, self._anchor)
            for organization in page:
                key = organization_key(organization.id)
                if organization.name and (key in self._names or len(self._names) < _KEPT):
                    self._names[key] = organization.name.encode(errors="replace").decode()[:_LONGEST]
            self._pages += 1
            is_over = following == self._anchor or self._pages >= MOST_PAGES
            self._anchor = None if is_over else following
            if self._anchor is None:
                self._pages = self._failures = 0
                now = self._clock.monotonic()
                self._due, self._pauses_until = now + _GOOD_SECONDS, now + _PAUSE_SECONDS
                self._strangers = {key for key in keys if key not in self._names} | (
                    self._strangers if len(self._strangers) < _KEPT else set()
                )
                return

    def _rest(self, why: str, seconds: float) -> None:
        rest = max(seconds, min(_LONGEST_REST, seconds * 2**self._failures))
        self._failures = min(self._failures + 1, 10)
        self._rests_until = self._clock.monotonic() + rest
        tell = self._log.warning if self._failures == 1 else self._log.debug
        tell("the names of organizations can't be had, incidents go without them", retry_in=rest, error=why)


def _with_name(record: Record, identity: str, name: str) -> Record:
    if not name:
        return record
    told = orjson.loads(record.extra or b"{}")
    return replace(record, extra=orjson.dumps({**told, "organization": {"id": identity, "name": name}}))
