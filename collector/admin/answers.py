"""How the admin servers answer: JSON in which no secret is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from collector.errors import CollectorError, ConfigError
from collector.log import redact

log = structlog.get_logger()


def application(*middlewares: Middleware) -> web.Application:
    """An application whose answers hold no traceback, which aiohttp puts there when asyncio is in debug mode."""
    app = web.Application(middlewares=middlewares)
    # The public argument for it is deprecated in favour of the loop's own mode, which is not ours to choose.
    app._debug = False  # noqa: SLF001
    return app


def encode(value: Any) -> str:
    """JSON on one line; datetimes as RFC 3339 with `Z`, paths as text."""
    return orjson.dumps(value, default=_as_text, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()


def answer(value: Any, status: int = 200) -> web.Response:
    """What we say about ourselves: error texts may repeat what a server said, hence redacted."""
    return web.Response(text=redact(encode(value)), status=status, content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell what the operator can act on; what we did not foresee is told to the log alone."""
    try:
        return await handler(request)
    except ConfigError as exc:
        return answer({"error": str(exc), "problems": exc.problems}, 422)
    except CollectorError as exc:
        return answer({"error": str(exc)}, 409)
    except web.HTTPException as exc:
        return answer({"error": exc.reason}, exc.status)


def _as_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError
