"""The exception tree: each class says what the caller should do, not which library failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.model import Checkpoint


class CollectorError(Exception):
    """Base of everything the collector raises on purpose."""


class ConfigError(CollectorError):
    """The configuration can't be used; `problems` lists everything wrong with it, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# -- sources ---------------------------------------------------------------------------------


class SourceError(CollectorError):
    """Reading from a vendor failed; the message is safe to log and to show."""


class SourceUnavailable(SourceError):
    """Try the same request again later: network trouble, 5xx, 429, timeouts, a torn answer.

    `retry_after` is the vendor's own wish in seconds (already capped), None without one.
    `throttled` is true when the vendor said so (429).
    """

    def __init__(self, message: str, retry_after: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.throttled = throttled


class SourceDenied(SourceError):
    """Refused, `NotLicensed` or else the credentials themselves: retry slowly, a person must act."""


class NotLicensed(SourceDenied):
    """The credentials are good, but this feed is not theirs, or not offered: what else they may read goes on."""


class CheckpointExpired(SourceError):
    """The vendor refused a stored page or delta token, or it led nowhere: go on from `resume`.

    `resume` is the checkpoint to ask from next, None: drop the run, keep the watermark. `got_on`: whether the lane has
    come further since the last time; one that has not must be asked slowly.
    """

    def __init__(self, message: str, resume: Checkpoint | None = None, *, got_on: bool = False) -> None:
        super().__init__(message)
        self.resume = resume
        self.got_on = got_on


class SourceProtocolError(SourceError):
    """The vendor answered something we can't read however often; `SourceUnavailable`'s lasting kin."""


# -- sinks -----------------------------------------------------------------------------------


class SinkError(CollectorError):
    """Delivering failed for the batch as a whole: no event of it may be thrown away."""


class SinkUnavailable(SinkError):
    """Close the sink, wait, open it again from its stored state, send the same events again."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SinkDenied(SinkError):
    """The receiver refuses us as such (token, index, certificate): the sink is held, a person must act."""


# -- store -----------------------------------------------------------------------------------


class PageRefused(CollectorError):
    """This page can't be stored although the store works: only its own poller is concerned."""


class StoreFull(CollectorError):
    """No room on the volume: stop polling, keep what is there, try again when there is room."""


class StoreError(CollectorError):
    """The state can't be trusted or reached (corruption, I/O error, newer version): end the process."""


class StateInUse(StoreError):
    """Another process holds the state: ask that one, or stop it first."""
