"""The front door of the simulated vendor: counting, User-Agent, outages, damage, and the headers of every answer."""

from __future__ import annotations

from collections import Counter, deque
from math import ceil
from random import Random
from typing import Protocol

import orjson
from aiohttp import web

from collector.clock import Clock
from collector.simulator.answer import Answer, gateway_page
from collector.simulator.cloud import Cloud
from collector.simulator.faults import OUTAGES, Faults
from collector.simulator.logins import TokenRefused
from collector.simulator.rules import Refused, RuleBook
from collector.simulator.window import SlidingWindow
from collector.simulator.wire import NO_DATE, compress, reset
from collector.simulator.wire import cut as cut_short

_ARRIVALS_KEPT = 100_000
_REASONS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    200: "Sign in",
}


class Api(Protocol):
    """What stands behind the front door."""

    @property
    def login_path(self) -> str:
        """Where tokens are asked for."""
        ...

    def client_of(self, request: web.Request) -> str:
        """The client id a request claims, "" where it claims none."""
        ...

    def answer(self, request: web.Request, body: bytes) -> Answer:
        """The answer to a request; raises `Refused`."""
        ...


class Gateway:
    """Every request passes here. `requests` counts them by method with path, `windows` by source address.

    `arrivals` are the newest requests: monotonic time, whose credential ("" where none was sent), path.
    """

    def __init__(self, api: Api, cloud: Cloud, faults: Faults, rules: RuleBook, clock: Clock) -> None:
        self.requests: Counter[str] = Counter()
        self.arrivals: deque[tuple[float, str, str]] = deque(maxlen=_ARRIVALS_KEPT)
        self.windows: dict[str, SlidingWindow] = {}
        self._api = api
        self._cloud = cloud
        self._faults = faults
        self._rules = rules
        self._clock = clock
        self._limit = (300, 60.0)
        self._rng = Random("transactions")

    @property
    def most_in_window(self) -> int:
        """The most requests of one source address that arrived within any one window."""
        return max((window.most for window in self.windows.values()), default=0)

    def set_limit(self, requests: int, per_seconds: float) -> None:
        """Another limit for every source address; counting begins anew."""
        self._limit = (requests, per_seconds)
        self.windows.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The aiohttp handler of every path."""
        self.requests[f"{request.method} {request.path}"[:200]] += 1
        transaction = f"0000-{self._rng.getrandbits(64):016x}"
        is_login = request.path == self._api.login_path
        client_id = self._api.client_of(request)
        self.arrivals.append((self._clock.monotonic(), client_id, request.path))
        try:
            self._count(request.remote or "")
            body = await request.read()
            _check_agent(request)
            outage = self._outage(client_id, is_login=is_login)
            if slow := self._faults.strikes("slow", client_id, login=is_login):
                await self._clock.sleep(slow.seconds)
            if isinstance(outage, str):
                return reset(request)
            answer = outage or self._api.answer(request, body)
        except Refused as refused:
            answer = self._refusal(refused, transaction)
        return await self._send(request, answer, transaction, client_id)

    def _count(self, source: str) -> None:
        window = self.windows.get(source)
        if window is None:
            window = self.windows[source] = SlidingWindow(*self._limit)
        wait = window.arrive(self._clock.monotonic())
        if wait is not None:
            rule = f"more than {window.limit} requests in {window.per_seconds:g} s"
            raise Refused(429, "Too many requests", rule, headers={"Retry-After": str(ceil(wait))})

    def _outage(self, client_id: str, *, is_login: bool) -> Answer | str | None:
        for name in OUTAGES:
            fault = self._faults.strikes(name, client_id, login=is_login)
            if fault is None:
                continue
            if name == "reset":
                return name
            if name.startswith("throttled"):
                headers = {
                    "throttled_seconds": {"Retry-After": str(ceil(fault.seconds))},
                    "throttled_date": {"Retry-After": self._cloud.time.http_date(fault.seconds)},
                    "throttled_bare": {},
                }[name]
                return gateway_page(429, "Too Many Requests", headers)
            status = int(name.rpartition("_")[2])
            return gateway_page(status, _REASONS[status])
        return None

    def _refusal(self, refused: Refused, transaction: str) -> Answer:
        self._rules.refused[f"{refused.status} {refused.message}"[:200]] += 1
        if refused.rule:
            self._rules.broke(refused.rule, " ".join(str(value) for value in refused.details.values()))
        if isinstance(refused, TokenRefused):
            error = {"error": refused.error, "error_description": refused.message}
            return Answer(refused.status, orjson.dumps(error), transaction=False)
        return Answer(refused.status, orjson.dumps(refused.envelope(transaction)), headers=refused.headers)

    async def _send(self, request: web.Request, answer: Answer, transaction: str, client_id: str) -> web.StreamResponse:
        is_login = request.path == self._api.login_path
        body = answer.body
        damageable = (
            answer.status == 200 and len(body) > 1 and answer.content_type == "application/json" and not is_login
        )
        truncated = damageable and self._faults.strikes("truncated", client_id) is not None
        cut = damageable and not truncated and self._faults.strikes("cut", client_id) is not None
        if truncated:
            body = body[: 1 + self._faults.draw(len(body) - 1)]
        if not truncated and not cut:
            if answer.note is not None:
                answer.note(answer.events)
            else:
                self._cloud.ledger.served(answer.events, answer.client_id, self._cloud.time.now_ms())
        headers = {
            **answer.headers,
            "Content-Type": answer.content_type,
            "Date": self._date(request, client_id, login=is_login),
        }
        if answer.transaction:
            headers["x-transaction"] = transaction
        body = compress(request, body, headers)
        if cut:
            return await cut_short(request, answer.status, body, headers)
        return web.Response(status=answer.status, body=body, headers=headers)

    def _date(self, request: web.Request, client_id: str, *, login: bool) -> str:
        request[NO_DATE] = self._faults.strikes("date_missing", client_id, login=login) is not None
        wrong = self._faults.strikes("date_wrong", client_id, login=login)
        return self._cloud.time.http_date(wrong.seconds if wrong else 0.0)


def _check_agent(request: web.Request) -> None:
    if not request.headers.get("User-Agent", "").strip():
        raise Refused(403, "User-Agent is required", "request without a User-Agent")
