"""A source that answers what a test wrote down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from collector.errors import SourceError
from collector.model import Checkpoint, Lane, Page, Window
from collector.testing.clock import START
from collector.timestamps import format_utc

BEGUN = Checkpoint(START, None, {"beginning": format_utc(START - timedelta(days=1)), "started": format_utc(START)})
"""A tip that was first read at `START`, from a day before it on."""


@dataclass(frozen=True, slots=True)
class Call:
    """One `fetch`, as the source saw it."""

    feed: str
    lane: Lane
    after: Checkpoint | None
    window: Window | None


class ScriptedSource:
    """Answers per feed and lane: pages are returned, errors raised, in the order of `script`.

    When a script has ended, every answer is an empty page that leaves the checkpoint where it was; a tip's first one
    says when the feed began.
    """

    def __init__(self, feeds: Sequence[str] = ("security_events",)) -> None:
        self.feeds = feeds
        self.calls: list[Call] = []
        self.remarks: list[str] = []
        self._script: dict[tuple[str, Lane], list[Page | SourceError]] = defaultdict(list)

    def script(self, *answers: Page | SourceError, feed: str = "security_events", lane: Lane = Lane.TIP) -> None:
        """Add answers to what this lane will get."""
        self._script[feed, lane] += answers

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        self.calls.append(Call(feed, lane, after, window))
        answers = self._script[feed, lane]
        if not answers:
            return Page(records=(), checkpoint=after or BEGUN, more=False, fetched_at=START)
        answer = answers.pop(0)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    async def check(self) -> Sequence[str]:
        return self.remarks
