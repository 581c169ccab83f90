"""The keys every source has, whoever the vendor is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collector.model import organization_key
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
    """The requests the vendor allows; of sources that it counts together the smallest holds."""

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


def parse_local_address(text: str) -> str:
    """Read an address of this host; gives it back in its usual form.

    Raises:
        ValueError: it is no address.
    """
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise ValueError("must be an address of this host such as 192.0.2.7") from None


class EgressConfig(Settings):
    """The way out to the vendor. Vendors count requests by source address: another way out is another budget.

    `egress: 192.0.2.7` and `egress: http://proxy.example.com:3128` are short for the key that they fit.
    """

    local_address: Annotated[str, AfterValidator(parse_local_address)] | None = None
    """The address of this host that requests leave from; null: the system chooses."""

    proxy: Proxy | None = Field(default=None, repr=False)
    """As `proxy` of the source; one of the two is enough."""

    @model_validator(mode="before")
    @classmethod
    def _may_be_short(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        return {"proxy": data} if "://" in data else {"local_address": data}


def parse_organizations(given: dict[str, str]) -> dict[str, str]:
    """Check a map of the vendor's organization ids to tenant names; gives it back by `organization_key`.

    Raises:
        ValueError: an id is empty, or stands there twice.
    """
    mapped: dict[str, str] = {}
    for organization, tenant in given.items():
        key = organization_key(organization)
        if not key:
            raise ValueError("an organization's id must not be empty")
        if key in mapped:
            raise ValueError(f"{key} stands here twice: upper and lower case make no difference")
        mapped[key] = tenant
    return mapped


Organizations = Annotated[dict[str, Name], AfterValidator(parse_organizations)]
"""The vendor's organization ids, by `organization_key`, to the tenant names to put on their events."""


def _or_short(schema: dict[str, Any]) -> None:
    """Let editors take the short forms, too."""
    schema["anyOf"] = [{"$ref": schema.pop("$ref")}, {"type": "string"}]


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

    max_age: PositiveDuration = timedelta(minutes=10)
    """The longest a feed goes without being asked where the rate limit does not allow for poll_interval everywhere."""

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

    egress: EgressConfig = Field(default=EgressConfig(), json_schema_extra=_or_short)
    """The way out to the vendor: a local address or a proxy. Each way out has a budget of its own."""

    @model_validator(mode="after")
    def _has_one_proxy(self) -> Self:
        if self.proxy is not None and self.egress.proxy is not None:
            raise ValueError("proxy and egress.proxy say the same thing: give one of them")
        return self

    @model_validator(mode="before")
    @classmethod
    def _name_is_the_type(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("name") is not None:
            return data
        kind = data.get("type", cls.model_fields["type"].default)
        return {**data, "name": kind} if isinstance(kind, str) else data

    @property
    def account(self) -> tuple[str, ...]:
        """What names the account at the vendor, () where nothing does: positions of one mean nothing for another.

        Neither a secret nor an address is part of it: the same account may be reached by another way.
        """
        return ()

    @property
    def way_out(self) -> str:
        """Local address, host and port of the proxy, "" without either: vendors count the requests of one together."""
        proxy = self.proxy or self.egress.proxy
        through = urlsplit(proxy).netloc.rpartition("@")[2].lower() if proxy else ""
        return " through ".join(part for part in (self.egress.local_address, through) if part)

    @property
    def own_organizations(self) -> Mapping[str, str] | None:
        """Organizations that this source alone maps to tenants, besides those of its tenant; None: it tells none."""
        return None

    def without_names(self) -> Self:
        """The same, less what only names tenants: no reason to begin anew when it changes."""
        return self

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Unverified certificates, which are legal but an open door."""
        if not self.tls.verify:
            yield ("tls", "verify"), "certificates are not verified: whoever sits in between reads the credentials"
