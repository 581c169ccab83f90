"""Fetch and print, write nothing: what a configuration would bring, without a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count

import structlog

from collector.app.parts import Account, accounts, tenants, vendors
from collector.app.turns import budget_of, scheduler_for
from collector.clock import Clock
from collector.config import Config
from collector.errors import SourceError
from collector.formats import FORMATS
from collector.http import HttpClients
from collector.model import Lane, StreamId
from collector.pipeline.events import Events
from collector.plugins import installed
from collector.sources.base import Source, SourceContext
from collector.store import LogPage

log = structlog.get_logger()


async def dry_run(config: Config, write: Callable[[bytes], None]) -> bool:
    """Read every feed from its `start_from` on and `write` each event as a line of JSON; true if no feed failed."""
    clock, plugins = Clock(), installed()
    events = Events(vendors(plugins), tenants(config))
    configured = list(accounts(config, plugins).values())
    scheduler = scheduler_for(configured, clock)
    good, numbers = True, count(1)
    async with HttpClients() as http:
        for account in configured:
            async with budget_of(account, scheduler) as budget:
                context = SourceContext(account.tenant, account.name, http, budget, clock)
                try:
                    async with account.plugin.open(account.config, context) as source:
                        for stream in account.streams:
                            good &= await _read(account, source, stream, events, numbers, write)
                except SourceError as exc:
                    log.error("a source could not be opened", source=f"{account.tenant}/{account.name}", error=str(exc))
                    good = False
    return good


async def _read(
    account: Account,
    source: Source,
    stream: StreamId,
    events: Events,
    numbers: Iterator[int],
    write: Callable[[bytes], None],
) -> bool:
    checkpoint = None
    encode = FORMATS["json"].encode  # needs to know neither vendors nor a sink
    try:
        while True:
            page = await source.fetch(stream.feed, Lane.TIP, checkpoint, None)
            kept = LogPage(next(numbers), stream, account.config.type, page.fetched_at, page.records, 0)
            for event in events.of_page(kept):
                write(encode(event))
            checkpoint = page.checkpoint
            if not page.more:
                return True
            if page.retry_after:
                await asyncio.sleep(page.retry_after)
    except SourceError as exc:
        log.error("a feed could not be read", tenant=stream.tenant, source=stream.source, error=str(exc))
        return False
