"""The operator verbs: JSON over HTTP on a unix socket that only the daemon's own user may open.

    GET  /status  /health  /checkpoints  /dead-letters?sink=&limit=  /dead-letters/ID
    GET  /tail?tenant=&format=      lines without end; an empty line now and then says that we are still there
    POST /reload
    POST /tenant/pause  /tenant/resume  /tenant/purge  with {"tenant": }
    POST /tenant/accept                               with {"tenant": , "source": name or null, "anew": true or false}
    POST /test-event                                  with {"tenant": , "sink": name or null, "seconds": }
    POST /backup                                      with {"path": }
    POST /dead-letters/retry  /dead-letters/drop      with {"sink": , "ids": }, null: all

An error is `{"error": "..."}`: 422 with `problems` for a refused configuration, 409 for what can't be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from collector.admin.answers import answer, application, encode, errors_as_json
from collector.admin.operations import Operations
from collector.admin.unix_socket import private_socket
from collector.errors import CollectorError

KEEP_ALIVE_SECONDS = 5.0
_SHUTDOWN_SECONDS = 0.25
_MOST_LETTERS = 100_000
_LONGEST_TEST_SECONDS = 600


@asynccontextmanager
async def serve_control(path: Path, operations: Operations) -> AsyncIterator[None]:
    """Serve the verbs on `path` for the time of the context; what a crash left there is replaced.

    Raises:
        ConfigError: the path is too long for a socket.
        CollectorError: the socket can't be made, or another daemon answers there.
    """
    with private_socket(path) as listening:
        runner = web.AppRunner(make_control_app(operations), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        try:
            await runner.setup()
            await web.SockSite(runner, listening).start()
            yield
        finally:
            await runner.cleanup()


def make_control_app(operations: Operations, keep_alive: float = KEEP_ALIVE_SECONDS) -> web.Application:
    """The application behind the socket; `keep_alive`: seconds between the empty lines of a tail."""
    verbs = _Verbs(operations, keep_alive)
    app = application(errors_as_json)
    app.router.add_get("/status", verbs.status)
    app.router.add_get("/health", verbs.health)
    app.router.add_get("/checkpoints", verbs.checkpoints)
    app.router.add_get("/tail", verbs.tail)
    app.router.add_post("/reload", verbs.reload)
    app.router.add_post("/backup", verbs.backup)
    app.router.add_post("/tenant/pause", verbs.pause)
    app.router.add_post("/tenant/resume", verbs.resume)
    app.router.add_post("/tenant/purge", verbs.purge)
    app.router.add_post("/tenant/accept", verbs.accept)
    app.router.add_post("/test-event", verbs.test_event)
    app.router.add_get("/dead-letters", verbs.dead_letters)
    app.router.add_get(r"/dead-letters/{number:\d{1,18}}", verbs.dead_letter)
    app.router.add_post("/dead-letters/retry", verbs.retry)
    app.router.add_post("/dead-letters/drop", verbs.drop)
    return app


class _Verbs:
    """One method per verb: the request in, `Operations` called, the answer out."""

    def __init__(self, operations: Operations, keep_alive: float) -> None:
        self._operations = operations
        self._keep_alive = keep_alive

    async def status(self, _request: web.Request) -> web.Response:
        return answer(await self._operations.status())

    async def health(self, _request: web.Request) -> web.Response:
        return answer(await self._operations.health())

    async def checkpoints(self, _request: web.Request) -> web.Response:
        return answer(await self._operations.checkpoints())

    async def reload(self, _request: web.Request) -> web.Response:
        return answer(await self._operations.reload())

    async def backup(self, request: web.Request) -> web.Response:
        target = (await _body(request)).get("path")
        # Relative to what? The daemon's folder is none the operator knows.
        if not isinstance(target, str) or not target.startswith("/"):
            raise CollectorError("backup needs an absolute path")
        return answer(await self._operations.backup(target))

    async def pause(self, request: web.Request) -> web.Response:
        tenant = await _tenant(request)
        await self._operations.pause_tenant(tenant)
        return answer({"tenant": tenant})

    async def resume(self, request: web.Request) -> web.Response:
        tenant = await _tenant(request)
        await self._operations.resume_tenant(tenant)
        return answer({"tenant": tenant})

    async def purge(self, request: web.Request) -> web.Response:
        tenant = await _tenant(request)
        return answer({"tenant": tenant, "events": await self._operations.purge_tenant(tenant)})

    async def accept(self, request: web.Request) -> web.Response:
        tenant, body = await _tenant(request), await _body(request)
        source, anew = body.get("source"), body.get("anew", False)
        if not (source is None or isinstance(source, str)) or not isinstance(anew, bool):
            raise CollectorError('the request must be {"tenant": name, "source": name or null, "anew": true or false}')
        return answer({"tenant": tenant, "feeds": await self._operations.accept_account(tenant, source, anew=anew)})

    async def test_event(self, request: web.Request) -> web.Response:
        body = await _body(request)
        tenant, sink, seconds = body.get("tenant"), body.get("sink"), body.get("seconds", 30.0)
        if not isinstance(tenant, str) or not (sink is None or isinstance(sink, str)):
            raise CollectorError('the request must be {"tenant": name, "sink": name or null, "seconds": number}')
        if type(seconds) not in {int, float} or not 0 < seconds <= _LONGEST_TEST_SECONDS:
            raise CollectorError(f"seconds must be a number up to {_LONGEST_TEST_SECONDS}")
        return answer({"sinks": await self._operations.test_event(tenant, sink, float(seconds))})

    async def dead_letters(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "100")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _MOST_LETTERS:
            raise CollectorError(f"limit must be a number from 1 to {_MOST_LETTERS}")
        return answer(await self._operations.dead_letters(request.query.get("sink"), int(limit)))

    async def dead_letter(self, request: web.Request) -> web.Response:
        letter = await self._operations.dead_letter(int(request.match_info["number"]))
        # Not redacted: the record is an event, and is shown as it is.
        return web.Response(text=encode(letter), content_type="application/json")

    async def retry(self, request: web.Request) -> web.Response:
        sink, numbers = await _choice(request)
        return answer({"retried": await self._operations.retry_dead_letters(sink, numbers)})

    async def drop(self, request: web.Request) -> web.Response:
        sink, numbers = await _choice(request)
        return answer({"dropped": await self._operations.drop_dead_letters(sink, numbers)})

    async def tail(self, request: web.Request) -> web.StreamResponse:
        lines = self._operations.tail(request.query.get("tenant"), request.query.get("format", "json"))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        # The reader has gone away, which is how a tail ends.
        with suppress(ConnectionError):
            try:
                await response.prepare(request)
                await self._follow(lines, response)
            finally:
                if isinstance(lines, AsyncGenerator):
                    await lines.aclose()
        return response

    async def _follow(self, lines: AsyncIterator[bytes], response: web.StreamResponse) -> None:
        gone: list[ConnectionError] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                alive = tasks.create_task(self._say_alive(response), name="tail keep-alive")
                async for line in lines:
                    await response.write(line + b"\n")
                alive.cancel()
        except* ConnectionError as group:
            gone += [exc for exc in group.exceptions if isinstance(exc, ConnectionError)]
        if gone:
            raise gone[0]

    async def _say_alive(self, response: web.StreamResponse) -> None:
        """Without it a quiet tail would never notice that its reader has gone, nor the reader that we have."""
        while True:
            await asyncio.sleep(self._keep_alive)
            await response.write(b"\n")


async def _tenant(request: web.Request) -> str:
    tenant = (await _body(request)).get("tenant")
    if not isinstance(tenant, str):
        raise CollectorError('the request must hold "tenant", a name')
    return tenant


async def _choice(request: web.Request) -> tuple[str | None, Sequence[int] | None]:
    body = await _body(request)
    sink, numbers = body.get("sink"), body.get("ids")
    if not (sink is None or isinstance(sink, str)) or not (numbers is None or _are_numbers(numbers)):
        raise CollectorError('the request must be {"sink": name or null, "ids": list of numbers or null}')
    return sink, numbers


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body: Any = orjson.loads(await request.read())
    except orjson.JSONDecodeError as exc:
        raise CollectorError("the request is no JSON") from exc
    if not isinstance(body, dict):
        raise CollectorError("the request is no JSON object")
    return body


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int for number in value)
