"""The pairs that every vendor's events have, made of the envelope and of ECS names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from collector.formats.cef.table import Made, Pair, Values
from collector.model import Kind, Severity

# Where the vendor has no numbers of its own; the dictionary calls 0-3 Low, 4-6 Medium, 7-8 High, 9-10 Very-High.
SEVERITY_NUMBERS: Mapping[Severity, int] = MappingProxyType(
    {"informational": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
)

# The header's Name of events that have no variant: never a text that differs from event to event.
KIND_NAMES: Mapping[Kind, str] = MappingProxyType(
    {
        "security_event": "Security event",
        "detection": "Detection",
        "incident": "Incident",
        "unparsed": "Unparsed record",
        "heartbeat": "Heartbeat",
        "test": "Test event",
    }
)

# Made of the vendor's fields by the tables of `normalize`, and told by the header and `act` already.
DERIVED = frozenset({"event.kind", "event.category", "event.type", "name"})


def _message(values: Values) -> Made | None:
    title, whole = values["title"], values.get("message")
    if not isinstance(whole, str) or not whole:
        return title, ("title",)
    if whole.startswith(title):  # a title is cut where the message is long
        return whole, ("title", "message")
    # A title that only repeats the name says less than the event's own message.
    return (whole, ("title", "message")) if title == values["name"] else (title, ("title",))


def account(values: Values) -> Made | None:
    r"""`DOMAIN\user` as the vendors write it, or the bare name; else the mail address."""
    name, domain = values.get("user.name"), values.get("user.domain")
    if not isinstance(name, str) or not name:
        email = values.get("user.email")
        return (email, ("user.email",)) if email else None
    if isinstance(domain, str) and domain and "@" not in name:
        return f"{domain}\\{name}", ("user.name", "user.domain")
    told = ("user.name", "user.email") if values.get("user.email") == name else ("user.name",)
    return name, told


TIMES: Mapping[str, Pair] = MappingProxyType(
    {"occurred": Pair("rt", "occurred_at"), "fetched": Pair("rt", "fetched_at")}
)
"""`rt` by a sink's `time`: receivers file an event under it."""

PAIRS: tuple[Pair, ...] = (
    Pair("externalId", "uid"),
    Pair("start", "event.start", "occurred_at"),
    Pair("end", "event.end", "occurred_at"),
    Pair("deviceCustomDate1", "recorded_at", label="Recorded"),
    Pair("deviceCustomDate2", "fetched_at", label="Fetched"),
    Pair("flexString1", "id", label="Vendor Event ID"),
    Pair("cat", "event.code", "event.category"),
    Pair("act", "event.action"),
    Pair("outcome", "event.outcome"),
    Pair("msg", make=_message),
    Pair("reason", "event.reason"),
    Pair("deviceFacility", "event.provider"),
    Pair("deviceExternalId", "host.id"),
    Pair("dvchost", "host.name"),
    Pair("shost", "host.name"),
    Pair("dvc", "host.ip"),
    Pair("c6a1", "host.ip", label="Device IPv6 Address"),
    Pair("suser", make=account),
    Pair("sntdom", "user.domain"),
    Pair("suid", "user.id"),
    Pair("src", "source.ip"),
    Pair("c6a2", "source.ip", label="Source IPv6 Address"),
    Pair("spt", "source.port"),
    Pair("dst", "destination.ip"),
    Pair("c6a3", "destination.ip", label="Destination IPv6 Address"),
    Pair("dpt", "destination.port"),
    Pair("proto", "network.transport"),
    Pair("deviceDirection", "network.direction"),
    Pair("request", "url.original"),
    Pair("fname", "file.name"),
    Pair("filePath", "file.path"),
    Pair("fileHash", "file.hash.sha256", "file.hash.sha1", "file.hash.md5"),
    Pair("fsize", "file.size"),
    Pair("fileCreateTime", "file.created"),
    Pair("fileModificationTime", "file.mtime"),
    Pair("sproc", "process.executable", "process.name"),
    Pair("spid", "process.pid"),
    Pair("cs3", "tenant", label="Tenant"),
    Pair("cs4", "organization.name", "organization.id", label="Organization"),
    Pair("cs5", "rule.name", "rule.id", label="Rule"),
)
