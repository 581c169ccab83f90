"""An event as HEC wants it: one object with the metadata in it, since nothing carries over from one to the next.

    {"time": 1763806272.345, "host": "ws-042", "source": "acme/withsecure/security_events",
     "sourcetype": "edr:collector:json", "index": "edr", "event": {...}, "fields": {"uid": "...", ...}}

No other key is ever added: Splunk answers an unknown one with success and leaves out what follows it. `time` is a
decimal, since long integers are read as milliseconds. `fields` are indexed: flat, texts, none of them empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from collector.formats import FORMATS
from collector.formats.fitting import fit
from collector.model import Event
from collector.routing import Template
from collector.sinks.splunk_hec.config import HecConfig

# Names that Splunk users of these records already have (the vendor's own add-on).
_KNOWN_SOURCETYPES: Mapping[tuple[str, str], str] = {
    ("WithSecure", "security_event"): "withsecure:epp:security_event",
    ("WithSecure", "incident"): "withsecure:epp:bcd_incident",
    ("WithSecure", "detection"): "withsecure:epp:bcd_detection",
}
_LONGEST_HOST = 255


class Wrapper:
    """Writes the objects of one sink; `index` is the rendered one, None for the token's."""

    def __init__(self, config: HecConfig) -> None:
        self._json = FORMATS[config.format].content_type == "application/json"
        self._fetched = config.time == "fetched"
        self._host = Template(config.host).render if config.host else host_of
        self._source = Template(config.source).render
        self._sourcetype = _sourcetypes(config)

    def wrap(self, event: Event, payload: bytes, index: str | None) -> bytes:
        """One object, without a line break."""
        at = event.fetched_at if self._fetched else event.occurred_at
        envelope: dict[str, Any] = {
            "time": round(at.timestamp(), 3),
            "host": (self._host(event) or event.tenant)[:_LONGEST_HOST],
            "source": self._source(event) or f"{event.tenant}/{event.source}/{event.feed}",
            "sourcetype": self._sourcetype(event),
            "fields": indexed_fields(event),
        }
        if index is not None:
            envelope["index"] = index
        try:
            head = orjson.dumps(envelope)
        except orjson.JSONEncodeError:  # a lone surrogate
            head = orjson.dumps(fit(envelope))
        return head[:-1] + b',"event":' + self._event(payload) + b"}"

    def _event(self, payload: bytes) -> bytes:
        # Only objects and texts are events; a number, `null` or an empty text would be refused.
        if self._json and payload[:1] == b"{":
            return payload
        return orjson.dumps(payload.decode("utf-8", "replace"))


def indexed_fields(event: Event) -> dict[str, str]:
    """By what events are counted and told apart without opening them, whatever the format."""
    fields = {
        "uid": event.uid,
        "id": event.id,
        "tenant": event.tenant,
        "feed": event.feed,
        "kind": event.kind,
        "severity": event.severity,
    }
    return {name: value for name, value in fields.items() if value}


def host_of(event: Event) -> str:
    """The device's name, where the event tells one."""
    name = event.fields.get("host.name")
    if isinstance(name, list | tuple) and name:
        name = name[0]
    return name if isinstance(name, str) else ""


def _sourcetypes(config: HecConfig) -> Callable[[Event], str]:
    default = sourcetype_of_raw if config.format == "raw" else lambda _: f"edr:collector:{config.format}"
    if config.sourcetype is None:
        return default
    render = Template(config.sourcetype).render
    return lambda event: render(event) or default(event)


def sourcetype_of_raw(event: Event) -> str:
    """The sourcetype of a vendor's own record: `vendor:product:kind`, unless users know it by another name."""
    known = _KNOWN_SOURCETYPES.get((event.vendor, event.kind))
    return known or ":".join(_word(part) for part in (event.vendor, event.product, event.kind))


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "other"
