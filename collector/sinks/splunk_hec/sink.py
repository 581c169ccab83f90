"""Batches over Splunk's HTTP Event Collector.

Delivered means: the receiver answered 200 with code 0, 24 or 25; with `acknowledge: true`, the indexers acknowledged
the batch, too. One that is not acknowledged within `ack_timeout` is sent again.

Known limits: without acknowledgement, what Splunk loses between receiving and indexing is lost. With it, what an
indexer indexed but did not live to acknowledge is double. With and without it, what was received when the answer got
lost is double; all this for at most `max_in_flight` batches. An event that the receiver refuses leaves those before it
in the same body without an acknowledgement of their own: they count with the next body of their batch. Every event
carries its `uid`, in the field of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import structlog
from pydantic import BaseModel

from collector.errors import SinkDenied, SinkUnavailable
from collector.http import Egress, HttpClients
from collector.model import Event
from collector.routing import Template
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext, SinkPlugin
from collector.sinks.splunk_hec.config import HecConfig
from collector.sinks.splunk_hec.errand import Errand
from collector.sinks.splunk_hec.node import Node
from collector.sinks.splunk_hec.pieces import Pieces
from collector.sinks.splunk_hec.pool import Pool

log = structlog.get_logger()

# 2,000 events/s with acknowledgements that take 5 s, and are asked for a moment later, are 12,000 on their way.
IN_FLIGHT_ACKNOWLEDGED = 32
IN_FLIGHT = 4
# Bytes of payloads that fill about two bodies, or one: each object has some 400 bytes of metadata besides.
_TWO_BODIES, _ONE_BODY = 1.7, 0.75
_MOST_BYTES = 3 << 19
_CONNECT_SECONDS = 10.0
_MOST_ANSWER = 1 << 20
_NO_ACKS = "acknowledgement is off at the receiver"


class HecSink:
    """One event collector.

    The trouble of one batch does not cost the others their acknowledgements: it is put off while they wait for theirs,
    and raised when nothing else goes on.
    """

    def __init__(self, config: HecConfig, context: SinkContext, clients: HttpClients) -> None:
        bodies = _TWO_BODIES if config.acknowledge else _ONE_BODY
        self.limits = BatchLimits(max_bytes=min(_MOST_BYTES, int(config.max_body * bodies)))
        self.max_in_flight = IN_FLIGHT_ACKNOWLEDGED if config.acknowledge else IN_FLIGHT
        self._config = config
        self._context = context
        self._clients = clients
        tls = config.tls
        self._egress = Egress(tls.ca_file, tls.verify, config.proxy, tls.cert_file, tls.key_file)
        self._pieces = Pieces(config, context)
        self._urls = [Template(url) for url in config.url]
        self._token = Template(config.token.get_secret_value())
        self._index = Template(config.index) if config.index else None
        self._pools: dict[tuple[str, ...], Pool] = {}
        self._sending = 0
        self._confirming = 0
        self._troubles = 0
        self._log = log.bind(sink=context.name)

    def partition(self, event: Event) -> str:  # noqa: ARG002 -- the protocol's
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:  # noqa: ARG002 -- the protocol's
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        if not len(batch):
            return Receipt()
        first = batch.events[0]  # the keys that are templates give the same for all of a batch
        errand = Errand(batch, self._index_of(first), self._pool_of(first), self._pieces)
        await self._run(errand)
        try:
            await self._confirm(errand)
        finally:
            errand.forget()
        return self._receipt(errand)

    async def probe(self) -> None:
        """A body without events: a good token is told that there is no data."""
        if not all(template.is_constant for template in (*self._urls, self._token)):
            return  # whom to ask is known when there is an event
        memory = self._context.memory
        pool = self._pool([url.text for url in self._urls], self._token.text)
        if not await pool.probe(acknowledge=self._config.acknowledge and _NO_ACKS not in memory):
            memory[_NO_ACKS] = 1
            raise SinkDenied("the token has no indexer acknowledgement: enable it there, or set acknowledge: false")

    async def _run(self, errand: Errand) -> None:
        self._sending += 1
        try:
            await errand.run()
        finally:
            self._sending -= 1
        if errand.unnumbered and self._config.acknowledge and _NO_ACKS not in self._context.memory:
            self._context.memory[_NO_ACKS] = 1
            self._log.error("the receiver acknowledges nothing: what it receives counts as delivered")
        if errand.promises:
            self._context.memory.pop(_NO_ACKS, None)

    async def _confirm(self, errand: Errand) -> None:
        if not errand.promises:
            return
        self._confirming += 1
        try:
            broken = list(await errand.confirm(self._config.ack_timeout.total_seconds()))
        finally:
            self._confirming -= 1
        if broken and errand.trouble is None:
            seconds = self._config.ack_timeout.total_seconds()
            why = broken[0].channel.trouble or "the receiver did not say true"
            errand.trouble = SinkUnavailable(f"not acknowledged within {seconds:g} s: {why}")

    def _receipt(self, errand: Errand) -> Receipt:
        trouble = errand.trouble
        if len(errand.left) < len(errand.batch):
            self._troubles = 0
        elif trouble is not None:
            self._troubles += 1
            if self._troubles == 1:
                self._log.warning("a batch was put off", reason=str(trouble))
            if self._is_hopeless(errand):
                raise trouble
        wish = trouble.retry_after if isinstance(trouble, SinkUnavailable) else None
        return Receipt(rejected=errand.rejected, deferred=frozenset(errand.left), retry_after=wish)

    def _is_hopeless(self, errand: Errand) -> bool:
        """Whether to fail as a whole, rather than to have a batch without any success sent again beside the others."""
        alone = not self._sending + self._confirming
        if self._confirming and not errand.promises:
            return False  # what others wait for may make room
        return alone or self._troubles >= self.max_in_flight

    def _index_of(self, event: Event) -> str | None:
        if self._index is None:
            return None
        index = self._index.render(event)
        if not index:
            raise SinkDenied(f"index: the template {self._index.text} gives nothing for events of {event.tenant}")
        return index

    def _pool_of(self, event: Event) -> Pool:
        return self._pool([url.render(event) for url in self._urls], self._token.render(event))

    def _pool(self, urls: list[str], token: str) -> Pool:
        key = (*urls, token)
        if key not in self._pools:
            self._pools[key] = Pool([self._node(url.rstrip("/"), token) for url in dict.fromkeys(urls)])
        return self._pools[key]

    def _node(self, url: str, token: str) -> Node:
        return Node(
            url, token, clients=self._clients, egress=self._egress, clock=self._context.clock, config=self._config
        )


@asynccontextmanager
async def _opened(config: HecConfig, context: SinkContext) -> AsyncIterator[HecSink]:
    seconds = config.timeout.total_seconds()
    connect = min(seconds, _CONNECT_SECONDS)
    timeout = aiohttp.ClientTimeout(total=seconds, connect=connect, sock_connect=connect, sock_read=seconds)
    async with HttpClients(timeout, max_bytes=_MOST_ANSWER) as clients:
        yield HecSink(config, context, clients)


def open_hec_sink(
    config: BaseModel,
    context: SinkContext,
    state: bytes | None,  # noqa: ARG001 -- what is not acknowledged when we stop is sent again
) -> AbstractAsyncContextManager[HecSink]:
    """Open the sink. It connects when it delivers."""
    if not isinstance(config, HecConfig):
        raise TypeError(f"expected HecConfig, got {type(config).__name__}")
    return _opened(config, context)


PLUGIN = SinkPlugin(config=HecConfig, open=open_hec_sink, destination_key="destination")
