"""The part of the simulator's own API that steers incidents.

| request | does |
|---|---|
| `GET incidents` | every visible incident by id: `Incidents.report`, bytes in base64 |
| `POST incidents` | `{count, start, end, detections?}`: new ones; answers `{ids}` |
| `POST incident_change` | `{id, at?, move?, to: {status, riskLevel, resolution, ...}}` |
| `POST incident_detect` | `{id, count?, at?, move?, size?}`: more detections; answers `{ids}` |
| `POST incident_merge` | `{id, into, at?}` |
| `POST incident_live` | `{rate, limit?}`: so many changes a second; rate 0 ends them |
| `POST licences` | `{unlicensed?: [client ids], without_detections?: [client ids]}` |
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from collector.simulator.incidents import Incidents
from collector.simulator.vendor_time import parse_us

Body = Mapping[str, Any]


class IncidentControl:
    """Turns requests into calls on the incidents of one simulator."""

    def __init__(self, incidents: Incidents) -> None:
        self._incidents = incidents
        self.commands: dict[str, Callable[[Body], Body]] = {
            "incidents": self._open,
            "incident_change": self._change,
            "incident_detect": self._detect,
            "incident_merge": self._merge,
            "incident_live": self._live,
            "licences": self._licences,
        }

    async def report(self, _: web.Request) -> web.Response:
        """The handler of `GET incidents`."""
        body = orjson.dumps(self._incidents.report(), default=_base64)
        return web.Response(body=body, content_type="application/json")

    def _open(self, body: Body) -> Body:
        start, end = _moment(body["start"]), _moment(body["end"])
        ids = self._incidents.open(int(body["count"]), start, end, detections=int(body.get("detections", 2)))
        return {"ids": ids}

    def _change(self, body: Body) -> Body:
        self._incidents.change(body["id"], _optional(body), move=bool(body.get("move", True)), **body.get("to", {}))
        return {}

    def _detect(self, body: Body) -> Body:
        count, size, move = int(body.get("count", 1)), int(body.get("size", 0)), bool(body.get("move", True))
        return {"ids": self._incidents.detect(body["id"], count, _optional(body), move=move, size=size)}

    def _merge(self, body: Body) -> Body:
        self._incidents.merge(body["id"], body["into"], _optional(body))
        return {}

    def _live(self, body: Body) -> Body:
        self._incidents.live(float(body["rate"]), body.get("limit"))
        return {}

    def _licences(self, body: Body) -> Body:
        self._incidents.unlicensed = set(body.get("unlicensed", ()))
        self._incidents.without_detections = set(body.get("without_detections", ()))
        return {}


def _optional(body: Body) -> datetime | None:
    return _moment(body["at"]) if "at" in body else None


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(parse_us(text) / 1e6, UTC)


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
