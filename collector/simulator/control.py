"""The simulator's own API under `/_sim/`, for tests that run it as a process of its own: JSON in, JSON out.

| request | does |
|---|---|
| `GET state` | requests, violations, broken, refused, faults_served, most_in_window, logins, events, vendor_now |
| `GET ledger[?client_id=…][&hashes=0]` | one JSON line per visible event: `Ledger.report` and `id`, bytes in base64 |
| `POST fill` | `{count, start, end, seed?, mix?}`: generate events; answers `{ids}` |
| `POST tie` | `{count, at, seed?}`: that many events in one millisecond; answers `{ids}` |
| `POST events` | `{events: [{id, raw (base64), stamp, visible_at?, organization_id, engine?, ...}]}`: add these |
| `POST serve_again` | `{ids, after_seconds?}`: the same events, later stamp, `acknowledged` flipped |
| `POST drip` | `{rate, limit?, again?, again_seconds?, mix?}`: live events; rate 0 ends them |
| `POST faults` | `{on: {name: fields of Fault}}`, `{off: [names]}`, `{off: "all"}` |
| `POST unreadable` | `{ids, times?}`: answers that would hold them are garbage; times 0 ends that |
| `POST revoke` | `{client_id}`: take back its tokens |
| `POST settings` | `{offset_seconds?, expires_in?, limit?: {requests, per_seconds}}` |
| `POST accounts` | `{client_id, client_secret, organization: {id, name, type?}, children?: [...]}` |

Incidents have requests of their own: `incident_control`. Times are RFC 3339. A request that makes no sense gets 400
`{"error"}`. Nothing here counts as a vendor's request.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from aiohttp import web

from collector.simulator.accounts import Account, Organization
from collector.simulator.cloud import Cloud, Drip
from collector.simulator.commands import (
    Body,
    add_commands,
    arguments,
    json_response,
    moment,
    send_ledger,
    set_faults,
    set_unreadable,
)
from collector.simulator.events import Mix
from collector.simulator.faults import Faults
from collector.simulator.gateway import Gateway
from collector.simulator.incident_control import IncidentControl
from collector.simulator.logins import Logins
from collector.simulator.rules import RuleBook
from collector.simulator.vendor_event import VendorEvent
from collector.simulator.vendor_time import parse_us, rfc3339


class Control:
    """Turns requests into calls on the parts of one simulator."""

    def __init__(self, cloud: Cloud, faults: Faults, rules: RuleBook, logins: Logins, gateway: Gateway) -> None:
        self._cloud = cloud
        self._faults = faults
        self._rules = rules
        self._logins = logins
        self._gateway = gateway

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Put the routes into the application; they must come before a catch-all."""
        router.add_get("/_sim/state", self._state)
        router.add_get("/_sim/ledger", self._ledger)
        commands: dict[str, Callable[[Body], Body]] = {
            "fill": self._fill,
            "tie": self._tie,
            "events": self._events,
            "serve_again": self._serve_again,
            "drip": self._drip,
            "faults": self._set_faults,
            "unreadable": self._unreadable,
            "revoke": self._revoke,
            "settings": self._settings,
            "accounts": self._accounts,
        }
        incidents = IncidentControl(self._cloud.incidents)
        router.add_get("/_sim/incidents", incidents.report)
        add_commands(router, commands | incidents.commands)

    def state(self) -> dict[str, Any]:
        """All counters, as JSON values."""
        return {
            "requests": dict(self._gateway.requests),
            "most_in_window": self._gateway.most_in_window,
            "violations": self._rules.violations,
            "broken": dict(self._rules.broken),
            "refused": dict(self._rules.refused),
            "faults_served": dict(self._faults.served),
            "logins": dict(self._logins.granted),
            "events": self._cloud.counts(),
            "vendor_now": rfc3339(self._cloud.time.now_ms()),
        }

    async def _state(self, _: web.Request) -> web.Response:
        return json_response(self.state())

    async def _ledger(self, request: web.Request) -> web.StreamResponse:
        client_ids = request.query.getall("client_id", None)
        hashes = request.query.get("hashes") != "0"
        return await send_ledger(request, self._cloud.report(client_ids, hashes=hashes))

    def _fill(self, body: Body) -> Body:
        start, end = moment(body["start"]), moment(body["end"])
        ids = self._cloud.fill(
            int(body["count"]), start, end, seed=body.get("seed"), mix=Mix(**arguments(body.get("mix", {})))
        )
        return {"ids": ids}

    def _tie(self, body: Body) -> Body:
        return {"ids": self._cloud.tie(int(body["count"]), moment(body["at"]), seed=body.get("seed"))}

    def _events(self, body: Body) -> Body:
        events = [_event(each) for each in body["events"]]
        self._cloud.add(events)
        return {"ids": [event.key for event in events]}

    def _serve_again(self, body: Body) -> Body:
        self._cloud.serve_again(body["ids"], float(body.get("after_seconds", 0)))
        return {}

    def _drip(self, body: Body) -> Body:
        settings = arguments({name: value for name, value in body.items() if name != "mix"})
        drip = Drip(**settings, mix=Mix(**arguments(body.get("mix", {}))))
        self._cloud.drip(drip if drip.rate > 0 else None)
        return {}

    def _set_faults(self, body: Body) -> Body:
        return set_faults(self._faults, body)

    def _unreadable(self, body: Body) -> Body:
        return set_unreadable(self._faults, body)

    def _revoke(self, body: Body) -> Body:
        self._logins.revoke(body["client_id"])
        return {}

    def _settings(self, body: Body) -> Body:
        if "offset_seconds" in body:
            self._cloud.time.offset_seconds = float(body["offset_seconds"])
        if "expires_in" in body:
            self._logins.expires_in = int(body["expires_in"])
        if "limit" in body:
            self._gateway.set_limit(int(body["limit"]["requests"]), float(body["limit"]["per_seconds"]))
        return {}

    def _accounts(self, body: Body) -> Body:
        own = Organization(**body["organization"])
        children = tuple(Organization(**child) for child in body.get("children", []))
        self._cloud.add_account(Account(body["client_id"], body["client_secret"], own, children))
        return {}


def _event(body: Body) -> VendorEvent:
    stamp_ms = parse_us(body["stamp"]) // 1000
    return VendorEvent(
        key=body["id"],
        organization_id=body["organization_id"],
        engine=body.get("engine", "fileScanning"),
        group=body.get("group", "epp"),
        severity=body.get("severity", "info"),
        target_id=body.get("target_id", ""),
        stamp_ms=stamp_ms,
        visible_ms=parse_us(body["visible_at"]) // 1000 if "visible_at" in body else stamp_ms,
        raw=base64.b64decode(body["raw"], validate=True),
        traits=tuple(body.get("traits", ())),
    )
