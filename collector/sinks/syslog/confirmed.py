"""Batches over TCP and TLS that count when the receiver has provably read them: the confirmed close.

For each batch: connect, write it, close our half (TLS: close_notify first), wait for the receiver's own orderly close.
A receiver that reads to the end of the stream and then closes has read the batch; one that goes away earlier leaves a
reset, bytes that nobody acknowledged, or a TLS stream without its close_notify, and the batch is sent again.

Known limits: what the receiver loses after reading is lost (give it a queue on disk); a TCP-terminating balancer makes
the confirmation the balancer's own; a batch cut short may leave up to `limits.max_events` doubles.
"""

from __future__ import annotations

from collector.errors import SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext
from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.connection import Unanswered
from collector.sinks.syslog.dialing import Dialer
from collector.sinks.syslog.framing import line_feeds, octet_counted
from collector.sinks.syslog.messages import Messages
from collector.sinks.syslog.trials import NO_ANSWER, Trials

# How long a receiver that is new to us gets to turn us down before it is sent anything. Over TLS its session ticket
# mostly ends the wait; a receiver that confirmed the batch before is not waited for.
PLAIN_OBJECTION_SECONDS = 0.05
TLS_OBJECTION_SECONDS = 0.5


class ConfirmedSink:
    """One receiver, a connection per batch."""

    limits = BatchLimits()
    max_in_flight = 1

    def __init__(self, config: SyslogConfig, context: SinkContext, dialer: Dialer) -> None:
        self._dialer = dialer
        self._messages = Messages(config, context.encode)
        self._frame = line_feeds if config.framing == "lf" else octet_counted
        self._confirm_seconds = config.confirm_timeout.total_seconds()
        self._objection_seconds = TLS_OBJECTION_SECONDS if config.target.transport == "tls" else PLAIN_OBJECTION_SECONDS
        self._trials = Trials(context.memory)
        self._known = False

    def partition(self, event: Event) -> str:  # noqa: ARG002 -- the protocol's
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:  # noqa: ARG002 -- the protocol's
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        written = self._messages.of(batch)
        if written.messages:
            await self._confirm(self._frame(written.messages))
        return Receipt(rejected=written.rejected)

    async def probe(self) -> None:
        try:
            await self._attempt(b"")
        except Unanswered as exc:
            raise SinkUnavailable(NO_ANSWER) from exc

    async def close(self) -> None:
        """Nothing is open between batches."""

    async def _confirm(self, content: bytes) -> None:
        await self._attempt(content)
        self._known = True
        self._trials.good()

    async def _attempt(self, content: bytes) -> None:
        """One connection for this content, confirmed when it returns."""
        async with self._dialer.connection() as connection:
            try:
                if not self._known:
                    await connection.wait_for_objection(self._objection_seconds)
                await connection.send(content)
                await connection.half_close()
                await connection.closed_by_peer(self._confirm_seconds)
            except SinkUnavailable as exc:
                if connection.sent:
                    raise self._trials.failed(exc) from exc
                raise
