"""What the control APIs of the simulators have in common: JSON in, JSON out, and the faults."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from collector.simulator.faults import Fault, Faults
from collector.simulator.vendor_time import parse_us

Body = Mapping[str, Any]
Command = Callable[[Body], Body]


def add_commands(router: web.UrlDispatcher, commands: Mapping[str, Command]) -> None:
    """Put `POST /_sim/<name>` into the application for each; what makes no sense is 400 with `{"error"}`."""
    for name, command in commands.items():
        router.add_post(f"/_sim/{name}", _handler(command))


def json_response(body: Body, status: int = 200) -> web.Response:
    """An answer of a control API; bytes in it are base64."""
    return web.Response(status=status, body=orjson.dumps(body, default=_bytes), content_type="application/json")


async def send_ledger(request: web.Request, report: Iterable[tuple[str, Body]]) -> web.StreamResponse:
    """A ledger as one JSON line per event, bytes in base64."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for key, entry in report:
        await response.write(orjson.dumps({"id": key, **entry}, default=_bytes) + b"\n")
    await response.write_eof()
    return response


def set_faults(faults: Faults, body: Body) -> Body:
    """`{on: {name: fields of Fault}}`, `{off: [names]}`, `{off: "all"}`."""
    off = body.get("off", [])
    for name in [None] if off == "all" else off:
        faults.switch_off(name)
    for name, settings in body.get("on", {}).items():
        client_ids = frozenset(settings.get("client_ids", ()))
        faults.switch_on(name, Fault(**{**settings, "client_ids": client_ids}))
    return {}


def set_unreadable(faults: Faults, body: Body) -> Body:
    """`{ids, times?}`: answers that would hold them are garbage; times 0 ends that."""
    times = body.get("times")
    for key in body["ids"]:
        if times == 0:
            faults.make_readable(key)
        else:
            faults.make_unreadable(key, times)
    return {}


def moment(text: str) -> datetime:
    """A time of a request."""
    return datetime.fromtimestamp(parse_us(text) / 1e6, UTC)


def arguments(settings: Body) -> dict[str, Any]:
    """Fields of a dataclass that has tuples where JSON has lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def _handler(command: Command) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return json_response(command(orjson.loads(await request.read())))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            return json_response({"error": f"{type(exc).__name__}: {exc}"}, 400)

    return handle


def _bytes(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
