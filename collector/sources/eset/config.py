"""The keys of an ESET Connect source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from collector.settings import Location, Origin, each_once, is_loopback
from collector.sources.config import Organizations, RateLimitConfig, SourceConfig, SweepConfig
from collector.units import Duration, PositiveDuration

Feed = Literal["detections", "incidents"]
Region = Literal["eu", "us", "de", "ca", "jpn"]

DEFAULT_FEEDS: tuple[Feed, ...] = ("detections", "incidents")
_URLS = ("auth_url", "incident_url", "device_url")
_VENDORS_LIMIT = 10  # requests a second, counted by account and source IP (help page `rate_limits`)


class EsetSweepConfig(SweepConfig):
    """The sweep with defaults for a vendor whose records carry the device's time alone, and show up days after it."""

    every: PositiveDuration = timedelta(hours=6)
    """How often the sweep begins."""

    window: PositiveDuration = timedelta(days=14)
    """How far back each sweep reads; longer than `every`."""


class EsetRateLimitConfig(RateLimitConfig):
    """The vendor allows 10 requests a second of an account and source IP; half of them leaves room for other tools."""

    requests: int = Field(default=5, ge=1, le=1_000_000)
    """So many requests at most ..."""

    per: PositiveDuration = timedelta(seconds=1)
    """... in any span of this length."""


def _or_true(schema: dict[str, Any]) -> None:
    schema.get("anyOf", []).append({"type": "boolean"})


class EsetConfig(SourceConfig):
    """One API user of ESET Connect: a dedicated user of ESET Business Account, MSP Administrator 2 or PROTECT Hub.

    The user needs the right "Integrations", and sees what its other rights let it see.
    """

    type: Literal["eset"] = "eset"
    """Which vendor."""

    region: Region | None = None
    """Where the ESET PROTECT server of this customer stands; needed unless auth_url and incident_url are given."""

    username: str = Field(min_length=1)
    """The API user's e-mail address."""

    password: SecretStr = Field(min_length=1)
    """The API user's password."""

    auth_url: Origin | None = None
    """Origin of the logins; null: the region's, such as https://eu.business-account.iam.eset.systems."""

    incident_url: Origin | None = None
    """Origin of detections and incidents; null: the region's, such as https://eu.incident-management.eset.systems."""

    device_url: Origin | None = None
    """Origin of the devices' names; null: the region's, such as https://eu.device-management.eset.systems."""

    feeds: Annotated[tuple[Feed, ...], AfterValidator(each_once)] = DEFAULT_FEEDS
    """What to read; default: all feeds."""

    overlap: Duration = timedelta(minutes=10)
    """How far before the last position every poll begins again; known events are dropped."""

    sweep: EsetSweepConfig = EsetSweepConfig()
    """The lane that finds late and back-dated records."""

    reread_open: PositiveDuration | None = None
    """How often open incidents are read again, for what joins them without moving their time; null: every 15 polls."""

    by_owner: Organizations | Literal[True] | None = Field(default=None, json_schema_extra=_or_true)
    """Owner of a device, a uuid, to the tenant name to put on the events of its devices: for one API user of an MSP.

    `true` asks for the owners, too, and leaves the map to the tenant's `organizations`; `false` is null.
    """

    rate_limit: EsetRateLimitConfig = EsetRateLimitConfig()
    """The vendor's limit of requests, which sources of the same account share."""

    @field_validator("username", "password")
    @classmethod
    def _is_one_line(cls, value: str | SecretStr) -> str | SecretStr:
        """A line break comes from a file that holds more than the credential."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if "\n" in text or "\r" in text:
            raise ValueError("must be one line: there is a line break in it")
        return value

    @field_validator("by_owner", mode="before")
    @classmethod
    def _may_be_false(cls, value: Any) -> Any:
        return None if value is False else value

    @model_validator(mode="after")
    def _has_somewhere_to_ask(self) -> Self:
        if self.region is None and (self.auth_url is None or self.incident_url is None):
            raise ValueError("region is missing: one of eu, us, de, ca, jpn (or give auth_url and incident_url)")
        return self

    @property
    def account(self) -> tuple[str, ...]:
        """The API user, and the region where one is named: the same user may exist in another."""
        return self.username.strip().lower(), self.region or ""

    @property
    def auth_origin(self) -> str:
        """Where the logins are."""
        return self.auth_url or f"https://{self.region}.business-account.iam.eset.systems"

    @property
    def incident_origin(self) -> str:
        """Where detections and incidents are."""
        return self.incident_url or f"https://{self.region}.incident-management.eset.systems"

    @property
    def device_origin(self) -> str | None:
        """Where the devices' names are; None: nobody said."""
        if self.device_url is None and self.region is None:
            return None
        return self.device_url or f"https://{self.region}.device-management.eset.systems"

    @property
    def own_organizations(self) -> Mapping[str, str] | None:
        """Those of `by_owner`."""
        return {} if self.by_owner is True else self.by_owner

    def without_names(self) -> Self:
        """The same, with no owner mapped."""
        return self.model_copy(update={"by_owner": None if self.by_owner is None else True})

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Plain HTTP to somewhere else, more requests than the vendor takes; besides what every source has."""
        yield from super().remarks()
        for key in _URLS:
            url = getattr(self, key)
            if url is not None and url.startswith("http:") and not is_loopback(url):
                yield (key,), "http sends the credentials in clear text; use https"
        if self.rate_limit.requests > _VENDORS_LIMIT * self.rate_limit.per.total_seconds():
            yield ("rate_limit",), f"the vendor refuses what is over {_VENDORS_LIMIT} requests a second"
        if self.device_origin is None:
            owners = "" if self.by_owner is None else ": no event is delivered by its device's owner"
            yield ("device_url",), f"without it, and without region, the devices' names can't be asked for{owners}"
