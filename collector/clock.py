"""Time: the one door through which the program reads clocks or waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime


class Clock:
    """This host's clock. `collector.testing.FakeClock` stands in for it in tests."""

    def now(self) -> datetime:
        """This host's idea of UTC: may be wrong and may jump; never decides a position at a vendor."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary origin."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellation ends the wait."""
        await asyncio.sleep(seconds)

    def watching(self, loop: str, *, ends: bool = False) -> AbstractContextManager[None]:  # noqa: ARG002 -- see `collector.liveness`
        """Inside the block this task is one of the program's loops, which must turn; for ever, save one that `ends`."""
        return nullcontext()

    def resting(self) -> AbstractContextManager[None]:
        """Inside the block this task waits for what may take any time: that it does not turn is no sign of illness."""
        return nullcontext()
