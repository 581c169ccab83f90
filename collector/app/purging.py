"""Taking a tenant's events out of the state, for whoever has to prove that they are gone.

Of a tenant's own feeds everything goes: pages, ids, dead letters, gaps. Where the tenant stays configured its feeds go
on behind what was purged, so that none of it is fetched again; else their positions go, too. Of a tenant that a
partner's organizations are mapped to, its records are taken out of the partner's pages and dead letters; the partner's
ids stay, hashes that name no tenant, or the next sweep would fetch what was purged. Numbers of events a day stay, too,
for the invoices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from collector.app.parts import tenants, vendors
from collector.clock import Clock
from collector.config import Config
from collector.errors import CollectorError
from collector.model import Checkpoint, Lane, Record, StreamId
from collector.pipeline.events import Events
from collector.plugins import Plugins
from collector.store import LogPage, Position, Store
from collector.timestamps import format_utc

_READ_BYTES = 1 << 18
_GIVE_WAY = 50
_LETTERS = 500
_WAL_TRIES, _WAL_SECONDS = 100, 0.1
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(slots=True)
class Purge:
    """One tenant's purge: `own` are its streams, `organizations` what is mapped to it, by the partner's streams."""

    store: Store
    events: Events
    config: Config
    tenant: str
    own: Sequence[StreamId]
    organizations: Mapping[StreamId, frozenset[str]]
    events_gone: int = 0

    @property
    def streams(self) -> list[StreamId]:
        """Every stream that may hold something of the tenant."""
        return [*self.own, *self.organizations]

    async def take_away(self) -> None:
        """Take everything out of the log that is in it now; may be called again for what came in between."""
        self.events_gone += (await self.store.backlog(Position(0), self.own)).events
        since: int | None = 0
        while self.own and since is not None:
            since = await self.store.tenants.purge_pages(self.own, since)
        while self.own and await self.store.tenants.purge_rest(self.own):
            pass
        await self._rewrite_pages()
        await self._drop_letters()

    async def settle(self) -> None:
        """Leave the tenant's own feeds behind what was purged, or forget them where nothing reads them any more."""
        if self.tenant not in self.config.tenants:
            await self.store.tenants.forget(self.tenant)
            return
        for stream in self.own:
            tip = await self.store.checkpoint(stream, Lane.TIP)
            await self.store.tenants.forget_positions(stream)
            if tip is not None and tip.watermark is not None:
                await self.store.set_checkpoint(stream, Lane.TIP, _behind(tip))

    async def clean(self) -> None:
        """Let no deleted byte stay in the file or beside it.

        Raises:
            CollectorError: readers did not let go of the WAL; nothing but this is left to be done.
        """
        while await self.store.vacuum(0):
            pass
        for _ in range(_WAL_TRIES):
            if await self.store.truncate_wal():
                return
            await asyncio.sleep(_WAL_SECONDS)
        raise CollectorError("purged, but readers hold on to the write-ahead log: run it again")

    async def _rewrite_pages(self) -> None:
        async for page in self._pages():
            purged = {offset for offset, record in enumerate(page.records) if await self._is_of_tenant(page, record)}
            if purged:
                await self.store.tenants.purge_records(page.seq, purged)
                self.events_gone += len(purged)

    async def _pages(self) -> AsyncIterator[LogPage]:
        position, end = Position(0), await self.store.last_seq()
        while self.organizations and position.seq <= end:
            chunk = await self.store.read(position, list(self.organizations), _READ_BYTES)
            for page in chunk.pages:
                yield page
            if chunk.end <= position:
                return
            position = chunk.end

    async def _is_of_tenant(self, page: LogPage, record: Record) -> bool:
        # Looked for first, since making an event of every record of a long log would take hours.
        if record.is_purged or not _mentions(record, self.organizations[page.stream]):
            return False
        await asyncio.sleep(0)
        event = self.events.of_record(page.stream, page.source_type, record, page.fetched_at)
        return event.tenant == self.tenant

    async def _drop_letters(self) -> None:
        """Dead letters of a partner that are this tenant's."""
        if not self.organizations:
            return
        doomed = [
            letter.id
            for letter in await self.store.dead_letters(limit=1_000_000)
            if letter.stream in self.organizations and self.events.of_dead_letter(letter).tenant == self.tenant
        ]
        for first in range(0, len(doomed), _LETTERS):
            await self.store.tenants.purge_letters(doomed[first : first + _LETTERS])


def planned(store: Store, events: Events, config: Config, tenant: str) -> Purge:
    """What there is to do.

    Raises:
        CollectorError: neither the state nor the configuration knows the tenant.
    """
    own = [stream for stream in store.streams() if stream.tenant == tenant]
    mapped = {
        name: found
        for name, known in config.tenants.items()
        if (found := frozenset(key for key, mapped_to in known.mapped.items() if mapped_to == tenant))
    }
    organizations = {
        stream: mapped[stream.tenant] for stream in store.streams() if stream.tenant in mapped and stream not in own
    }
    if not own and not mapped and tenant not in config.tenants:
        raise CollectorError(f"neither the state nor {config.path} knows a tenant {tenant}")
    return Purge(store, events, config, tenant, own, organizations)


async def purge_stopped(config: Config, plugins: Plugins, tenant: str) -> int:
    """Purge a state that no daemon uses, and write its file anew; returns how many events are gone.

    Raises:
        StateInUse: a daemon runs on it.
        CollectorError: nobody knows the tenant; it is configured and not paused.
    """
    async with Store.open(config.state.path, max_size=config.state.max_size, clock=Clock()) as store:
        purge = planned(store, Events(vendors(plugins), tenants(config)), config, tenant)
        refuse_unpaused(config, tenant, await store.tenants.paused())
        await purge.take_away()
        await purge.settle()
        await store.tenants.rebuild()
        await purge.clean()
        return purge.events_gone


def refuse_unpaused(config: Config, tenant: str, paused: Collection[str]) -> None:
    """A tenant that is polled would be filled again.

    Raises:
        CollectorError: it is configured and not paused.
    """
    if tenant in config.tenants and tenant not in paused:
        raise CollectorError(f"{tenant} is polled: first `collector tenant pause {tenant}`, or remove it and reload")


def _behind(tip: Checkpoint) -> Checkpoint:
    """Where a feed goes on without what was purged; whatever else the checkpoint held may name events."""
    begin = None if tip.watermark is None else tip.watermark + _MILLISECOND
    moment = "" if begin is None else format_utc(begin)
    return Checkpoint(begin, None, {"beginning": moment, "started": moment})


def _mentions(record: Record, organizations: Collection[str]) -> bool:
    text = (record.raw + (record.extra or b"")).lower()
    return any(organization.lower().encode() in text for organization in organizations)
