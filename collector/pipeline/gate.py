"""Whether feeds may be polled: the one place where a full log or a full disk stops them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from collector.model import StreamId


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a feed waits for a person; `held`: something is wrong, `paused`: somebody wants it so."""

    state: Literal["paused", "held"]
    reason: str


class Gate:
    """Pollers wait here before each fetch; the janitor opens and closes it.

    `everything` is the reason why no feed may be polled, `streams` why some may not; both empty: all may. `paced` feeds
    just wait for the next look: their sink follows, but not as fast as they fetch. `stops` are feeds that wait for a
    person, whatever the janitor says.
    """

    def __init__(self) -> None:
        self.stops: Mapping[StreamId, Stop] = {}
        self.everything: str | None = None
        self.streams: Mapping[StreamId, str] = {}
        self.paced: frozenset[StreamId] = frozenset()
        self._measuring = False
        self._changed = asyncio.Event()

    def hold(self) -> None:
        """Let nobody pass until `close` has said anew who may: so much was appended that the limits must be checked."""
        self._measuring = True

    def close(
        self, everything: str | None, streams: Mapping[StreamId, str], paced: frozenset[StreamId] = frozenset()
    ) -> None:
        """State anew what is paused, and why; whatever is not named may be polled."""
        if (everything, streams, paced) == (self.everything, self.streams, self.paced) and not self._measuring:
            return
        self._measuring = False
        self.everything, self.streams, self.paced = everything, dict(streams), paced
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self, stops: Mapping[StreamId, Stop]) -> None:
        """State anew which feeds wait for a person."""
        if stops != self.stops:
            self.stops = dict(stops)
            self._changed.set()
            self._changed = asyncio.Event()

    def reason(self, stream: StreamId) -> str | None:
        """Why this feed is paused, None if it is not."""
        stop = self.stops.get(stream)
        return stop.reason if stop is not None else self.everything or self.streams.get(stream)

    async def wait(self, stream: StreamId) -> None:
        """Return once this feed may be polled."""
        while self._measuring or stream in self.paced or self.reason(stream) is not None:
            await self._changed.wait()
