"""A vendor that says what a test tells it to, and otherwise serves its events as the API does."""

from __future__ import annotations

import asyncio
import base64
import bisect
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from collector.budget import Budget
from collector.errors import CheckpointExpired
from collector.http import HttpClients
from collector.model import Checkpoint, Gap, Lane, Page, Record, Window
from collector.sources.base import Source, SourceContext
from collector.sources.withsecure import PLUGIN
from collector.sources.withsecure.config import WithSecureConfig
from collector.sources.withsecure.source import WithSecureSource
from collector.testing import FakeClock
from collector.timestamps import format_utc, parse_rfc3339

CLIENT_ID, SECRET = "fusion_0123", "s3cret/+=:"
LOGIN, DATA, WHOAMI = "/as/token.oauth2", "/security-events/v1/security-events", "/whoami/v1/whoami"
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Asked:
    path: str
    form: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, key: str) -> str | None:
        return dict(self.form).get(key)


@dataclass(frozen=True)
class Say:
    """An answer. `transaction` None: without the header."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    transaction: str | None = "0000-abc"


def error(status: int, message: str = "no", code: int = 0, headers: dict[str, str] | None = None) -> Say:
    body = {"message": message, "code": code or status * 1000, "transactionId": "0000-abc"}
    return Say(status, json.dumps(body).encode(), headers or {})


Event = tuple[datetime, str, bytes]


class Vendor:
    """`says` and `login_says` are answered first, one each; None there means: as usual."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self.says: deque[Say | Callable[[], Say] | None] = deque()
        self.says_on = DATA
        self.login_says: deque[Say | None] = deque()
        self.unreadable: dict[str, int] = {}
        self.garbage = b'{"items":[{"id":"torn'
        self.ahead = timedelta(0)
        self.tells_time = True
        self.expires_in: Any = 1797
        self.login_gate = asyncio.Event()
        self.login_gate.set()
        self.logins = 0
        self.logged_in_at = 0.0
        self.tokens_age = False
        self.revoked: set[str] = set()
        self._events: list[Event] = []

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    @property
    def data(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == DATA]

    def put(self, moment: datetime, name: str, **more: Any) -> None:
        stamp = format_utc(moment)
        raw = json.dumps({"id": name, "serverTimestamp": stamp, "persistenceTimestamp": stamp, **more}).encode()
        bisect.insort(self._events, (moment, name, raw))

    def fill(self, count: int, start: datetime, every: timedelta) -> list[str]:
        names = [f"e{number:05}" for number in range(count)]
        for number, name in enumerate(names):
            self.put(start + number * every, name)
        return names

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        form = parse_qsl(body.decode() or request.query_string)
        self.asked.append(Asked(request.path, form, dict(request.headers), body))
        if request.path == LOGIN:
            return self._respond(await self._login())
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        said = self.says.popleft() if self.says and request.path == self.says_on else None
        if said is not None:
            return self._respond(said if isinstance(said, Say) else said())
        if self.tokens_age and self.clock.monotonic() - self.logged_in_at > self.expires_in:
            return self._respond(error(401, "Expired"))
        if token in self.revoked or token != f"opaque/token+{self.logins}":
            return self._respond(error(401, "Unauthorized"))
        if request.path == WHOAMI:
            return self._respond(Say(body=b'{"clientId":"fusion_0123","organizationId":"o"}'))
        return self._respond(self._page(self.asked[-1]))

    async def _login(self) -> Say:
        await self.login_gate.wait()
        said = self.login_says.popleft() if self.login_says else None
        if said is not None:
            return said
        self.logins += 1
        self.logged_in_at = self.clock.monotonic()
        token = {"access_token": f"opaque/token+{self.logins}", "token_type": "Bearer", "expires_in": self.expires_in}
        return Say(body=json.dumps(token).encode(), transaction=None)

    def _page(self, asked: Asked) -> Say:
        start = parse_rfc3339(asked["persistenceTimestampStart"] or "")
        end = parse_rfc3339(asked["persistenceTimestampEnd"] or "")
        if not start <= end <= start + timedelta(days=30):
            return error(400, "bad range", 400000)
        descending, limit = asked["order"] == "desc", int(asked["limit"] or "0")
        found = [event for event in self._events if start <= event[0] < end]
        found.sort(key=lambda event: event[:2], reverse=descending)
        anchor = asked["anchor"]
        if anchor is not None:
            stamp, name = json.loads(base64.b64decode(anchor))
            position = parse_rfc3339(stamp), name
            found = [e for e in found if (e[:2] < position if descending else e[:2] > position)]
        shown = found[:limit]
        for _, name, _ in shown:
            if self.unreadable.get(name, 0) > 0:
                self.unreadable[name] -= 1
                return Say(body=self.garbage)
        tail = b""
        if len(found) > limit:
            last = base64.b64encode(json.dumps([format_utc(shown[-1][0]), shown[-1][1]]).encode())
            tail = b',"nextAnchor":"%s"' % last
        return Say(body=b'{"items":[' + b",".join(raw for *_, raw in shown) + b"]" + tail + b"}")

    def _respond(self, said: Say) -> web.Response:
        headers = {"Content-Type": "application/json", "Date": format_datetime(self.now, usegmt=True), **said.headers}
        if said.transaction is not None:
            headers["X-Transaction"] = said.transaction
        if not self.tells_time:
            headers["Date"] = "not today"
        return web.Response(status=said.status, body=said.body, headers=headers)


class CountingBudget(Budget):
    """A budget without limit that counts the turns it gave."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(1_000_000, 60.0, clock)
        self.turns: list[Lane] = []
        self.pauses: list[float] = []
        self.queue_seconds = 0.0

    async def take(self, lane: Lane, *, again: bool = False) -> None:
        self.turns.append(lane)
        await asyncio.sleep(0)
        if self.queue_seconds and not again:
            await self._clock.sleep(self.queue_seconds)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@dataclass
class Reading:
    """What a lane brought until it was caught up."""

    checkpoint: Checkpoint | None = None
    records: list[Record] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    expired: int = 0
    failures: int = 0

    @property
    def names(self) -> list[str]:
        return [record.id for record in self.records]


@dataclass
class Bench:
    """A source on a vendor."""

    vendor: Vendor
    source: Source
    clock: FakeClock
    budget: CountingBudget
    feed: str = "security_events"
    fresh: Callable[[], Source] | None = None

    def restart(self) -> None:
        """As after the daemon was killed: what is not in a checkpoint is forgotten."""
        assert self.fresh is not None
        self.source = self.fresh()

    async def fetch(self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None) -> Page:
        return await self.source.fetch(self.feed, lane, after, window)

    async def read(
        self, after: Checkpoint | None = None, lane: Lane = Lane.TIP, window: Window | None = None, most: int = 2000
    ) -> Reading:
        """As a poller does: page after page, each checkpoint through JSON, until the lane is caught up."""
        reading = Reading(after)
        for _ in range(most):
            try:
                page = await self.fetch(_stored(reading.checkpoint), lane, window)
            except CheckpointExpired as exc:
                reading.expired += 1
                assert reading.checkpoint is not None
                reading.checkpoint = exc.resume or replace(reading.checkpoint, run=None)
                continue
            before = reading.checkpoint.watermark if reading.checkpoint else None
            assert before is None or (page.checkpoint.watermark or before) >= before
            reading.checkpoint = page.checkpoint
            reading.records += page.records
            reading.pages.append(page)
            reading.gaps += page.gaps
            if not page.more:
                return reading
            await self.clock.advance(page.retry_after or 0.0)
        raise AssertionError(f"not caught up after {most} pages")


def _stored(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    run = None if checkpoint.run is None else json.loads(json.dumps(checkpoint.run))
    return Checkpoint(checkpoint.watermark, run, json.loads(json.dumps(checkpoint.state)))


@asynccontextmanager
async def bench(
    *, max_bytes: int = 64 << 20, vendor_type: type[Vendor] = Vendor, feed: str = "security_events", **config: Any
) -> AsyncIterator[Bench]:
    clock = FakeClock()
    vendor = vendor_type(clock)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", vendor.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = PLUGIN.config.model_validate(
        {
            "type": "withsecure",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "base_url": origin,
            "feeds": [feed],
            **config,
        }
    )
    budget = CountingBudget(clock)
    try:
        async with HttpClients(max_bytes=max_bytes) as http:
            context = SourceContext("acme", "withsecure", http, budget, clock)
            async with PLUGIN.open(settings, context) as source:
                assert isinstance(settings, WithSecureConfig)
                fresh = partial(WithSecureSource, settings, context)
                yield Bench(vendor, source, clock, budget, feed, fresh)
    finally:
        vendor.login_gate.set()
        await runner.cleanup()


def missing(expected: Sequence[str], reading: Reading) -> set[str]:
    return set(expected) - set(reading.names)
