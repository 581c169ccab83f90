"""The HTTP server for Prometheus and for whoever watches over the process: reads only, no login.

It listens on loopback unless configured otherwise and shows nothing of the events. `/livez` speaks of this process
alone, `/readyz` of the configuration and the state; neither of a vendor or a SIEM, since a restart cures no outage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from collector import __version__
from collector.admin.answers import answer, application
from collector.admin.operations import Operations
from collector.errors import CollectorError
from collector.metrics import METRICS, Rendering

_PAGE = f"""edr-collector {__version__}

/metrics   metrics for Prometheus
/livez     200 while the daemon lives
/readyz    200 while it can work: configuration loaded, state in order

`collector status` on this host says more.
"""

# Answers are small and made at once: whoever takes longer to read them at shutdown has gone.
_SHUTDOWN_SECONDS = 0.25


def make_app(operations: Operations, rendering: Rendering | None = None) -> web.Application:
    """The application; `rendering` is of the program's own metrics unless a test says otherwise."""
    metrics = rendering or Rendering(METRICS)

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=_PAGE)

    async def render_metrics(request: web.Request) -> web.Response:
        body, content_type = await metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def live(_request: web.Request) -> web.Response:
        health = await operations.health()
        return answer({"live": health["live"]}, 200 if health["live"] else 503)

    async def ready(_request: web.Request) -> web.Response:
        health = await operations.health()
        return answer({"ready": health["ready"], "reasons": health["reasons"]}, 200 if health["ready"] else 503)

    app = application()
    app.on_response_prepare.append(_name_ourselves)
    app.router.add_get("/", page)
    app.router.add_get("/metrics", render_metrics)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    return app


@asynccontextmanager
async def serve(address: tuple[str, int], app: web.Application) -> AsyncIterator[tuple[str, int]]:
    """Serve `app` on host and port (0: any free one) for the time of the context; gives what was bound.

    Raises:
        CollectorError: the address is taken or is none of this host's.
    """
    host, port = address
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            raise CollectorError(f"admin.listen: can't listen on {host}:{port}: {exc.strerror or exc}") from exc
        bound = runner.addresses[0]
        yield bound[0], bound[1]
    finally:
        await runner.cleanup()


async def _name_ourselves(_request: web.Request, response: web.StreamResponse) -> None:
    # In place of the name and version of the library.
    response.headers["Server"] = "edr-collector"
