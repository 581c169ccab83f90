"""Incidents that change, behind the real client's rules: what the tests of the feed `incidents` are made of."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import structlog

from collector.errors import CheckpointExpired
from collector.http import Answer, HttpClients
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources.eset.client import EsetClient, Service
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.incidents import Incidents
from collector.sources.eset.pending import Pending
from collector.sources.vendor_time import VendorTime
from collector.testing import FakeClock
from collector.timestamps import format_utc, parse_rfc3339
from tests.unit.sources.eset.vendor import CountingBudget

PATH = "/v2/incidents"
_BOUND = re.compile(r'incident\.(update_time|create_time) (>=|<=) timestamp\("(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"\)')
_STATUS = re.compile(r"incident\.status in \[([A-Z_,]+)\]")
OPEN = "INCIDENT_STATUS_OPEN"


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    lane: Lane
    response_id: str | None

    @property
    def is_list(self) -> bool:
        return self.path == PATH

    @property
    def filter(self) -> str:
        return self.query.get("filter", "")


Says = Callable[[Asked], tuple[int, bytes] | None]


class IncidentVendor(EsetClient):
    """`says` are asked in turn for the answer to each request; the first that gives one is done with.

    `always` likewise, but stays. `slow`: so many 202 come before each answer.
    """

    def __init__(self, config: EsetConfig, clock: FakeClock) -> None:
        self.clock = clock
        super().__init__(config, HttpClients(), CountingBudget(clock), clock)
        self.incidents: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.shown_otherwise: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.says: deque[Says] = deque()
        self.always: list[Says] = []
        self.slow = 0
        self.ahead = timedelta(0)
        self.page_size = 1000
        self.reverse = False
        self._making: dict[str, tuple[Asked, int]] = {}
        self._given = 0

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    @property
    def lists(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.is_list]

    @property
    def details(self) -> list[str]:
        return [unquote(asked.path.removeprefix(PATH + "/")) for asked in self.asked if not asked.is_list]

    def put(self, uuid: str, moment: datetime | None = None, **more: Any) -> dict[str, Any]:
        """A new incident, or a change of one, now."""
        stamp = format_utc(moment or self.now)
        old = self.incidents.get(uuid, {"uuid": uuid, "createTime": stamp, "status": OPEN, "detectionUuids": ["d-1"]})
        self.incidents[uuid] = {**old, "updateTime": stamp, **more}
        return self.incidents[uuid]

    def comment(self, uuid: str, name: str) -> None:
        self.comments.setdefault(uuid, []).append({"uuid": name, "incidentUuid": uuid, "text": "seen"})

    async def vendor_time(self, lane: Lane) -> VendorTime:
        if not self.vendor_clock.known:
            self.vendor_clock.note(self.now.replace(microsecond=0))
        return self.vendor_clock.read()

    async def get(
        self,
        service: Service,
        path: str,
        query: Sequence[tuple[str, str]],
        lane: Lane,
        *,
        response_id: str | None = None,
        tokened: bool = False,
    ) -> Answer:
        asked = Asked(path, dict(query), lane, response_id)
        self.asked.append(asked)
        self.vendor_clock.note(self.now.replace(microsecond=0))
        status, body = self._made(asked) if self.slow else self._answer(asked)
        answer = Answer(status, {"request-id": "77aa"}, body, self.now)
        if status == 202:
            raise Pending(body.decode())
        if status != 200:
            raise self._refusal(path, answer, response_id=response_id, tokened=tokened)
        return answer

    def _made(self, asked: Asked) -> tuple[int, bytes]:
        """Each answer takes its time; an id is good for the identical request, once."""
        if asked.response_id is None:
            self._given += 1
            self._making[f"r-{self._given}"] = replace(asked, response_id=None), self.slow
            return 202, f"r-{self._given}".encode()
        query, left = self._making.pop(asked.response_id, (asked, 0))
        assert query == replace(asked, response_id=None, lane=query.lane)
        if left > 1:
            self._making[asked.response_id] = query, left - 1
            return 202, asked.response_id.encode()
        return self._answer(asked)

    def _answer(self, asked: Asked) -> tuple[int, bytes]:
        for say in (*self.says, *self.always):
            said = say(asked)
            if said is not None:
                if say in self.says:
                    self.says.remove(say)
                return said
        if asked.is_list:
            return self._page(asked)
        uuid, _, part = asked.path.removeprefix(PATH + "/").partition("/")
        uuid = unquote(uuid)
        if part:
            return 200, json.dumps({"comments": self.comments.get(uuid, [])}).encode()
        if uuid not in self.incidents:
            return 404, b""
        return 200, json.dumps({"incident": self.incidents[uuid]}).encode()

    def _page(self, asked: Asked) -> tuple[int, bytes]:
        assert len(asked.filter) <= 200
        words = asked.filter.split(" && ") if asked.filter else []
        found = [value for value in self.incidents.values() if all(_fits(value, word) for word in words)]
        found.sort(key=lambda value: (value["updateTime"], value["uuid"]), reverse=self.reverse)
        offset = int(asked.query.get("pageToken", "0"))
        size = min(self.page_size, int(asked.query["pageSize"]))
        shown = found[offset : offset + size]
        items = [self.shown_otherwise.get(value["uuid"]) or _as_listed(value) for value in shown]
        token = str(offset + size) if len(found) > offset + size else ""
        return 200, b'{"incidents":[' + b",".join(items) + b'],"nextPageToken":"' + token.encode() + b'"}'


def _as_listed(value: dict[str, Any]) -> bytes:
    return json.dumps({**value, "detectionUuids": [], "deviceUuids": []}).encode()


def _fits(value: dict[str, Any], word: str) -> bool:
    if status := _STATUS.fullmatch(word):
        return value["status"] in status[1].split(",")
    bound = _BOUND.fullmatch(word)
    assert bound is not None, word
    stamp = value["updateTime" if bound[1] == "update_time" else "createTime"]
    if not stamp:  # compares as nothing does
        return False
    moment = parse_rfc3339(stamp)
    limit = datetime.fromisoformat(bound[3]).astimezone(UTC)
    return moment >= limit if bound[2] == ">=" else moment <= limit


@dataclass
class Reading:
    """What a lane brought until it was caught up."""

    checkpoint: Checkpoint | None = None
    records: list[Record] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self.records]

    @property
    def names(self) -> list[str]:
        return [record.id.partition("@")[0] for record in self.records]


class Bench:
    """The feed on a vendor. `restart`: all that is kept between calls is lost."""

    def __init__(self, **config: Any) -> None:
        urls = dict.fromkeys(("auth_url", "incident_url", "device_url"), "http://127.0.0.1:1")
        login = {"username": "edr-collector@contoso.example", "password": "x" * 12}
        self.config = EsetConfig.model_validate({**login, **urls, **config})
        self.clock = FakeClock()
        self.vendor = IncidentVendor(self.config, self.clock)
        self.seen: Counter[str] = Counter()
        self.restart()

    def restart(self) -> None:
        self.feed = Incidents(self.config, self.vendor, self.clock, structlog.get_logger())

    async def fetch(self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None) -> Page:
        return await self.feed.fetch(lane, _stored(after), window)

    async def read(
        self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None, most: int = 500
    ) -> Reading:
        """As a poller does: page after page, each checkpoint through JSON, until the lane is caught up."""
        reading = Reading(after)
        for _ in range(most):
            try:
                page = await self.fetch(reading.checkpoint, lane, window)
            except CheckpointExpired as exc:
                assert reading.checkpoint is not None
                reading.checkpoint = exc.resume or replace(reading.checkpoint, run=None)
                continue
            self.take(reading, page)
            if not page.more:
                return reading
            await self.clock.advance(page.retry_after or 0.0)
        raise AssertionError(f"not caught up after {most} pages")

    def take(self, reading: Reading, page: Page) -> list[str]:
        """Store a page: the ids that are new."""
        before = reading.checkpoint.watermark if reading.checkpoint else None
        assert before is None or (page.checkpoint.watermark or before) >= before
        reading.checkpoint = page.checkpoint
        new = [record.id for record in page.records if record.id not in self.seen]
        self.seen.update(record.id for record in page.records)
        reading.records += page.records
        reading.pages.append(page)
        reading.gaps += page.gaps
        return new


def _stored(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    run = None if checkpoint.run is None else json.loads(json.dumps(checkpoint.run))
    return Checkpoint(checkpoint.watermark, run, json.loads(json.dumps(checkpoint.state)))
