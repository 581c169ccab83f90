"""What the service manager is told of a running engine: how it is, and that it turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collector.app.engine import Engine

log = structlog.get_logger()

_STATUS_SECONDS = 30.0
_BEATS = 2  # within the time after which the manager loses patience


async def attend(engine: Engine) -> None:
    """Say every now and then how the engine is; the watchdog hears from us only while every loop turns."""
    notifier = engine.notifier
    watched = notifier.watchdog_seconds
    before: list[str] = []
    while True:
        stuck = engine.loops.stuck()
        if stuck != before and stuck:
            log.error("not every loop turns, the watchdog hears no more from us", loops=stuck)
        before = stuck
        if stuck:
            notifier.status("stuck: " + ", ".join(stuck))
        elif watched is None:
            notifier.status(summary(engine))
        else:
            notifier.alive(summary(engine))
        await engine.clock.sleep(_STATUS_SECONDS if watched is None else min(_STATUS_SECONDS, watched / _BEATS))


def summary(engine: Engine) -> str:
    """One line for `systemctl status`: what is well in numbers, what is not by name."""
    feeds = list(engine.reading.feeds.values())
    sinks = engine.delivering.statuses()
    parts = [f"{len(feeds)} feeds{_counted(feed.state for feed in feeds)}"]
    parts.append(f"{len(sinks)} sinks{_counted(sink.state for sink in sinks)}")
    if waiting := sum(sink.backlog_events for sink in sinks):
        parts.append(f"{waiting} events wait")
    if engine.gate.everything is not None:
        parts.append(f"polling paused: {engine.gate.everything}")
    return "; ".join(parts)


def _counted(states: Iterable[str]) -> str:
    """Those that are not well, as ` (1 denied, 2 starting)`."""
    counts = Counter(state for state in states if state != "ok")
    return " (" + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) + ")" if counts else ""
