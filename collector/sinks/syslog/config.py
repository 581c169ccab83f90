"""The configuration of a syslog sink."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from collector.routing import Template
from collector.settings import Location, Settings
from collector.sinks.config import SinkConfig
from collector.sinks.syslog.header import FACILITIES, HeaderStyle
from collector.suggest import hint
from collector.units import PositiveDuration, Size

Transport = Literal["tcp", "udp", "tls"]

MAX_DATAGRAM = 65_507
_PORTS = {"tcp": 514, "udp": 514, "tls": 6514}
_SHORTEST, _LONGEST = 480, 64 << 10  # RFC 5424, 6.1: every receiver takes 480 bytes
_ADDRESS = "must be tcp://host, tls://host or udp://host, with :port where it is not 514 (tls: 6514)"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the receiver listens; `host` is a name or an IP address without brackets."""

    transport: Transport
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `tls://siem.example.com:6514`, `tcp://[::1]`.

    Raises:
        ValueError: it is no address.
    """
    try:
        url = urlsplit(text.strip())
        port = url.port
        host = url.hostname or ""
        if ":" in host:
            IPv6Address(host.partition("%")[0])
    except ValueError:
        raise ValueError(_ADDRESS) from None
    if url.scheme not in get_args(Transport):
        raise ValueError(f"{_ADDRESS}; {hint(url.scheme, get_args(Transport))}" if url.scheme else _ADDRESS)
    if not host or host != host.strip() or url.username is not None or url.path not in {"", "/"} or port == 0:
        raise ValueError(_ADDRESS)
    if url.query or url.fragment or any(character in host for character in " /\\"):
        raise ValueError(_ADDRESS)
    transport: Transport = url.scheme  # type: ignore[assignment]  # one of them, by the check above
    return Address(transport, host, port or _PORTS[transport])


def _address_is_usable(text: str) -> str:
    parse_address(text)
    return text.strip()


class SyslogTlsConfig(Settings):
    """Whom to trust, and how to show who we are."""

    ca_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of the authorities to trust instead of the system's."""

    cert_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of our own certificate and its chain, for receivers that ask for one."""

    key_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of its key; default: the key stands in `cert_file`."""

    key_password: SecretStr | None = None
    """What the key is encrypted with."""

    server_name: str | None = Field(default=None, min_length=1)
    """The name in the receiver's certificate, where it is not the host of the address."""

    verify: bool = True
    """false: take any certificate. Whoever sits in between then reads the events."""

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if self.cert_file is None and (self.key_file is not None or self.key_password is not None):
            raise ValueError("key_file and key_password need a cert_file")
        return self


class SyslogConfig(SinkConfig):
    """A syslog receiver over TLS, TCP or UDP."""

    type: Literal["syslog"] = "syslog"
    """Which kind of receiver."""

    format: str = "cef"
    """How an event is written."""

    address: Annotated[str, AfterValidator(_address_is_usable)]
    """`tls://host:6514`, `tcp://host:514` or `udp://host:514`; an IPv6 address in brackets. The name is resolved anew
    for every connection."""

    confirm: bool | None = None
    """true (default, tcp and tls): a batch counts when the receiver has closed the connection in answer to our closing
    of its one half, which proves that it read everything. false: one long connection, a batch counts when the
    connection lasted for 30 s after it."""

    header: HeaderStyle | None = None
    """`rfc5424`, `rfc3164`, `rfc3164-tag` (with a program name) or `none`; default: `rfc3164` for cef and leef, else
    `rfc5424`."""

    framing: Literal["octet", "lf"] | None = None
    """How messages are told apart on tcp and tls: by their length in front (default), or by a line feed."""

    facility: str = "local4"
    """Syslog facility: a name or a number from 0 to 23. A template such as {label.facility} may give it; what it
    gives and is none becomes local4."""

    max_message: Size = Field(default=8 << 10, ge=_SHORTEST, le=_LONGEST)
    """The longest message that the receiver takes, header included; 480B to 64KiB."""

    hostname: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$")
    """The header's host; default: the event's `host.name`, or this host's name where that is not fit for a header."""

    app_name: str = Field(default="edr-collector", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    """The header's program name (rfc5424, rfc3164-tag)."""

    bom: bool = False
    """Put a byte order mark before the text of rfc5424 messages. rsyslog hands it on, which spoils JSON and CEF."""

    tls: SyslogTlsConfig = SyslogTlsConfig()
    """Certificates, for tls addresses."""

    connect_timeout: PositiveDuration = timedelta(seconds=10)
    """How long resolving, connecting and the TLS handshake may take together."""

    send_timeout: PositiveDuration = timedelta(seconds=30)
    """How long the receiver may take nothing before the connection counts as lost."""

    confirm_timeout: PositiveDuration = timedelta(seconds=10)
    """How long the receiver may take to answer the end of a batch, counted from its last sign of taking it."""

    @property
    def target(self) -> Address:
        """The address, read."""
        return parse_address(self.address)

    @property
    def header_style(self) -> HeaderStyle:
        """The header in force."""
        return self.header or ("rfc3164" if self.format in {"cef", "leef"} else "rfc5424")

    @property
    def longest_message(self) -> int:
        """Bytes that fit into one message of this transport."""
        return min(self.max_message, MAX_DATAGRAM) if self.target.transport == "udp" else self.max_message

    @field_validator("facility")
    @classmethod
    def _facility_exists(cls, value: str) -> str:
        template = Template(value)
        if template.is_constant and value not in FACILITIES:
            raise ValueError(f"unknown facility; {hint(value, [name for name in FACILITIES if not name.isdigit()])}")
        return value

    @model_validator(mode="after")
    def _keys_fit_the_transport(self) -> Self:
        transport = self.target.transport
        if transport == "udp" and self.confirm:
            raise ValueError("confirm: a udp receiver can't confirm anything; use tcp:// or tls://")
        if transport == "udp" and self.framing:
            raise ValueError("framing: every datagram is one message; leave the key out for udp://")
        if transport != "tls" and self.tls != SyslogTlsConfig():
            raise ValueError("tls: is for tls:// addresses")
        if self.bom and self.header_style != "rfc5424":
            raise ValueError("bom: only rfc5424 messages may have one")
        return self

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """What can lose events unseen, or be read by others."""
        if self.target.transport == "udp":
            yield ("address",), "udp is best effort: what the network or the receiver drops is lost unseen"
        elif self.confirm is False:
            yield ("confirm",), "what the receiver loses less than 30 s before a break may be lost unseen"
        if not self.tls.verify:
            yield ("tls", "verify"), "certificates are not verified: whoever sits in between reads the events"
