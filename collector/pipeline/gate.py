"""Whether feeds may be polled: the one place where a full log or a full disk stops them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from collector.model import StreamId


class Gate:
    """Pollers wait here before each fetch; the janitor opens and closes it.

    `everything` is the reason why no feed may be polled, `streams` why some may not; both empty: all may.
    """

    def __init__(self) -> None:
        self.everything: str | None = None
        self.streams: Mapping[StreamId, str] = {}
        self._measuring = False
        self._changed = asyncio.Event()

    def hold(self) -> None:
        """Let nobody pass until `close` has said anew who may: so much was appended that the limits must be checked."""
        self._measuring = True

    def close(self, everything: str | None, streams: Mapping[StreamId, str]) -> None:
        """State anew what is paused, and why; whatever is not named may be polled."""
        if everything == self.everything and streams == self.streams and not self._measuring:
            return
        self._measuring = False
        self.everything, self.streams = everything, dict(streams)
        self._changed.set()
        self._changed = asyncio.Event()

    def reason(self, stream: StreamId) -> str | None:
        """Why this feed is paused, None if it is not."""
        return self.everything or self.streams.get(stream)

    async def wait(self, stream: StreamId) -> None:
        """Return once this feed may be polled."""
        while self._measuring or self.reason(stream) is not None:
            await self._changed.wait()
