"""Waiting that can be cut short."""

from __future__ import annotations

import asyncio

from collector.clock import Clock


async def pause(clock: Clock, seconds: float, woken: asyncio.Event) -> None:
    """Wait so many seconds, but no longer than until `woken` is set; the event stays as it is."""
    with clock.resting():  # also when there is no time for it: a loop that is always busy turns, too
        if woken.is_set():
            return
        async with asyncio.TaskGroup() as group:
            ends = {group.create_task(clock.sleep(seconds)), group.create_task(woken.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
