"""The verbs for what operators decide about tenants: pause, accept an account, purge. Each is one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence

from collector.clock import Clock
from collector.model import StreamId
from collector.store import purging, tenant_rows
from collector.store.worker import Reader, Writer


class Tenants:
    """Part of `Store`, whose threads and errors it has; `numbers` are the streams that the store knows."""

    def __init__(
        self,
        writer: Writer,
        operators: Reader,
        clock: Clock,
        numbers: Mapping[StreamId, int],
        forget: Callable[[StreamId], None],
    ) -> None:
        self._writer = writer
        self._operators = operators
        self._clock = clock
        self._numbers = numbers
        self._forget = forget

    async def paused(self) -> set[str]:
        """The tenants that operators do not want polled."""
        return await self._operators.read(tenant_rows.paused)

    async def pause(self, tenant: str) -> None:
        """Have a tenant not polled, over restarts, until `resume`."""
        at = self._clock.now()
        await self._writer.write(lambda connection: tenant_rows.pause(connection, tenant, at))

    async def resume(self, tenant: str) -> None:
        """Have a tenant polled again."""
        await self._writer.write(lambda connection: tenant_rows.resume(connection, tenant))

    async def accounts(self) -> dict[StreamId, str]:
        """The account that each stream was read from, as `set_account` was told."""
        return await self._operators.read(tenant_rows.accounts)

    async def set_account(self, stream: StreamId, identity: str) -> None:
        """Remember to which account the stream's positions belong."""
        number = self._numbers[stream]
        await self._writer.write(lambda connection: tenant_rows.set_account(connection, number, identity))

    async def forget_positions(self, stream: StreamId) -> None:
        """Forget where every lane of the stream is: it begins anew, with the ids that it knows."""
        number = self._numbers[stream]
        await self._writer.write(lambda connection: purging.forget_positions(connection, number), "position")

    async def purge_pages(self, streams: Sequence[StreamId], since: int = 0) -> int | None:
        """Take away some pages of these streams from that number on; returns where to go on, None at the end.

        See `purging` for what is to be done afterwards.
        """
        numbers = [self._numbers[stream] for stream in streams]
        return await self._writer.write(lambda connection: purging.pages(connection, numbers, since))

    async def purge_rest(self, streams: Sequence[StreamId]) -> int:
        """Take away some ids, dead letters and gaps of these streams; returns how many, 0 when nothing is left."""
        numbers = [self._numbers[stream] for stream in streams]
        return await self._writer.write(lambda connection: purging.rest(connection, numbers))

    async def purge_records(self, seq: int, offsets: Collection[int]) -> None:
        """Empty these records of a page: what is left of them is their place."""
        await self._writer.write(lambda connection: purging.rewrite(connection, seq, offsets))

    async def purge_letters(self, numbers: Sequence[int]) -> None:
        """Take away these dead letters."""
        await self._writer.write(lambda connection: purging.letters(connection, numbers))

    async def forget(self, tenant: str) -> None:
        """Forget a tenant's streams, positions, jobs and pause, after a purge has left nothing else of them."""
        streams = {stream: number for stream, number in self._numbers.items() if stream.tenant == tenant}

        def work(connection: sqlite3.Connection) -> None:
            purging.forget_streams(connection, list(streams.values()))
            purging.forget_jobs(connection, tenant)
            tenant_rows.resume(connection, tenant)

        await self._writer.write(work)
        for stream in streams:
            self._forget(stream)

    async def rebuild(self) -> None:
        """Write the whole file anew, without a byte of what was deleted: for a state that no daemon uses."""
        await self._writer.call(purging.rebuild)
