"""A receiver in memory whose destination is a template; by the name of the sink, and of the destination."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import BaseModel, SecretStr

from collector.errors import SinkError
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext, SinkPlugin
from collector.sinks.config import SinkConfig


class Indices:
    """What arrived where; `down` are destinations that fail, and how."""

    def __init__(self) -> None:
        self.lines: dict[str, list[bytes]] = {}
        self.down: dict[str, SinkError] = {}
        self.refuses: dict[str, str] = {}
        self.open = 0


ALL: dict[str, Indices] = {}


class RoutedConfig(SinkConfig):
    type: Literal["routed"] = "routed"
    index: str = "edr"
    token: SecretStr = SecretStr("none")

    @property
    def destination(self) -> str:
        return f"{self.index} {self.token.get_secret_value()}" if "{" in self.token.get_secret_value() else self.index


class RoutedSink:
    limits = BatchLimits(max_events=10)
    max_in_flight = 2

    def __init__(self, indices: Indices) -> None:
        self._indices = indices

    def partition(self, event: Event) -> str:
        return ""

    async def prepare(self, batch: Batch) -> bytes | None:
        return None

    async def deliver(self, batch: Batch) -> Receipt:
        if batch.destination in self._indices.down:
            raise self._indices.down[batch.destination]
        if batch.destination in self._indices.refuses:
            return Receipt(rejected=dict.fromkeys(range(len(batch)), self._indices.refuses[batch.destination]))
        self._indices.lines.setdefault(batch.destination, []).extend(batch.payloads)
        return Receipt()

    async def probe(self) -> None:
        pass


@asynccontextmanager
async def _open(config: BaseModel, context: SinkContext, state: bytes | None) -> AsyncIterator[RoutedSink]:
    assert state is None
    indices = ALL.setdefault(context.name, Indices())
    indices.open += 1
    try:
        yield RoutedSink(indices)
    finally:
        indices.open -= 1


PLUGIN = SinkPlugin(RoutedConfig, _open, destination_key="destination")
