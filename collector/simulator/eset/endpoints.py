"""The vendor's endpoints, behind the front door: who asks, what for, and whether the answer is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.answer import Answer, json_answer
from collector.simulator.eset.cloud import EsetCloud
from collector.simulator.eset.detection_pages import DELTA_PARAMETERS, LIST_PARAMETERS, DetectionPages
from collector.simulator.eset.incident_pages import INCIDENT_PARAMETERS, IncidentPages
from collector.simulator.eset.lists import write_list
from collector.simulator.eset.logins import EsetLogins
from collector.simulator.eset.paging import Pager, Run
from collector.simulator.eset.parameters import Query, read_query
from collector.simulator.eset.pending import PendingAnswers
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused, RuleBook

TOKEN_PATH = "/oauth/token"  # noqa: S105 -- a path
SERVICES = web.AppKey("services", frozenset[str])
"""Which of `auth`, `incident`, `device` an application serves; the paths of the others are unknown to it."""

_NOTHING: frozenset[str] = frozenset()
_PAGED = frozenset({"pageSize", "pageToken"})


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: its path with `{}` for a uuid, the service, the field of `Offer` that decides on it."""

    path: str
    service: str
    offered: str
    known: frozenset[str]
    answer: Callable[[EsetAccount, Query, str], Answer]
    repeatable: frozenset[str] = _NOTHING


class EsetEndpoints:
    """Answers a request that got through the front door."""

    def __init__(
        self,
        cloud: EsetCloud,
        faults: Faults,
        logins: EsetLogins,
        rules: RuleBook,
        *,
        detections: DetectionPages,
        incidents: IncidentPages,
        pager: Pager,
        pending: PendingAnswers,
    ) -> None:
        self.require_integration = False
        self._cloud = cloud
        self._faults = faults
        self._logins = logins
        self._rules = rules
        self._pager = pager
        self._pending = pending
        self._rng = pager.rng
        versions = [_detection_routes(detections, "v1"), _detection_routes(detections, "v2")]
        routes = [*versions[0], *versions[1], *_incident_routes(incidents), *self._device_routes()]
        self._routes = {route.path: route for route in routes}

    def claimed(self, request: web.Request, body: bytes) -> str:
        """The user a request says it is of, nothing checked; "" where it does not say."""
        if request.path == TOKEN_PATH:
            return self._logins.claimed(body)
        try:
            return self._logins.account(request.headers.get("Authorization")).username
        except Refused:
            return ""

    def label(self, request: web.Request) -> str:
        """Method and path, with `{}` for a uuid: what requests are counted by."""
        route, _ = self._find(request.rel_url.raw_path)
        return f"{request.method} {request.path if route is None else route.path}"[:200]

    def answer(self, request: web.Request, body: bytes, *, slowed: bool) -> Answer:
        """Find the endpoint and let it answer; `slowed`: a data request's answer is not ready at once.

        Raises:
            Refused: wrong path or method, or what the endpoint refuses.
        """
        services = request.app[SERVICES]
        if request.path == TOKEN_PATH and "auth" in services:
            return self._token(request, body)
        route, argument = self._find(request.rel_url.raw_path)
        if route is None or route.service not in services:
            raise Refused(404, "unknown path", "unknown path", details={"path": request.path[:80]})
        if request.method != "GET":
            raise Refused(405, "method not allowed", "wrong method", details={"path": request.path[:80]})
        account = self._admit(request)
        status = int(getattr(self._cloud.offers[account.username], route.offered))
        if status != 200:
            raise Refused(status, "not offered")
        query = read_query(request, route.known, route.repeatable)
        return self._when_ready(request, account, query, route, argument, slowed=slowed)

    def _when_ready(
        self, request: web.Request, account: EsetAccount, query: Query, route: Route, argument: str, *, slowed: bool
    ) -> Answer:
        username = account.username
        asked = request.rel_url.raw_path, tuple(sorted(request.rel_url.query.items()))
        response_id = request.headers.get("response-id")
        if response_id is None:
            fault = self._faults.strikes("pending", username)
            if slowed or fault is not None:
                return self._pending.begin(username, asked, 1.0 if fault is None else fault.seconds)
            return route.answer(account, query, argument)
        waiting = self._pending.poll(username, asked, response_id)
        if waiting is not None:
            return waiting
        answer = route.answer(account, query, argument)
        answer.lost = lambda: self._pending.lost(response_id)
        answer.cut = self._faults.strikes("pending_lost", username) is not None
        return answer

    def _token(self, request: web.Request, body: bytes) -> Answer:
        if request.method != "POST":
            raise Refused(405, "method not allowed", "wrong method", details={"path": TOKEN_PATH})
        if request.query_string:
            raise Refused(400, "query string", "query string on the token endpoint")
        username = self._logins.claimed(body)
        for name in ("login_500", "login_503"):
            if self._faults.strikes(name, username):
                return Answer(int(name[-3:]))
        if self._faults.strikes("login_403", username):
            return Answer(403, request_id=False)
        asked = TOKEN_PATH, ((request.content_type, body.decode(errors="replace")),)
        response_id = request.headers.get("response-id")
        if response_id is None and (fault := self._faults.strikes("login_pending", username)):
            return self._pending.begin(username, asked, fault.seconds)
        if response_id is not None and (waiting := self._pending.poll(username, asked, response_id)):
            return waiting
        return json_answer(self._logins.login(request.content_type, body))

    def _admit(self, request: web.Request) -> EsetAccount:
        account = self._logins.account(request.headers.get("Authorization"))
        if not request.headers.get("3rd-integration", "").strip():
            self._rules.broke("request without 3rd-integration", request.path[:80])
            if self.require_integration:
                raise Refused(403, "3rd-integration is required")
        if self._faults.strikes("unauthorized", account.username):
            self._logins.revoke(account.username)
            raise Refused(401, "token is no longer valid")
        if self._faults.strikes("forbidden", account.username):
            raise Refused(403, "access denied")
        return account

    def _find(self, raw_path: str) -> tuple[Route | None, str]:
        if raw_path in self._routes:
            return self._routes[raw_path], ""
        parts = raw_path.split("/")
        if len(parts) < 4 or not parts[3]:
            return None, ""
        argument, parts[3] = unquote(parts[3]), "{}"
        return self._routes.get("/".join(parts)), argument

    def _device_routes(self) -> list[Route]:
        def device(account: EsetAccount, _: Query, key: str) -> Answer:
            found = self._cloud.devices[account.username].get(key)
            if found is None:
                raise Refused(404, "no such device")
            return json_answer({"device": found})

        def devices(account: EsetAccount, query: Query, _: str) -> Answer:
            rows = [orjson.dumps(each) for each in self._cloud.devices[account.username].values()]
            page = self._pager.page(account.username, query, lambda: Run(rows))
            return Answer(200, write_list("devices", page.rows, page.token, self._rng))

        def several(account: EsetAccount, query: Query, _: str) -> Answer:
            known = self._cloud.devices[account.username]
            keys = query.lists.get("devicesUuids", ())
            if not keys or any(key not in known for key in keys):
                raise Refused(404 if keys else 400, "no such device", "" if keys else "batchGet of nothing")
            return json_answer({"devices": [known[key] for key in keys]})

        return [
            Route("/v1/devices", "device", "devices", _PAGED, devices),
            Route("/v1/devices:batchGet", "device", "devices", _NOTHING, several, frozenset({"devicesUuids"})),
            Route("/v1/devices/{}", "device", "devices", _NOTHING, device),
        ]


def _detection_routes(pages: DetectionPages, version: Any) -> list[Route]:
    single = "v1" if version == "v1" else "v2_get"
    base = f"/{version}/detections"

    def listed(account: EsetAccount, query: Query, _: str) -> Answer:
        return pages.listed(account, query, version)

    def delta(account: EsetAccount, query: Query, _: str) -> Answer:
        return pages.delta(account, query, version)

    def one(account: EsetAccount, _: Query, key: str) -> Answer:
        return pages.single(account, key, version)

    return [
        Route(base, "incident", version, LIST_PARAMETERS[version], listed),
        Route(f"{base}:listDelta", "incident", f"{version}_delta", DELTA_PARAMETERS, delta),
        Route(f"{base}/{{}}", "incident", single, _NOTHING, one),
    ]


def _incident_routes(pages: IncidentPages) -> list[Route]:
    def listed(account: EsetAccount, query: Query, _: str) -> Answer:
        return pages.listed(account, query)

    def single(account: EsetAccount, _: Query, key: str) -> Answer:
        return pages.single(account, key)

    def comments(account: EsetAccount, _: Query, key: str) -> Answer:
        return pages.comments(account, key)

    return [
        Route("/v2/incidents", "incident", "incidents", INCIDENT_PARAMETERS, listed),
        Route("/v2/incidents/{}", "incident", "incidents", _NOTHING, single),
        Route("/v2/incidents/{}/comments", "incident", "incidents", _NOTHING, comments),
    ]
