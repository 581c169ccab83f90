"""Time: the one door through which the program reads clocks or waits."""

from __future__ import annotations

import asyncio
import time
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
