"""The front door of the simulated ESET Connect: limits, outages, damage, and the headers of every answer."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from math import ceil
from random import Random

import orjson
from aiohttp import web

from collector.clock import Clock
from collector.simulator.eset.answer import Answer, html_page, rpc_status
from collector.simulator.eset.cloud import EsetCloud
from collector.simulator.eset.endpoints import TOKEN_PATH, EsetEndpoints
from collector.simulator.eset.faults import OUTAGES
from collector.simulator.eset.logins import TokenRefused
from collector.simulator.faults import Fault, Faults
from collector.simulator.rules import Refused, RuleBook
from collector.simulator.window import SlidingWindow
from collector.simulator.wire import NO_DATE, compress, cut, reset

_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 200: "Sign in"}
_RPC_CODES = {401: 8, 403: 7}


@dataclass(frozen=True, slots=True)
class FairUse:
    """Over `burst` data requests in `seconds` an account's requests go slowly: `per_second` with 202, the rest 503."""

    burst: int = 1000
    seconds: float = 60.0
    per_second: int = 2


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer: the connection is reset after so many seconds."""

    seconds: float


class EsetGateway:
    """Every request passes here. `requests` counts them by method with path, `windows` by (user, source address).

    `retry_after`: whether a 429 for too many requests says when to come again. `throttled`, `rejected`: how many
    requests fair use answered with 202 and with 503.
    """

    def __init__(self, api: EsetEndpoints, cloud: EsetCloud, faults: Faults, rules: RuleBook, clock: Clock) -> None:
        self.requests: Counter[str] = Counter()
        self.windows: dict[tuple[str, str], SlidingWindow] = {}
        self.retry_after = True
        self.fair_use: FairUse | None = None
        self.throttled = 0
        self.rejected = 0
        self._bursts: dict[str, tuple[SlidingWindow, SlidingWindow]] = {}
        self._api = api
        self._cloud = cloud
        self._faults = faults
        self._rules = rules
        self._clock = clock
        self._limit = (10, 1.0)
        self._rng = Random("request ids")

    @property
    def most_in_window(self) -> int:
        """The most requests of one user and source address that arrived within any one window."""
        return max((window.most for window in self.windows.values()), default=0)

    def set_limit(self, requests: int, per_seconds: float) -> None:
        """Another limit for every user and source address; counting begins anew."""
        self._limit = (requests, per_seconds)
        self.windows.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The aiohttp handler of every path."""
        self.requests[self._api.label(request)] += 1
        is_login = request.path == TOKEN_PATH
        body = await request.read()
        username = self._api.claimed(request, body)
        try:
            self._count(username, request.remote or "")
            outage = self._outage(username, is_login=is_login)
            await self._delay(username, is_login=is_login)
            if isinstance(outage, Hang):
                await self._clock.sleep(outage.seconds)
                return reset(request)
            answer = outage or self._api.answer(
                request, body, slowed=self._slowed(request, username, is_login=is_login)
            )
        except Refused as refused:
            answer = self._refusal(refused)
        return await self._send(request, answer, username)

    def _count(self, username: str, source: str) -> None:
        window = self.windows.get((username, source))
        if window is None:
            window = self.windows[username, source] = SlidingWindow(*self._limit)
        wait = window.arrive(self._clock.monotonic())
        if wait is not None:
            rule = f"more than {window.limit} requests in {window.per_seconds:g} s"
            headers = {"Retry-After": str(ceil(wait))} if self.retry_after else {}
            raise Refused(429, "too many requests", rule, headers=headers)

    def _slowed(self, request: web.Request, username: str, *, is_login: bool) -> bool:
        """Whether fair use makes this new data request wait.

        Raises:
            Refused: 503, it does not even that.
        """
        if self.fair_use is None or is_login or "response-id" in request.headers:
            return False
        use, now = self.fair_use, self._clock.monotonic()
        windows = self._bursts.get(username)
        if windows is None:
            windows = SlidingWindow(use.burst, use.seconds), SlidingWindow(use.per_second, 1.0)
            self._bursts[username] = windows
        if windows[0].arrive(now) is None:
            return False
        if windows[1].arrive(now) is None:
            self.throttled += 1
            return True
        self.rejected += 1
        raise Refused(503, "come again")

    def _outage(self, username: str, *, is_login: bool) -> Answer | Hang | None:
        for name in OUTAGES:
            fault = self._faults.strikes(name, username, login=is_login)
            if fault is not None:
                return self._instead(name, fault)
        return None

    def _instead(self, name: str, fault: Fault) -> Answer | Hang:
        """What comes in place of an answer."""
        date = self._cloud.time.http_date(fault.seconds)
        special: dict[str, Answer | Hang] = {
            "reset": Hang(0.0),
            "hung": Hang(fault.seconds),
            "json_500": rpc_status(500, 13, "internal"),
            "http_504": Answer(504),
            "throttled_seconds": Answer(429, headers={"Retry-After": str(ceil(fault.seconds))}),
            "throttled_date": Answer(429, headers={"Retry-After": date}),
            "throttled_bare": Answer(429),
        }
        if name in special:
            return special[name]
        status = int(name.rpartition("_")[2])
        return html_page(status, _REASONS[status])

    async def _delay(self, username: str, *, is_login: bool) -> None:
        if slow := self._faults.strikes("slow", username, login=is_login):
            await self._clock.sleep(slow.seconds)
        if is_login and (slow := self._faults.strikes("login_slow", username, login=False)):
            await self._clock.sleep(slow.seconds)

    def _refusal(self, refused: Refused) -> Answer:
        self._rules.refused[f"{refused.status} {refused.message}"[:200]] += 1
        if refused.rule:
            self._rules.broke(refused.rule, " ".join(str(value) for value in refused.details.values()))
        if isinstance(refused, TokenRefused):
            body = orjson.dumps({"error": refused.error, "error_description": ""}) if refused.error else b""
            return Answer(refused.status, body)
        if refused.status in _RPC_CODES:
            return rpc_status(refused.status, _RPC_CODES[refused.status], refused.message)
        return Answer(refused.status, headers=dict(refused.headers))

    async def _send(self, request: web.Request, answer: Answer, username: str) -> web.StreamResponse:
        is_login = request.path == TOKEN_PATH
        body = answer.body
        damageable = answer.status == 200 and answer.content_type == "application/json" and not is_login
        truncated = damageable and self._faults.strikes("truncated", username) is not None
        is_cut = answer.cut or (damageable and not truncated and self._faults.strikes("cut", username) is not None)
        if truncated:
            body = body[: 1 + self._faults.draw(len(body) - 1)]
        if (truncated or is_cut) and answer.lost is not None:
            answer.lost()
        elif not truncated and not is_cut and answer.served is not None:
            answer.served()
        headers = {**answer.headers, "Date": self._date(request, username, login=is_login)}
        if body:
            headers["Content-Type"] = answer.content_type
        if answer.request_id:
            headers["request-id"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        body = compress(request, body, headers) if body else body
        if is_cut:
            return await cut(request, answer.status, body, headers)
        return web.Response(status=answer.status, body=body, headers=headers)

    def _date(self, request: web.Request, username: str, *, login: bool) -> str:
        request[NO_DATE] = self._faults.strikes("date_missing", username, login=login) is not None
        wrong = self._faults.strikes("date_wrong", username, login=login)
        return self._cloud.time.http_date(wrong.seconds if wrong else 0.0)
