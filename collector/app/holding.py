"""Feeds that wait for a person: paused by an operator, or read by another account than before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from collector.app.parts import Account, accounts
from collector.errors import CollectorError
from collector.model import Lane, StreamId
from collector.pipeline.gate import Stop
from collector.plugins import Plugins
from collector.store import Store

if TYPE_CHECKING:
    from collector.app.engine import Engine
    from collector.config import Config

log = structlog.get_logger()

PAUSED = Stop("paused", "paused by operator")


class Holding:
    """Knows who waits, tells the gate. To be loaded before anything is polled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._paused: set[str] = set()
        self._known: dict[StreamId, str] = {}
        self._held: set[StreamId] = set()

    async def load(self) -> None:
        """Read what the state remembers."""
        store = self._engine.store
        self._paused, self._known = await store.tenants.paused(), await store.tenants.accounts()

    async def look(self, account: Account) -> None:
        """Note whose account a source reads; another one than before is held.

        A feed that was never read has no position that could be mistaken for the other account's.
        """
        for stream in account.streams:
            if await _is_another(self._engine.store, stream, self._known.get(stream, ""), account.identity):
                if stream not in self._held:
                    log.error("another account than before, the feed is held", feed=str(stream))
                self._held.add(stream)
            else:
                self._held.discard(stream)
                if account.identity and self._known.get(stream) != account.identity:
                    await self._engine.store.tenants.set_account(stream, account.identity)
                    self._known[stream] = account.identity
        self._tell()

    async def refresh(self) -> None:
        """Streams or tenants got other names, or decisions were made: begin with what the state says."""
        await self.load()
        self._held &= {*self._streams()}
        self._tell()

    async def pause(self, tenant: str) -> None:
        """Poll a tenant no more, over restarts, until `resume`."""
        await self._engine.store.tenants.pause(tenant)
        await self.refresh()

    async def resume(self, tenant: str) -> None:
        """Poll it again."""
        await self._engine.store.tenants.resume(tenant)
        await self.refresh()

    def is_paused(self, tenant: str) -> bool:
        """Whether an operator paused it."""
        return tenant in self._paused

    def held(self, account: Account) -> list[StreamId]:
        """The account's feeds that were read from another account before."""
        return [stream for stream in account.streams if stream in self._held]

    def warnings(self) -> list[str]:
        """What a person has to decide."""
        return [f"{stream}: {_reason(stream)}" for stream in sorted(self._held, key=str)]

    def _streams(self) -> list[StreamId]:
        configured = accounts(self._engine.config, self._engine.plugins).values()
        return [stream for account in configured for stream in account.streams]

    def _tell(self) -> None:
        stops = {stream: Stop("held", _reason(stream)) for stream in self._held}
        known = {*self._streams(), *self._engine.reading.feeds}
        stops |= {stream: PAUSED for stream in known if stream.tenant in self._paused}
        self._engine.gate.stop(stops)


async def _is_another(store: Store, stream: StreamId, known: str, identity: str) -> bool:
    if not known or not identity or known == identity:
        return False
    return await store.checkpoint(stream, Lane.TIP) is not None


def _reason(stream: StreamId) -> str:
    return (
        f"another account: positions are those of the one before. `collector tenant accept {stream.tenant}/"
        f"{stream.source}` goes on from them, with --anew it begins at start_from"
    )


async def accept(store: Store, config: Config, plugins: Plugins, tenant: str, source: str | None, *, anew: bool) -> int:
    """Let streams of that tenant, or of one source of it, belong to the account configured now; how many changed.

    `anew`: their positions are forgotten, too, so that they are read from `start_from` on. The ids stay known.

    Raises:
        CollectorError: no such tenant or source.
    """
    chosen = [one for one in accounts(config, plugins).values() if one.tenant == tenant and source in {None, one.name}]
    if not chosen:
        raise CollectorError(f"no {'tenant' if source is None else 'source'} {_name(tenant, source)} in {config.path}")
    known, changed = await store.tenants.accounts(), 0
    for account in chosen:
        for stream in account.streams:
            if known.get(stream, "") not in {"", account.identity} and account.identity:
                if anew:
                    await store.tenants.forget_positions(stream)
                await store.tenants.set_account(stream, account.identity)
                changed += 1
    return changed


def _name(tenant: str, source: str | None) -> str:
    return tenant if source is None else f"{tenant}/{source}"
