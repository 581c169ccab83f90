"""A reader of the simulated ESET Connect, well-behaved unless a test spoils its requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp

from collector.simulator.eset import HARBOUR, DetectionMix, EsetAccount, EsetSimulator
from tests.unit.simulator.reader import NOON, Reply

TOKEN = "/oauth/token"
V1, V2 = "/v1/detections", "/v2/detections"
INCIDENTS, DEVICES = "/v2/incidents", "/v1/devices"
PLAIN = DetectionMix(harsh=0.0, late=0.0, future=0.0)
DAY = {"startTime": "2026-03-02T00:00:00Z", "endTime": "2026-03-02T12:00:00Z", "pageSize": "200"}


@dataclass
class Reader:
    base_url: str
    session: aiohttp.ClientSession
    account: EsetAccount = HARBOUR
    token: str = ""
    refresh: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"3rd-integration": "edr-collector"})

    async def send(self, method: str, path: str, **more: Any) -> Reply:
        async with self.session.request(method, self.base_url + path, **more) as answer:
            names = {name.lower(): text for name, text in answer.headers.items()}
            return Reply(answer.status, await answer.read(), names)

    async def ask_token(self, **fields: str) -> Reply:
        return await self.send("POST", TOKEN, data=fields)

    async def login(self) -> Reply:
        reply = await self.ask_token(
            grant_type="password", username=self.account.username, password=self.account.password
        )
        self._keep(reply)
        return reply

    async def renew(self) -> Reply:
        reply = await self.ask_token(grant_type="refresh_token", refresh_token=self.refresh)
        self._keep(reply)
        return reply

    async def get(self, path: str, response_id: str | None = None, **parameters: str) -> Reply:
        if not self.token:
            assert (await self.login()).status == 200
        headers = {"Authorization": f"Bearer {self.token}", **self.headers}
        if response_id is not None:
            headers["response-id"] = response_id
        return await self.send("GET", path, params=parameters, headers=headers)

    async def walk(self, path: str, key: str, **parameters: str) -> list[list[Any]]:
        """All pages of one query."""
        pages: list[list[Any]] = []
        token = ""
        while True:
            more = {"pageToken": token} if token else {}
            reply = await self.get(path, **parameters, **more)
            assert reply.status == 200, reply
            pages.append(reply.json.get(key) or [])
            token = reply.json.get("nextPageToken") or ""
            if not token:
                return pages

    async def follow(self, path: str, delta_token: str) -> tuple[list[str], str]:
        """One run of a delta: uuids, and the token that goes on."""
        found: list[str] = []
        token = ""
        while True:
            more = {"pageToken": token} if token else {}
            reply = await self.get(f"{path}:listDelta", deltaToken=delta_token, pageSize="20", **more)
            assert reply.status == 200, reply
            found += [each["uuid"] for each in reply.json.get("createdDetections") or []]
            token = reply.json.get("nextPageToken") or ""
            if not token:
                return found, reply.json["nextDeltaToken"]
            assert not reply.json["nextDeltaToken"]

    def _keep(self, reply: Reply) -> None:
        if reply.status == 200:
            self.token, self.refresh = reply.json["access_token"], reply.json["refresh_token"]


def fill(vendor: EsetSimulator, count: int = 500) -> list[str]:
    """Detections of the half day before noon, all readable and visible; their uuids."""
    return vendor.cloud.fill(count, NOON - timedelta(hours=12), NOON, mix=PLAIN)


def uuids(pages: list[list[Any]]) -> list[str]:
    return [each["uuid"] for page in pages for each in page]
