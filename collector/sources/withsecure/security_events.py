"""The feed `security_events`: one page of one lane per call.

`POST /security-events/v1/security-events`, form-encoded with repeated keys, since JSON bodies are documented but were
seen not to work. `engineGroup` always names all groups, for one of `engine` and `engineGroup` is required and filtering
by `engine` would lose engines that are not on the vendor's list. `order` defaults to newest first, so it is always
said. Start inclusive, end exclusive and always said, at most 30 days apart. The anchor is a position, not a query: all
parameters go with it again. Positions are persistence times; `exclusiveStart` would lose ties and is never used.
"""

from __future__ import annotations

from datetime import timedelta

from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.http import Answer
from collector.model import Checkpoint, Lane, Page, Window
from collector.sources.withsecure.client import WithSecureClient
from collector.sources.withsecure.config import WithSecureConfig
from collector.sources.withsecure.narrowing import Ask
from collector.sources.withsecure.ordered import OrderedFeed, rules_of, take_apart
from collector.sources.withsecure.slicing import Slices
from collector.timestamps import format_utc

PATH = "/security-events/v1/security-events"
ENGINE_GROUPS = ("epp", "edr", "ecp", "xm")
MAX_LIMIT = 200


class SecurityEvents:
    """Reads security events for one API client. Positions are in the checkpoints."""

    def __init__(self, config: WithSecureConfig, client: WithSecureClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._organization_id = config.organization_id
        self._feed = OrderedFeed(PATH, self._read, rules_of(config, MAX_LIMIT), client, clock, log)

    async def fetch(self, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """As `Source.fetch`."""
        return await self._feed.fetch(lane, after, window)

    async def look(self) -> int:
        """Read the newest event of the last day, for a check; returns how many there were (0 or 1)."""
        now = (await self._client.vendor_time(Lane.TIP)).now
        _, slices = await self._read(Ask(now - timedelta(days=1), now, limit=1, descending=True), Lane.TIP)
        return len(slices.records)

    async def _read(self, ask: Ask, lane: Lane) -> tuple[Answer, Slices]:
        answer = await self._client.post(PATH, self._form(ask), lane, anchored=ask.token is not None)
        return answer, await take_apart(PATH, answer)

    def _form(self, ask: Ask) -> list[tuple[str, str]]:
        form = [("engineGroup", group) for group in ENGINE_GROUPS]
        form += [
            ("order", "desc" if ask.descending else "asc"),
            ("limit", str(ask.limit)),
            ("persistenceTimestampStart", format_utc(ask.start)),
            ("persistenceTimestampEnd", format_utc(ask.end)),
        ]
        if ask.token is not None:
            form.append(("anchor", ask.token))
        if self._organization_id is not None:
            form.append(("organizationId", self._organization_id))
        return form
