"""The keys every source has, whoever the vendor is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from collector.settings import Location, Name, Proxy, Settings, Words
from collector.units import Duration, PositiveDuration, format_duration


class SweepConfig(Settings):
    """The lane that finds late and back-dated records; it guarantees what shows up within window - every."""

    every: PositiveDuration
    """How often the sweep begins."""

    window: PositiveDuration
    """How far back each sweep reads; longer than `every`."""

    @model_validator(mode="after")
    def _sweeps_overlap(self) -> Self:
        if self.every >= self.window:
            raise ValueError(
                f"every ({format_duration(self.every)}) must be shorter than window ({format_duration(self.window)})"
            )
        return self


class RateLimitConfig(Settings):
    """The requests the vendor allows; sources that share a vendor host and an egress share the smallest of theirs."""

    requests: int = Field(ge=1, le=1_000_000)
    """So many requests at most ..."""

    per: PositiveDuration
    """... in any span of this length."""


class TlsConfig(Settings):
    """Whom to trust when connecting to the vendor."""

    ca_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of the authorities to trust instead of the system's."""

    verify: bool = True
    """false: take any certificate. Whoever sits in between then reads the credentials."""


class SourceConfig(Settings):
    """One account at one vendor. A vendor's model subclasses this, fixes `type` and gives the vendor's defaults."""

    type: str
    """Which vendor."""

    name: Name = ""
    """Distinguishes two sources of one type in a tenant; default: the type."""

    renamed_from: Name | None = None
    """The name under which the state knows this source, after a change of `name`."""

    feeds: Words = ()
    """What to read; default: all feeds of the vendor."""

    poll_interval: PositiveDuration = timedelta(seconds=60)
    """How often to ask for news."""

    overlap: Duration = timedelta(seconds=30)
    """How far before the last position every poll begins again; known events are dropped."""

    sweep: SweepConfig
    """The lane that finds late and back-dated records."""

    start_from: Duration = timedelta(hours=24)
    """How far back the very first poll begins."""

    rate_limit: RateLimitConfig
    """The vendor's limit of requests."""

    tls: TlsConfig = TlsConfig()
    """How the vendor's certificate is checked."""

    proxy: Proxy | None = Field(default=None, repr=False)
    """HTTP proxy, `http://[user:password@]host:port`; null: none (the environment is not asked)."""

    @model_validator(mode="before")
    @classmethod
    def _name_is_the_type(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("name") is not None:
            return data
        kind = data.get("type", cls.model_fields["type"].default)
        return {**data, "name": kind} if isinstance(kind, str) else data

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Unverified certificates, which are legal but an open door."""
        if not self.tls.verify:
            yield ("tls", "verify"), "certificates are not verified: whoever sits in between reads the credentials"
