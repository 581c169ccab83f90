"""The keys of a WithSecure Elements source."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from collector.settings import Location, Origin, each_once, is_loopback
from collector.sources.config import RateLimitConfig, SourceConfig, SweepConfig
from collector.units import PositiveDuration

Feed = Literal["security_events", "incidents"]

DEFAULT_FEEDS: tuple[Feed, ...] = ("security_events", "incidents")


class WithSecureSweepConfig(SweepConfig):
    """The sweep with defaults for a vendor whose records show up minutes after their stamp."""

    every: PositiveDuration = timedelta(minutes=5)
    """How often the sweep begins."""

    window: PositiveDuration = timedelta(minutes=15)
    """How far back each sweep reads; longer than `every`."""


class WithSecureRateLimitConfig(RateLimitConfig):
    """The vendor allows 300 requests a minute and source IP on its EDR endpoints ("Elements API getting started")."""

    requests: int = Field(default=300, ge=1, le=1_000_000)
    """So many requests at most ..."""

    per: PositiveDuration = timedelta(seconds=60)
    """... in any span of this length."""


class WithSecureConfig(SourceConfig):
    """One API client of WithSecure Elements, made by an administrator of the organization in its console.

    A company's credentials see that company, a partner's all organizations below the partner.
    """

    type: Literal["withsecure"] = "withsecure"
    """Which vendor."""

    client_id: str = Field(min_length=1)
    """The API client's id, such as fusion_0123456789abcdef."""

    client_secret: SecretStr = Field(min_length=1)
    """The API client's secret, which the console shows once."""

    organization_id: str | None = Field(default=None, min_length=1)
    """Read this organization alone; null: all that the credentials see."""

    base_url: Origin = "https://api.connect.withsecure.com"
    """Origin of the API; paths are appended."""

    feeds: Annotated[tuple[Feed, ...], AfterValidator(each_once)] = DEFAULT_FEEDS
    """What to read; default: both."""

    sweep: WithSecureSweepConfig = WithSecureSweepConfig()
    """The lane that finds late and back-dated records."""

    rate_limit: WithSecureRateLimitConfig = WithSecureRateLimitConfig()
    """The vendor's limit of requests."""

    @property
    def account(self) -> tuple[str, ...]:
        """The API client, and the organization where it is narrowed to one."""
        return self.client_id, self.organization_id or ""

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Plain HTTP to somewhere else besides what every source has."""
        yield from super().remarks()
        if self.base_url.startswith("http:") and not is_loopback(self.base_url):
            yield ("base_url",), "http sends the credentials in clear text; use https"
