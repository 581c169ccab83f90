"""ESET Connect that says what a test tells it to; its logins are as strict as the vendor may be."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from collector.budget import Budget
from collector.http import Answer, HttpClients
from collector.model import Lane
from collector.sources.base import Source, SourceContext
from collector.sources.eset import PLUGIN
from collector.sources.eset.client import EsetClient, Service
from collector.sources.eset.config import EsetConfig
from collector.testing import FakeClock

USERNAME, PASSWORD = "edr-collector@contoso.example", "p&ss=w/rd+1 %ü"
LOGIN, DETECTIONS, INCIDENTS = "/oauth/token", "/v1/detections", "/v2/incidents"


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: list[tuple[str, str]]
    form: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw: str

    @property
    def response_id(self) -> str | None:
        return self.headers.get("response-id")

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Say:
    """An answer. `request_id` None: without the header."""

    status: int = 200
    body: bytes = b'{"detections":[],"nextPageToken":""}'
    headers: dict[str, str] = field(default_factory=dict)
    request_id: str | None = "77aa-req"

    def __str__(self) -> str:
        return f"{self.status} {self.body[:24].decode(errors='replace')}"


def error(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Say:
    return Say(status, json.dumps({"code": 7, "message": message, "details": []}).encode(), headers or {})


def empty(status: int, headers: dict[str, str] | None = None) -> Say:
    return Say(status, b"", headers or {})


def pending(response_id: str | None = "3f0c", headers: dict[str, str] | None = None) -> Say:
    return Say(202, b"", ({"response-id": response_id} if response_id else {}) | (headers or {}))


HTML = Say(502, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})


class Vendor:
    """`says` and `login_says` are answered first, one each; None there means: as usual.

    A renewal kills the old pair, a refresh token is good once.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self.says: deque[Say | Callable[[], Say] | None] = deque()
        self.login_says: deque[Say | None] = deque()
        self.filled: dict[str, bytes] = {}
        self.ahead = timedelta(0)
        self.tells_time = True
        self.expires_in: Any = 3600
        self.gives_refresh = True
        self.takes_refresh = True
        self.login_gate = asyncio.Event()
        self.login_gate.set()
        self.pairs = 0
        self.revoked = False

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    @property
    def data(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path != LOGIN]

    @property
    def grants(self) -> list[str]:
        return [asked.form.get("grant_type", "") for asked in self.asked if asked.path == LOGIN]

    @property
    def access(self) -> str:
        return f"eyJ.access-{self.pairs}/+=.x"

    @property
    def refresh(self) -> str:
        return f"r-{self.pairs}&/+="

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        query = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
        headers = dict(request.headers)
        self.asked.append(Asked(request.method, request.path, query, form, headers, body, request.raw_path))
        if request.path == LOGIN:
            await self.login_gate.wait()
            said = self.login_says.popleft() if self.login_says else None
            return self._respond(said or self._login(form))
        told = self.says.popleft() if self.says else None
        if told is not None:
            return self._respond(told if isinstance(told, Say) else told())
        if self.revoked or self.asked[-1].token != self.access:
            return self._respond(empty(401))
        return self._respond(Say(body=self.filled.get(request.path, Say().body)))

    def _login(self, form: dict[str, str]) -> Say:
        by_password = form == {"grant_type": "password", "username": USERNAME, "password": PASSWORD}
        renewed = form == {"grant_type": "refresh_token", "refresh_token": self.refresh} and self.takes_refresh
        if not by_password and not renewed:
            return Say(400, b'{"error":"invalid_grant","error_description":"not accepted"}')
        self.pairs += 1
        self.revoked = False
        pair = {"access_token": self.access, "token_type": "bearer", "expires_in": self.expires_in}
        if self.gives_refresh:
            pair["refresh_token"] = self.refresh
        return Say(body=json.dumps(pair).encode())

    def _respond(self, said: Say) -> web.Response:
        headers = {"Content-Type": "application/json", "Date": format_datetime(self.now, usegmt=True), **said.headers}
        if said.request_id is not None:
            headers["request-id"] = said.request_id
        if not self.tells_time:
            headers["Date"] = "not today"
        return web.Response(status=said.status, body=said.body, headers=headers)


class CountingBudget(Budget):
    """A budget without limit that counts the turns it gave."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(1_000_000, 1.0, clock)
        self.turns: list[Lane] = []
        self.pauses: list[float] = []

    async def take(self, lane: Lane, *, again: bool = False) -> None:
        self.turns.append(lane)
        await asyncio.sleep(0)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@dataclass
class Bench:
    """A client, and a source of its own, on a vendor."""

    vendor: Vendor
    client: EsetClient
    source: Source
    clock: FakeClock
    budget: CountingBudget

    async def get(self, path: str = DETECTIONS, *, service: Service = "incident", **more: Any) -> Answer:
        return await self.client.get(service, path, more.pop("query", ()), more.pop("lane", Lane.TIP), **more)


@asynccontextmanager
async def bench(*, hurry: bool = False, max_bytes: int = 64 << 20, **config: Any) -> AsyncIterator[Bench]:
    """`hurry`: the client's own waits do not take time."""
    clock = FakeClock(hurry=hurry)
    vendor = Vendor(clock)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", vendor.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    urls = {"auth_url": origin, "incident_url": origin, "device_url": origin}
    settings = EsetConfig.model_validate({"username": USERNAME, "password": PASSWORD, **urls, **config})
    budget = CountingBudget(clock)
    try:
        async with HttpClients(max_bytes=max_bytes) as http:
            context = SourceContext("acme", "eset", http, budget, clock)
            async with PLUGIN.open(settings, context) as source:
                yield Bench(vendor, EsetClient(settings, http, budget, clock), source, clock, budget)
    finally:
        vendor.login_gate.set()
        await runner.cleanup()
