"""A reader of the simulated API, well-behaved unless a test spoils its requests."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import aiohttp
import orjson

from collector.clock import Clock
from collector.simulator import COMPANY, Account, Mix, WithSecureSimulator

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
AGENT = "edr-collector/test"
EVENTS = "/security-events/v1/security-events"
TOKEN = "/as/token.oauth2"
FORM = "application/x-www-form-urlencoded"
PLAIN = Mix(harsh=0.0, late=0.0)

Form: TypeAlias = dict[str, str] | list[tuple[str, str]]


class SetClock(Clock):
    """A clock that stands still until it is moved; sleeping moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.moment = now
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.forward(seconds)

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Client:
    """A well-behaved reader of the API; each part of a request can be spoilt."""

    base_url: str
    session: aiohttp.ClientSession
    account: Account = COMPANY
    token: str = ""

    async def send(self, method: str, path: str, *, body: Form | bytes = b"", **headers: str) -> Reply:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        async with self.session.request(method, self.base_url + path, data=body, headers=named) as answer:
            names = {name.lower(): text for name, text in answer.headers.items()}
            return Reply(answer.status, await answer.read(), names)

    async def login(self) -> str:
        reply = await self.send(
            "POST",
            TOKEN,
            body={"grant_type": "client_credentials", "scope": "connect.api.read"},
            Authorization=basic(self.account),
            User_Agent=AGENT,
        )
        assert reply.status == 200, reply
        self.token = str(reply.json["access_token"])
        return self.token

    async def get(self, path: str) -> Reply:
        if not self.token:
            await self.login()
        return await self.send("GET", path, Authorization=f"Bearer {self.token}", User_Agent=AGENT)

    async def page(self, *more: tuple[str, str], **changes: str | None) -> Reply:
        if not self.token:
            await self.login()
        return await self.send(
            "POST",
            EVENTS,
            body=[*parameters(**changes), *more],
            Authorization=f"Bearer {self.token}",
            Accept="application/json",
            User_Agent=AGENT,
        )

    async def walk(self, **changes: str | None) -> list[list[dict[str, Any]]]:
        """All pages of one query."""
        pages = []
        anchor = None
        while True:
            reply = await self.page(anchor=anchor, **changes)
            assert reply.status == 200, reply
            pages.append(reply.json["items"])
            anchor = reply.json.get("nextAnchor")
            if anchor is None:
                return pages


def basic(account: Account) -> str:
    return "Basic " + base64.b64encode(f"{account.client_id}:{account.client_secret}".encode()).decode()


def parameters(**changes: str | None) -> list[tuple[str, str]]:
    """A request that is in order, with the changes; None leaves a parameter out."""
    given: dict[str, str | None] = {
        "persistenceTimestampStart": "2026-03-02T00:00:00Z",
        "persistenceTimestampEnd": "2026-03-02T12:00:00Z",
        "order": "asc",
        "limit": "200",
        **changes,
    }
    pairs = [(name, value) for name, value in given.items() if value is not None]
    if "engine" in given or "engineGroup" in given:
        return pairs
    return pairs + [("engineGroup", group) for group in ("epp", "edr", "ecp", "xm")]


def ids(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [item["id"] for page in pages for item in page]


def fill(sim: WithSecureSimulator, count: int = 1000) -> list[str]:
    """Events of the half day before noon, all readable and visible; their ids."""
    return sim.cloud.fill(count, NOON - timedelta(hours=12), NOON, mix=PLAIN)


def only_rule(sim: WithSecureSimulator) -> str:
    """The one rule that was broken."""
    assert len(sim.violations) == 1, sim.violations
    return sim.violations[0]
