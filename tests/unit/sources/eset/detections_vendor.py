"""Detections as a vendor serves them, without HTTP: lists in no order, deltas, and what may go wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from collector.errors import CheckpointExpired, SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import Answer
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources.eset.client import NotOffered
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.detections import Detections
from collector.sources.eset.pending import Pending, PendingAnswer, fingerprint
from collector.sources.vendor_time import VendorClock, VendorTime
from collector.testing import FakeClock
from collector.timestamps import format_utc, parse_rfc3339

DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    lane: Lane
    response_id: str | None

    def __getitem__(self, key: str) -> str | None:
        return self.query.get(key)


@dataclass(frozen=True)
class Shown:
    """A detection: `version` 0 is in both."""

    name: str
    occurred: datetime | None
    visible: datetime
    version: int
    raw: bytes


class Vendor:
    """`says` are answered first, one each: a body, an error, or None for: as usual; then what `always` says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.vendor_clock = VendorClock(clock)
        self.ahead = timedelta(0)
        self.tells_time = True
        self.asked: list[Asked] = []
        self.says: list[bytes | Exception | Callable[[Asked], bytes | Exception | None] | None] = []
        self.always: Callable[[Asked], bytes | Exception | None] | None = None
        self.delta_offered = {"v1": True, "v2": False}
        self.list_offered = {"v1": True, "v2": False}
        self.refusal: Callable[[str], Exception] = NotOffered
        self.cap = 1000
        self.delta_cap = 1000
        self.dead: set[str] = set()
        self.epoch = 0
        self.unreadable: set[str] = set()
        self.fails_on: set[str] = set()
        self.pending = 0
        self.refuses_future = False
        self.wrong = ""
        self.doubts = 0
        self._shown: list[Shown] = []
        self._waiting: dict[str, str] = {}
        self._ids = 0

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    def put(
        self,
        name: str,
        occurred: datetime | None,
        visible: datetime | None = None,
        version: int = 1,
        **more: Any,
    ) -> str:
        stamp = {} if occurred is None else {"occurTime": format_utc(occurred)}
        raw = json.dumps({"uuid": name, **stamp, **more}).encode()
        self._shown.append(Shown(name, occurred, visible or self.now, version, raw))
        return name

    def fill(self, count: int, start: datetime, every: timedelta, version: int = 1, prefix: str = "d") -> list[str]:
        return [
            self.put(f"{prefix}{number:05}", start + number * every, start + number * every, version)
            for number in range(count)
        ]

    def visible(self, before: datetime | None = None) -> list[Shown]:
        return [it for it in self._shown if it.visible <= (before or self.now)]

    def kill_tokens(self) -> None:
        self.epoch += 1

    # -- what `Detections` calls ------------------------------------------------------------

    async def vendor_time(self, lane: Lane) -> VendorTime:
        if not self.vendor_clock.known and self.tells_time:
            self.vendor_clock.note(self.now.replace(microsecond=0))
        return self.vendor_clock.read()

    def doubt_time(self) -> None:
        self.doubts += 1
        self.vendor_clock.forget()

    async def ask(
        self,
        service: str,
        path: str,
        query: Sequence[tuple[str, str]],
        lane: Lane,
        kept: PendingAnswer | None,
        *,
        tokened: bool = False,
    ) -> Answer | PendingAnswer:
        request = fingerprint(service, path, query)
        kept = kept if kept is not None and kept.request == request else None
        asked = Asked(path, dict(query), lane, kept.response_id if kept else None)
        self.asked.append(asked)
        if self.tells_time:
            self.vendor_clock.note(self.now.replace(microsecond=0))
        said = self.says.pop(0) if self.says else None
        said = self.always if said is None else said
        said = said(asked) if callable(said) else said
        if isinstance(said, Exception):
            raise said
        if said is None and self.pending:
            if kept is None or self._waiting.get(kept.response_id) != request:
                self._ids += 1
                self._waiting[f"r{self._ids}"] = request
                return PendingAnswer.after(Pending(f"r{self._ids}"), request, self.now)
            self.pending -= 1
        version = path.split("/")[1]
        if path == self.wrong:
            raise SourceProtocolError(f"{path}: status 400")
        body = said if said is not None else self._body(version, path, asked, tokened=tokened)
        return Answer(200, {"request-id": "q-1"}, body, None)

    def _body(self, version: str, path: str, asked: Asked, *, tokened: bool) -> bytes:
        mine = [it for it in self._shown if it.version in (0, int(version[1]))]
        if path.endswith(":listDelta"):
            if not self.delta_offered[version]:
                raise self.refusal(f"{path}: status 501")
            return self._delta(path, asked, mine)
        if not self.list_offered[version]:
            raise NotOffered(f"{path}: status 501")
        return self._list(path, asked, mine, tokened=tokened)

    def _list(self, path: str, asked: Asked, mine: list[Shown], *, tokened: bool) -> bytes:
        start, end = parse_rfc3339(asked["startTime"] or ""), parse_rfc3339(asked["endTime"] or "")
        if self.refuses_future and end > self.now + MINUTE:
            raise SourceProtocolError(f"{path}: status 400")
        found = [it for it in mine if it.visible <= self.now and (it.occurred is None or start <= it.occurred < end)]
        found.sort(key=lambda it: hashlib.blake2b(it.name.encode()).digest())
        at, size = 0, min(self.cap, int(asked["pageSize"] or "0"))
        token = asked["pageToken"]
        assert tokened == (token is not None)
        if token is not None:
            if token in self.dead or token.split(":")[0] != str(self.epoch):
                raise CheckpointExpired(f"{path}: the token is refused")
            at = int(token.split(":")[1])
        return self._page(
            path, "detections", found[at : at + size], f"{self.epoch}:{at + size}" if at + size < len(found) else ""
        )

    def _delta(self, path: str, asked: Asked, mine: list[Shown]) -> bytes:
        token = asked["deltaToken"] or ""
        log = sorted((it for it in mine if it.visible <= self.now), key=lambda it: it.visible)
        if token == "latest":
            return self._page(path, "createdDetections", [], "", f"{self.epoch}:d{len(log)}")
        epoch, _, begin = token.partition(":d")
        if epoch != str(self.epoch) or token in self.dead:
            raise CheckpointExpired(f"{path}: the token is refused")
        at, end = int(begin), len(log)
        page_token = asked["pageToken"]
        if page_token is not None:
            at, end = (int(part) for part in page_token.split("-"))
        size = min(self.delta_cap, int(asked["pageSize"] or "0"))
        if at + size < end:
            return self._page(path, "createdDetections", log[at : at + size], f"{at + size}-{end}")
        return self._page(path, "createdDetections", log[at:end], "", f"{self.epoch}:d{end}")

    def _page(self, path: str, key: str, shown: list[Shown], token: str, delta_token: str | None = None) -> bytes:
        if any(it.name in self.fails_on for it in shown):
            raise SourceUnavailable(f"{path}: status 500")
        if any(it.name in self.unreadable for it in shown):
            return b'{"' + key.encode() + b'":[{"uuid":"torn'
        tail = "" if delta_token is None else f',"nextDeltaToken":"{delta_token}"'
        items = b",".join(it.raw for it in shown)
        return b'{"%s":[%s],"nextPageToken":"%s"%s}' % (key.encode(), items, token.encode(), tail.encode())


class Names:
    """Knows what devices are called."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, str]] = {}
        self.asked: list[set[str]] = []

    async def names(self, uuids: Collection[str], lane: Lane) -> Mapping[str, dict[str, str]]:
        self.asked.append(set(uuids))
        return {uuid: self.known[uuid] for uuid in uuids if uuid in self.known}


@dataclass
class Reading:
    """What a lane brought until it was caught up."""

    checkpoint: Checkpoint | None = None
    records: list[Record] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [record.id for record in self.records]


class Bench:
    """The feed on a vendor."""

    def __init__(self, **config: Any) -> None:
        self.clock = FakeClock()
        self.vendor = Vendor(self.clock)
        self.devices = Names()
        self.config = EsetConfig.model_validate(
            {"type": "eset", "region": "eu", "username": "soc@example.com", "password": "secret", **config}
        )
        self.restart()

    def restart(self) -> None:
        """The program begins anew: what was in memory is gone."""
        log = structlog.get_logger()
        client: Any = self.vendor  # what the feed uses of a client
        self.feed = Detections(self.config, client, self.devices, self.clock, log)

    async def fetch(self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None) -> Page:
        return await self.feed.fetch(lane, stored(after), window)

    async def read(
        self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None, most: int = 3000
    ) -> Reading:
        """As a poller does: page after page, each checkpoint through JSON, failures tried again."""
        reading = Reading(after)
        for _ in range(most):
            try:
                page = await self.fetch(reading.checkpoint, lane, window)
            except (SourceUnavailable, SourceDenied) as exc:
                reading.failures.append(exc)
                await self.clock.advance(getattr(exc, "retry_after", None) or 2.0)
                continue
            before = reading.checkpoint.watermark if reading.checkpoint else None
            assert before is None or (page.checkpoint.watermark or before) >= before
            reading.checkpoint = page.checkpoint
            reading.records += page.records
            reading.pages.append(page)
            reading.gaps += page.gaps
            if not page.more:
                assert page.checkpoint.run is None
                return reading
            await self.clock.advance(page.retry_after or 0.0)
        raise AssertionError(f"not caught up after {most} pages")

    async def sweep(self, tip: Checkpoint, after: Checkpoint | None = None) -> Reading:
        begun = after or Checkpoint(parse_rfc3339(tip.state["started"]))
        return await self.read(begun, Lane.SWEEP, Window(parse_rfc3339(tip.state["beginning"])))


def stored(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    run = None if checkpoint.run is None else json.loads(json.dumps(checkpoint.run))
    return replace(checkpoint, run=run, state=json.loads(json.dumps(checkpoint.state)))
