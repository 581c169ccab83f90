"""The keys every sink has, whatever receives."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from collector.model import Severity
from collector.settings import Name, Settings, Words
from collector.suggest import hint
from collector.units import PositiveDuration, Size

_NOT_YET = "not supported by this version"


class RouteConfig(Settings):
    """Which events a sink takes: those that meet every condition given; default: everything."""

    tenants: Words = ()
    """Names of tenants, also those that `organizations:` maps to."""

    organizations: Words = ()
    """The vendor's organizations, by id or name."""

    sources: Words = ()
    """Names of sources."""

    feeds: Words = ()
    """Names of feeds."""

    min_severity: Severity | None = None
    """This severity and those above it."""

    where: str | None = Field(default=None, min_length=1)
    """A condition on the event's fields. Not supported by this version."""

    @field_validator("where")
    @classmethod
    def _not_yet(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError(_NOT_YET)
        return value


class CefConfig(Settings):
    """The header of format `cef`, where receivers expect another than the vendor's."""

    vendor: str | None = Field(default=None, min_length=1, max_length=63)
    """Device Vendor; default: the vendor's name."""

    product: str | None = Field(default=None, min_length=1, max_length=63)
    """Device Product; default: the product's name."""

    version: str | None = Field(default=None, min_length=1, max_length=31)
    """Device Version; default: 1.0, since no vendor tells one."""

    signature: str | None = Field(default=None, min_length=1, max_length=1023)
    """Template of the Signature ID: names of the event's fields in braces; default: that of the vendor's table."""

    @field_validator("vendor", "product", "version")
    @classmethod
    def _fits_the_header(cls, value: str | None) -> str | None:
        if value is not None and (value != value.strip(" \\") or not value.isprintable()):
            raise ValueError("must not hold control characters, nor begin or end with a space or a backslash")
        return value

    @field_validator("signature")
    @classmethod
    def _signature_is_a_template(cls, value: str | None) -> str | None:
        from collector.formats.cef import Signature  # noqa: PLC0415 -- formats load their encoders; models need none

        if value is not None:
            Signature(value)
        return value


class SinkConfig(Settings):
    """One receiver. A sink's model subclasses this and fixes `type`.

    What would change the events delivered but does not exist yet is an error, not a silence.
    """

    type: str
    """Which kind of receiver."""

    format: str = "json"
    """How an event is written; default: that of the kind of receiver."""

    required: bool = True
    """true: polling pauses rather than lose what this sink has not got; false: an old backlog may be skipped."""

    start_at: Literal["latest", "earliest"] = "latest"
    """Where a sink that is new to an existing state begins: at what comes next, or at the oldest event kept."""

    max_backlog: Size | None = Field(default=None, gt=0)
    """Undelivered bytes in the log at which the feeds of this sink pause; default: a quarter of state.max_size."""

    oversize: Literal["reduce", "dead_letter"] = "reduce"
    """What becomes of an event over the receiver's own limit: sent without `raw` and cut, or made a dead letter."""

    time: Literal["occurred", "fetched"] = "occurred"
    """Which time goes into the receiver's own time field, where it has one."""

    cef: CefConfig = CefConfig()
    """What the header of format `cef` says; for that format alone."""

    drop_fields: Words = ()
    """Fields to leave out. Not supported by this version."""

    mask_fields: Words = ()
    """Fields to make unreadable. Not supported by this version."""

    heartbeat: PositiveDuration | None = None
    """Send a sign of life, an event of kind `heartbeat`, this often; default: off."""

    route: RouteConfig = RouteConfig()
    """Which events this sink takes."""

    renamed_from: Name | None = None
    """The name under which the state knows this sink."""

    @field_validator("format")
    @classmethod
    def _format_exists(cls, value: str) -> str:
        from collector.formats import FORMATS  # noqa: PLC0415 -- formats load their encoders; models need none

        if value not in FORMATS:
            raise ValueError(f"unknown format; {hint(value, FORMATS)}")
        return value

    @model_validator(mode="after")
    def _header_has_its_format(self) -> Self:
        if self.cef != CefConfig() and self.format != "cef":
            raise ValueError("cef: for sinks with format cef alone")
        return self

    @field_validator("drop_fields", "mask_fields")
    @classmethod
    def _not_yet(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if value:
            raise ValueError(_NOT_YET)
        return value
