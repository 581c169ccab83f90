"""Batches over one long TCP or TLS connection, for receivers that do not answer a half-close (`confirm: false`).

A write that succeeds proves nothing. So a receipt is provisional: the batch counts once the connection has lasted for
30 s after it; when it breaks before, everything since comes again.

Known limits: doubles after a break or a restart of ours (up to what was sent in 30 s); loss within the 30 s that no
break of the connection tells of.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from collector.clock import Clock
from collector.errors import SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext
from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.confirmed import PLAIN_OBJECTION_SECONDS, TLS_OBJECTION_SECONDS
from collector.sinks.syslog.connection import Connection
from collector.sinks.syslog.dialing import Dialer
from collector.sinks.syslog.framing import line_feeds, octet_counted
from collector.sinks.syslog.messages import Messages
from collector.sinks.syslog.trials import Trials

PROBATION_SECONDS = 30.0
_GOODBYE_SECONDS = 1.0


class StreamSink:
    """One receiver, one connection for as long as it lasts."""

    limits = BatchLimits()
    max_in_flight = 1

    def __init__(self, config: SyslogConfig, context: SinkContext, dialer: Dialer) -> None:
        self._dialer = dialer
        self._messages = Messages(config, context.encode)
        self._frame = line_feeds if config.framing == "lf" else octet_counted
        self._objection_seconds = TLS_OBJECTION_SECONDS if config.target.transport == "tls" else PLAIN_OBJECTION_SECONDS
        self._trials = Trials(context.memory)
        self._clock: Clock = context.clock
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._first_sent_at: float | None = None

    def partition(self, event: Event) -> str:  # noqa: ARG002 -- the protocol's
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:  # noqa: ARG002 -- the protocol's
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        written = self._messages.of(batch)
        try:
            if self._connection is not None:
                self._connection.check()
                self._note_health()
            if written.messages:
                connection = await self._connected()
                await connection.send(self._frame(written.messages))
                self._first_sent_at = self._first_sent_at or self._clock.monotonic()
        except SinkUnavailable as exc:
            if self._connection is not None and self._connection.sent:
                raise self._trials.failed(exc) from exc
            raise
        return Receipt(rejected=written.rejected, certain_after=PROBATION_SECONDS)

    async def probe(self) -> None:
        """A connection that stays: all that can be asked of such a receiver without sending it something."""
        async with self._dialer.connection() as connection:
            await connection.wait_for_objection(self._objection_seconds)
            await connection.say_goodbye(_GOODBYE_SECONDS)

    async def close(self) -> None:
        """Close the connection in an orderly way."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.say_goodbye(_GOODBYE_SECONDS)
        finally:
            await self._stack.aclose()

    async def _connected(self) -> Connection:
        if self._connection is None:
            connection = await self._stack.enter_async_context(self._dialer.connection())
            await connection.wait_for_objection(self._objection_seconds)
            self._connection = connection
        return self._connection

    def _note_health(self) -> None:
        began = self._first_sent_at
        if began is not None and self._clock.monotonic() - began >= PROBATION_SECONDS:
            self._trials.good()
