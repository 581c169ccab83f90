"""The events of a batch as pieces of a body, each small enough for the receiver or rejected."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from collector.formats.reducing import reduce_event
from collector.model import Event
from collector.sinks.base import Batch, SinkContext
from collector.sinks.splunk_hec.bodies import Piece
from collector.sinks.splunk_hec.config import HecConfig
from collector.sinks.splunk_hec.metadata import Wrapper

_LEARNED = "bytes the receiver takes"


@dataclass(frozen=True, slots=True)
class Cut:
    """The pieces of a batch, in its order, and the positions that can't go, with the reason."""

    pieces: list[Piece]
    rejected: dict[int, str]


class Pieces:
    """Makes pieces for one sink; what it learns of the receiver's limit outlives the sink."""

    def __init__(self, config: HecConfig, context: SinkContext) -> None:
        self._wrapper = Wrapper(config)
        self._encode: Callable[[Event], bytes] = context.encode
        self._memory: MutableMapping[str, int] = context.memory
        self._configured = config.max_body
        self._reduces = config.oversize == "reduce"
        self._record_only = config.format == "raw"

    @property
    def most(self) -> int:
        """How large a body of several events may be, in bytes before compression."""
        return min(self._configured, self._memory.get(_LEARNED, self._configured))

    def learn(self, refused: int) -> None:
        """A body of so many bytes was too large."""
        self._memory[_LEARNED] = min(self.most, refused // 2)

    def of(self, batch: Batch, index: str | None) -> Cut:
        """The pieces of a batch."""
        cut = Cut([], {})
        most = self._configured  # what was learned from larger bodies says nothing of one event
        for position, (event, payload) in enumerate(zip(batch.events, batch.payloads, strict=True)):
            content = self._wrapper.wrap(event, payload, index)
            if len(content) <= most:
                cut.pieces.append(Piece(position, content))
                continue
            smaller = self.smaller(event, index, most)
            if smaller is not None:
                cut.pieces.append(Piece(position, smaller))
            else:
                cut.rejected[position] = f"the event has {len(content)} bytes, over the {most} bytes of a body"
        return cut

    def smaller(self, event: Event, index: str | None, most: int) -> bytes | None:
        """The event reduced to so many bytes, None where it can't be or is not to be."""
        if not self._reduces:
            return None

        def wrapped(event: Event) -> bytes:
            return self._wrapper.wrap(event, self._encode(event), index)

        try:
            small = reduce_event(event, lambda event: len(wrapped(event)) <= most, record_only=self._record_only)
            return None if small is None else wrapped(small)
        except Exception:  # noqa: BLE001 -- around format: it must not stop the other events
            return None
