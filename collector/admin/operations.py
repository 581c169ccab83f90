"""What the daemon lets its operators see and do: the seam between the admin servers and the program behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

JsonObject = dict[str, Any]
"""Values are JSON values, aware datetimes (sent as RFC 3339) or paths (sent as text)."""


class Operations(Protocol):
    """Called on the daemon's loop, at any time and rate; nothing here may take long or hold up a poller or a sink.

    Arguments are positional. Each method may raise `CollectorError` with a message for the operator; what it names
    (a tenant, a sink, a dead letter) may not exist.
    """

    async def status(self) -> JsonObject:
        """The whole picture.

        - `version`, `pid`, `started_at`
        - `state`: `path`, `bytes`, `max_bytes`, `free_bytes`, `polling` ("running" or "paused: reason")
        - `feeds`, a list: `tenant`, `source`, `feed`,
          `state` ("starting", "ok", "backing_off", "denied", "paused", "held"), `last_success`, `last_event`,
          `watermark`, `lag_seconds`, `interval_seconds` (measured
          between the last two polls), `max_age_seconds` (the longest it may be), `errors` (in a row), `last_error`,
          `gaps`, `events`, `duplicates`, `unparsed`, `unknown_fields` (as below, the first of this feed)
        - `sinks`, a list: `sink`, `destination`, `state` ("ok", "backing_off", "held"), `backlog_events`,
          `backlog_bytes`, `oldest_unsent`, `last_error`, `last_success`, `delivered`, `dead_letters`
        - `warnings`, a list of sentences
        - `unknown_fields`: vendor fields and values no table knows, with how often they were seen

        What does not exist yet (a time, an error) is None.
        """
        ...

    async def health(self) -> JsonObject:
        """`live` (the loop turns), `ready` (configuration loaded, store works), `reasons` why not, a list."""
        ...

    async def reload(self) -> JsonObject:
        """Read the configuration again and take on what changed.

        `summary` (such as "+1 tenant, 0 restarted"), `changed`: one line for each change, `warnings`: sentences.

        Raises:
            ConfigError: the file is refused; nothing has changed.
        """
        ...

    async def pause_tenant(self, tenant: str, /) -> None:
        """Poll a tenant no more, over restarts; what is in the log is delivered."""
        ...

    async def resume_tenant(self, tenant: str, /) -> None:
        """Poll a paused tenant again, from where it was."""
        ...

    async def purge_tenant(self, tenant: str, /) -> int:
        """Take a tenant's events out of the state, delivered or not; returns how many. May take long."""
        ...

    async def accept_account(self, tenant: str, source: str | None, /, *, anew: bool) -> int:
        """Let feeds that are held because of another account go on; returns how many.

        `anew`: from `start_from` on, without the positions of the account before.
        """
        ...

    async def test_event(self, tenant: str, sink: str | None, seconds: float, /) -> list[JsonObject]:
        """Send a made-up event of that tenant to that sink, None: to all; takes up to so many seconds.

        One object a sink: `sink`, `outcome` ("delivered", "refused", "no answer", "not routed"), `seconds`, `reason`,
        `uid` (None where nothing was sent).
        """
        ...

    def tail(self, tenant: str | None, form: str, /) -> AsyncIterator[bytes]:
        """Events from now on as they enter the log, one line each without its end; None: of every tenant.

        Raises `CollectorError` at once, not on iteration. The iterator ends with the daemon; it is closed when the
        reader goes away. A reader that is too slow misses events rather than hold up anything.
        """
        ...

    async def dead_letters(self, sink: str | None, limit: int, /) -> list[JsonObject]:
        """The oldest dead letters of a sink, None: of every sink, less their records.

        `id`, `sink`, `destination`, `tenant`, `source`, `feed`, `uid`, `event_id`, `fetched_at`, `reason`, `at`,
        `attempts`.
        """
        ...

    async def dead_letter(self, number: int, /) -> JsonObject:
        """One of them with its `record`, the vendor's bytes as text."""
        ...

    async def retry_dead_letters(self, sink: str | None, numbers: Sequence[int] | None, /) -> int:
        """Have these sent again, None: all of the sink's (of every sink's); returns how many will be."""
        ...

    async def drop_dead_letters(self, sink: str | None, numbers: Sequence[int] | None, /) -> int:
        """Remove these for good, chosen likewise; returns how many were."""
        ...

    async def backup(self, target: str, /) -> JsonObject:
        """Write a consistent copy of the state to that absolute path, which must not exist: `path`."""
        ...

    async def checkpoints(self) -> list[JsonObject]:
        """Positions at the vendors.

        `tenant`, `source`, `feed`, `lane`, `job` (None but for the job lane), `watermark`, `run` (whether one is
        unfinished), `state`.
        """
        ...
