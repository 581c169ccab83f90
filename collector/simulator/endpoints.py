"""The vendor's endpoints, behind the front door: who asks, and what for."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from collector.simulator.accounts import Account
from collector.simulator.answer import Answer
from collector.simulator.cloud import Cloud
from collector.simulator.faults import Faults
from collector.simulator.incident_pages import IncidentPages
from collector.simulator.logins import Logins
from collector.simulator.pages import EventPages
from collector.simulator.query import read_form, read_limit, read_organization, refuse_unknown, single
from collector.simulator.rules import Refused, RuleBook, bad_format

TOKEN_PATH = "/as/token.oauth2"  # noqa: S105 -- a path
EVENTS_PATH = "/security-events/v1/security-events"
WHOAMI_PATH = "/whoami/v1/whoami"
ORGANIZATIONS_PATH = "/organizations/v1/organizations"
INCIDENTS_PATH = "/incidents/v1/incidents"
DETECTIONS_PATH = "/incidents/v1/detections"

_FORM = "application/x-www-form-urlencoded"


class Endpoints:
    """Answers a request that got through the front door."""

    login_path = TOKEN_PATH

    def __init__(self, cloud: Cloud, faults: Faults, logins: Logins, rules: RuleBook) -> None:
        self._cloud = cloud
        self._faults = faults
        self._logins = logins
        self._pages = EventPages(cloud, faults, rules)
        self._incident_pages = IncidentPages(cloud, faults, rules)
        self._endpoints: dict[str, tuple[str, Callable[[web.Request, bytes], Answer]]] = {
            TOKEN_PATH: ("POST", self._token),
            EVENTS_PATH: ("POST", self._events),
            WHOAMI_PATH: ("GET", self._whoami),
            ORGANIZATIONS_PATH: ("GET", self._organizations),
            INCIDENTS_PATH: ("GET", self._incidents),
            DETECTIONS_PATH: ("GET", self._detections),
        }

    def client_of(self, request: web.Request) -> str:
        """The client id that a request claims, without checking anything; "" where there is none."""
        try:
            if request.path != TOKEN_PATH:
                return self._logins.account(request.headers.get("Authorization")).client_id
            pair = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic "))
            return pair.decode().partition(":")[0]
        except (Refused, ValueError):
            return ""

    def answer(self, request: web.Request, body: bytes) -> Answer:
        """Find the endpoint and let it answer.

        Raises:
            Refused: wrong path or method, or what the endpoint refuses.
        """
        if request.path not in self._endpoints:
            raise Refused(404, "Not found", "unknown path", details={"path": request.path[:80]})
        method, endpoint = self._endpoints[request.path]
        if request.method != method:
            raise Refused(405, "Method not allowed", f"{request.method[:10]} on {request.path}")
        return endpoint(request, body)

    def _token(self, request: web.Request, body: bytes) -> Answer:
        if request.query_string:
            raise Refused(400, "Unknown parameter", "query string on the token endpoint", 400_000)
        granted = self._logins.login(request.headers.get("Authorization"), request.content_type, body)
        return Answer(200, orjson.dumps(granted))

    def _events(self, request: web.Request, body: bytes) -> Answer:
        account = self._admit(request)
        if request.query_string:
            raise Refused(400, "Unknown parameter", "query string on a form endpoint", 400_000)
        if request.content_type != _FORM:
            raise Refused(415, "Unsupported media type", "events request is no form")
        return self._pages.answer(account, read_form(body))

    def _whoami(self, request: web.Request, _: bytes) -> Answer:
        account = self._admit(request)
        refuse_unknown(_query_string(request), frozenset())
        return _json({"clientId": account.client_id, "organizationId": account.organization.id}, account)

    def _organizations(self, request: web.Request, _: bytes) -> Answer:
        account = self._admit(request)
        parameters = _query_string(request)
        refuse_unknown(parameters, frozenset({"organizationId", "type", "limit", "anchor"}))
        wanted, kind = read_organization(parameters, account.organization_ids), single(parameters, "type")
        if kind not in {None, "company", "partner"}:
            raise bad_format("type", str(kind))
        limit, after = read_limit(parameters), single(parameters, "anchor") or ""
        rows = [
            {"id": organization.id, "name": organization.name, "type": organization.type}
            for organization in sorted(account.organizations, key=lambda each: each.id)
            if organization.id > after and wanted in {None, organization.id} and kind in {None, organization.type}
        ]
        page = {"items": rows[:limit], **({"nextAnchor": rows[limit - 1]["id"]} if len(rows) > limit else {})}
        return _json(page, account)

    def _incidents(self, request: web.Request, _: bytes) -> Answer:
        return self._incident_pages.incidents(self._admit(request), _query_string(request))

    def _detections(self, request: web.Request, _: bytes) -> Answer:
        return self._incident_pages.detections(self._admit(request), _query_string(request))

    def _admit(self, request: web.Request) -> Account:
        account = self._logins.account(request.headers.get("Authorization"))
        accept = request.headers.get("Accept", "*/*")
        if "application/json" not in accept and "*/*" not in accept:
            raise Refused(406, "Not acceptable", "Accept without application/json", details={"accept": accept[:80]})
        if self._faults.strikes("unauthorized", account.client_id):
            self._logins.revoke(account.client_id)
            raise Refused(401, "Token is no longer valid")
        if self._faults.strikes("forbidden", account.client_id):
            raise Refused(403, "The organization has no subscription for this product")
        return account


def _query_string(request: web.Request) -> dict[str, list[str]]:
    return read_form(request.rel_url.raw_query_string.encode())


def _json(body: dict[str, Any], account: Account) -> Answer:
    return Answer(200, orjson.dumps(body), client_id=account.client_id)
