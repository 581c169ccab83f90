"""The control API of the simulated ESET Connect under `/_sim/`: JSON in, JSON out.

| request | does |
|---|---|
| `GET state` | all counters: requests, violations, broken, refused, faults_served, events, incidents, vendor_now, ... |
| `GET ledger[?client_id=...]` | one JSON line per detection: `DetectionLedger.report` and `id`, bytes in base64 |
| `GET incidents[?client_id=...]` | every visible state by uuid: `Incidents.report`, bytes in base64 |
| `POST fill` | `{count, start, end, seed?, mix?}`: generate detections; answers `{ids}` |
| `POST tie` | `{count, at, seed?}`: that many of one occurTime; answers `{ids}` |
| `POST straggle` | `{count, late_seconds, in_seconds?, seed?}`: detections that show up so long after their time |
| `POST detections` | `{detections: [{id, username, v1?, v2? (base64), occurred, visible_at?, inspect?, traits?}]}` |
| `POST drip` | `{rate, limit?, mix?}`: live detections; rate 0 ends them |
| `POST incident_fill` | `{count, start, end}`: answers `{ids}` |
| `POST incident_stir` | `{count, within_seconds, unmoved?, twice?}`: seeded changes |
| `POST incident_open` | `{username?, at?, after_seconds?, fields?}`: answers `{id}` |
| `POST incident_change` | `{id, after_seconds?, moves?, to: {status, severity, assigneeUuid, ...}}` |
| `POST incident_comment` | `{id, text, after_seconds?, moves?}` |
| `POST incident_join` | `{id, detection, device?, after_seconds?, moves?}` |
| `POST faults`, `POST unreadable` | as the other simulator; `client_ids` are user names |
| `POST revoke` | `{username, refresh?}`: take back its tokens |
| `POST kill_deltas` | `{username?}`: refuse every delta token given out so far |
| `POST offer` | `{username?, ...}`: fields of `Offer` |
| `POST settings` | `{offset_seconds?, expires_in?, single_use?, delta_lives_seconds?, page_lives_seconds?, shifting?, |
|   | ordered?, require_integration?, retry_after?, limit?: {requests, per_seconds}, fair_use?: {burst, ...}}` |
| `POST accounts` | `{username, password, name, customers?: [...]}` |

Times are RFC 3339. A request that makes no sense gets 400 `{"error"}`. Nothing here counts as a vendor's request.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

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
from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.cloud import DetectionDrip
from collector.simulator.eset.detection import Detection
from collector.simulator.eset.detections import DetectionMix
from collector.simulator.eset.gateway import FairUse
from collector.simulator.vendor_time import parse_us, rfc3339

if TYPE_CHECKING:
    from collector.simulator.eset.simulator import EsetSimulator


class EsetControl:
    """Turns requests into calls on the parts of one simulator."""

    def __init__(self, simulator: EsetSimulator) -> None:
        self._simulator = simulator
        self._cloud = simulator.cloud

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Put the routes into the application; they must come before a catch-all."""
        router.add_get("/_sim/state", self._state)
        router.add_get("/_sim/ledger", self._ledger)
        router.add_get("/_sim/incidents", self._report)
        add_commands(
            router,
            {
                "fill": self._fill,
                "tie": self._tie,
                "straggle": self._straggle,
                "detections": self._detections,
                "drip": self._drip,
                "incident_fill": self._incident_fill,
                "incident_stir": self._incident_stir,
                "incident_open": self._incident_open,
                "incident_change": self._incident_change,
                "incident_comment": self._incident_comment,
                "incident_join": self._incident_join,
                "faults": lambda body: set_faults(self._simulator.faults, body),
                "unreadable": lambda body: set_unreadable(self._simulator.faults, body),
                "revoke": self._revoke,
                "kill_deltas": self._kill_deltas,
                "offer": self._offer,
                "settings": self._settings,
                "accounts": self._accounts,
            },
        )

    async def _state(self, _: web.Request) -> web.Response:
        simulator = self._simulator
        return json_response(
            {
                "requests": dict(simulator.requests),
                "most_in_window": simulator.most_in_window,
                "violations": simulator.violations,
                "broken": dict(simulator.rules.broken),
                "refused": dict(simulator.rules.refused),
                "faults_served": simulator.faults_served,
                "logins": {f"{username} {grant}": n for (username, grant), n in simulator.logins.granted.items()},
                "events": self._cloud.counts(),
                "incidents": {"visible": len(self._cloud.incidents.report()), "pending": self._cloud.incidents.pending},
                "vendor_now": rfc3339(self._cloud.time.now_ms()),
            }
        )

    async def _ledger(self, request: web.Request) -> web.StreamResponse:
        return await send_ledger(request, self._cloud.report(request.query.getall("client_id", None)))

    async def _report(self, request: web.Request) -> web.Response:
        return json_response(self._cloud.incidents.report(request.query.getall("client_id", None)))

    def _fill(self, body: Body) -> Body:
        start, end = moment(body["start"]), moment(body["end"])
        mix = DetectionMix(**arguments(body.get("mix", {})))
        return {"ids": self._cloud.fill(int(body["count"]), start, end, seed=body.get("seed"), mix=mix)}

    def _tie(self, body: Body) -> Body:
        return {"ids": self._cloud.tie(int(body["count"]), moment(body["at"]), seed=body.get("seed"))}

    def _straggle(self, body: Body) -> Body:
        late, soon = timedelta(seconds=float(body["late_seconds"])), float(body.get("in_seconds", 0))
        return {"ids": self._cloud.straggle(int(body["count"]), late, soon, seed=body.get("seed"))}

    def _detections(self, body: Body) -> Body:
        detections = [_detection(each) for each in body["detections"]]
        self._cloud.add(detections)
        return {"ids": [detection.key for detection in detections]}

    def _drip(self, body: Body) -> Body:
        settings = {name: value for name, value in body.items() if name != "mix"}
        drip = DetectionDrip(**settings, mix=DetectionMix(**arguments(body.get("mix", {}))))
        self._cloud.drip(drip if drip.rate > 0 else None)
        return {}

    def _incident_fill(self, body: Body) -> Body:
        return {"ids": self._cloud.incidents.fill(int(body["count"]), moment(body["start"]), moment(body["end"]))}

    def _incident_stir(self, body: Body) -> Body:
        self._cloud.incidents.stir(**body)
        return {}

    def _incident_open(self, body: Body) -> Body:
        settings = {**body, **body.get("fields", {})}
        settings.pop("fields", None)
        if "at" in settings:
            settings["at"] = moment(settings["at"])
        return {"id": self._cloud.incidents.open(**settings)}

    def _incident_change(self, body: Body) -> Body:
        after, moves = _when(body)
        self._cloud.incidents.change(body["id"], after_seconds=after, moves=moves, **body.get("to", {}))
        return {}

    def _incident_comment(self, body: Body) -> Body:
        after, moves = _when(body)
        self._cloud.incidents.comment(body["id"], str(body["text"]), after_seconds=after, moves=moves)
        return {}

    def _incident_join(self, body: Body) -> Body:
        after, moves = _when(body, moves=False)
        self._cloud.incidents.join(body["id"], body["detection"], body.get("device"), after_seconds=after, moves=moves)
        return {}

    def _revoke(self, body: Body) -> Body:
        self._simulator.logins.revoke(body["username"], refresh=bool(body.get("refresh")))
        return {}

    def _kill_deltas(self, body: Body) -> Body:
        self._simulator.deltas.kill(body.get("username"))
        return {}

    def _offer(self, body: Body) -> Body:
        self._simulator.offer(**body)
        return {}

    def _settings(self, body: Body) -> Body:
        simulator = self._simulator
        places = {
            "offset_seconds": (self._cloud.time, "offset_seconds"),
            "expires_in": (simulator.logins, "expires_in"),
            "single_use": (simulator.logins, "single_use"),
            "delta_lives_seconds": (simulator.deltas, "lives_seconds"),
            "page_lives_seconds": (simulator.pager, "lives_seconds"),
            "shifting": (simulator.pager, "shifting"),
            "ordered": (simulator.detections, "ordered"),
            "require_integration": (simulator.endpoints, "require_integration"),
            "retry_after": (simulator.gateway, "retry_after"),
        }
        for name, value in body.items():
            if name == "fair_use":
                simulator.gateway.fair_use = None if value is None else FairUse(**value)
            elif name == "limit":
                simulator.gateway.set_limit(int(value["requests"]), float(value["per_seconds"]))
            else:
                setattr(*places[name], value)
        return {}

    def _accounts(self, body: Body) -> Body:
        self._cloud.add_account(EsetAccount(**arguments(body)))
        return {}


def _when(body: Body, *, moves: bool = True) -> tuple[float, bool]:
    """After how many seconds a change shows, and whether updateTime tells."""
    return float(body.get("after_seconds", 0)), bool(body.get("moves", moves))


def _detection(body: Body) -> Detection:
    occur_ms = parse_us(body["occurred"]) // 1000
    views = [base64.b64decode(body[name], validate=True) if name in body else None for name in ("v1", "v2")]
    if not any(views):
        raise ValueError("neither v1 nor v2")
    return Detection(
        key=body["id"],
        username=body["username"],
        occur_ms=occur_ms,
        visible_ms=parse_us(body["visible_at"]) // 1000 if "visible_at" in body else occur_ms,
        device_uuid=body.get("device_uuid", ""),
        v1=views[0],
        v2=views[1],
        inspect=bool(body.get("inspect")),
        traits=tuple(body.get("traits", ())),
    )
