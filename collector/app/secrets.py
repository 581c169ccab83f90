"""Secrets that were replaced on disk: read again when a vendor refuses the ones we have."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from collector.app.parts import accounts
from collector.config import load_config
from collector.config.references import have_changed
from collector.errors import ConfigError
from collector.log import hide

if TYPE_CHECKING:
    from collector.app.engine import Engine

log = structlog.get_logger()

Key = tuple[str, str]
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 60.0


async def read_secrets_again(engine: Engine) -> None:
    """Have sources that are denied log in with the secret that stands in its file by now, for ever.

    Looks at the files at most once a minute for each source. Nothing else of the configuration is taken over: an edit
    that nobody has asked to follow stays an edit.
    """
    looked: dict[Key, float] = {}
    while True:
        await engine.clock.sleep(_LOOK_SECONDS)
        now = engine.clock.monotonic()
        denied = {(stream.tenant, stream.source) for stream, feed in engine.reading.feeds.items() if feed.denied}
        looked = {key: at for key, at in looked.items() if now - at < _AGAIN_SECONDS}
        due = denied - looked.keys()
        if due:
            looked |= dict.fromkeys(due, now)
            async with engine.reloading:
                await _take(engine, due)


async def _take(engine: Engine, denied: set[Key]) -> None:
    if engine.stopping or not await asyncio.to_thread(have_changed, engine.config.files):
        return
    try:
        fresh = await asyncio.to_thread(load_config, engine.config.path)
    except ConfigError as exc:
        log.warning("a secret has changed, but the configuration can't be read", problems=exc.problems)
        return
    hide(*fresh.secret_values())
    before = accounts(engine.config, engine.plugins)
    engine.config = engine.config.with_secrets_of(fresh, denied)
    for key, account in accounts(engine.config, engine.plugins).items():
        if account.config != before[key].config:
            log.info("a secret has changed, logging in again", tenant=account.tenant, source=account.name)
            await engine.patience.until_done(partial(engine.reading.start, account))
