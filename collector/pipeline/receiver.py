"""A configured sink, and how it is talked to: never without a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from pydantic import BaseModel

from collector.clock import Clock
from collector.errors import SinkUnavailable
from collector.pipeline.batching import Stage
from collector.sinks.base import Sink, SinkContext, SinkPlugin

# A sink has deadlines of its own; this one is for those that forgot one. Longer than any receiver's own.
SINK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A configured sink; `memory` is what its openings leave to one another.

    `destination` is what every batch says of where it goes: the rendered template, "" where the sink has none. `held`
    are the destinations that are held, of all that are made of one sink.
    """

    name: str
    plugin: SinkPlugin
    config: BaseModel
    stage: Stage
    required: bool
    destination: str = ""
    memory: MutableMapping[str, int] = field(default_factory=dict, compare=False)
    held: set[str] = field(default_factory=set, compare=False)

    @asynccontextmanager
    async def opened(self, clock: Clock, state: bytes | None) -> AsyncIterator[Sink]:
        """The sink, running on from `state`.

        Raises:
            SinkError: it can't be opened, or took too long to.
        """
        async with AsyncExitStack() as stack:
            async with deadline():
                context = SinkContext(self.name, clock, self.stage.encode, self.memory)
                opening = self.plugin.open(self.config, context, state)
                sink = await stack.enter_async_context(opening)
            yield sink


@asynccontextmanager
async def deadline() -> AsyncIterator[None]:
    """Nothing that is asked of a sink takes longer than this.

    Raises:
        SinkUnavailable: it did.
    """
    try:
        async with asyncio.timeout(SINK_SECONDS):
            yield
    except TimeoutError as exc:
        raise SinkUnavailable(f"the sink did not answer within {SINK_SECONDS:.0f} s") from exc
