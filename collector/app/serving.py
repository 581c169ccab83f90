"""The admin servers of a running engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from collector.admin.control import serve_control
from collector.admin.server import make_app, serve
from collector.app.operations import EngineOperations

if TYPE_CHECKING:
    from collector.app.engine import Engine

log = structlog.get_logger()


@asynccontextmanager
async def operators_served(engine: Engine) -> AsyncIterator[None]:
    """Answer operators for the time of the context.

    Raises:
        CollectorError: an address or the socket can't be had: better said at the start than missed at 3 a.m.
    """
    operations = EngineOperations(engine)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_control(engine.config.admin.control, operations))
        if (address := engine.config.admin.address) is not None:
            host, port = await stack.enter_async_context(serve(address, make_app(operations)))
            log.info("admin server listens", host=host, port=port)
        yield
