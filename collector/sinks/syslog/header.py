"""Syslog headers, RFC 5424 and RFC 3164 in the shapes receivers expect.

    rfc5424      <PRI>1 2026-11-22T10:11:12.345Z host app PID MSGID - MSG
    rfc3164      <PRI>Nov 22 10:11:12 host MSG               CEF straight behind the host, as its readers expect it
    rfc3164-tag  <PRI>Nov 22 10:11:12 host app: MSG
    none         MSG

Times are UTC (RFC 3164 has no room to say so). The host is the event's `host.name`, or ours where the event has none or
one that would break the header. PRI's severity follows the event's.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Literal

from collector.model import SEVERITIES, Event
from collector.routing import Template
from collector.timestamps import format_utc

HeaderStyle = Literal["rfc5424", "rfc3164", "rfc3164-tag", "none"]

_NAMES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8)),
)  # fmt: skip
FACILITIES: dict[str, int] = {name: number for number, name in enumerate(_NAMES)} | {
    str(number): number for number in range(24)
}
"""Syslog facilities by name and by number."""

_DEFAULT_FACILITY = FACILITIES["local4"]
_SYSLOG_SEVERITY = dict(zip(SEVERITIES, (6, 5, 4, 3, 2), strict=True))  # informational .. critical: info .. crit
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# No colon: behind RFC 3164's host it would make a program name of it.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_BOM = b"\xef\xbb\xbf"


class Header:
    """Makes headers; compiled once per sink, called per event. `hostname` None: the event's own."""

    def __init__(
        self,
        style: HeaderStyle,
        *,
        facility: str = "local4",
        hostname: str | None = None,
        app_name: str = "edr-collector",
        time: Literal["occurred", "fetched"] = "occurred",
        bom: bool = False,
    ) -> None:
        self._facility = Template(facility)
        self._constant = FACILITIES.get(self._facility.text, _DEFAULT_FACILITY)
        self._hostname = hostname
        self._own = own_hostname()
        self._at: Callable[[Event], datetime] = _occurred if time == "occurred" else _fetched
        self._app = app_name
        self._pid = os.getpid()
        self._end = _BOM if bom else b""
        self.of: Callable[[Event], bytes] = {
            "rfc5424": self._rfc5424,
            "rfc3164": self._rfc3164,
            "rfc3164-tag": self._tagged,
            "none": _nothing,
        }[style]

    def _rfc5424(self, event: Event) -> bytes:
        stamp = format_utc(self._at(event))
        text = f"<{self._pri(event)}>1 {stamp} {self._host(event)} {self._app} {self._pid} {event.kind} - "
        return text.encode("ascii") + self._end

    def _rfc3164(self, event: Event) -> bytes:
        at = self._at(event)
        stamp = f"{_MONTHS[at.month - 1]} {at.day:2d} {at.hour:02d}:{at.minute:02d}:{at.second:02d}"
        return f"<{self._pri(event)}>{stamp} {self._host(event)} ".encode("ascii")

    def _tagged(self, event: Event) -> bytes:
        return b"%s%s: " % (self._rfc3164(event), self._app.encode("ascii"))

    def _pri(self, event: Event) -> int:
        facility = self._constant
        if not self._facility.is_constant:
            facility = FACILITIES.get(self._facility.render(event), _DEFAULT_FACILITY)
        return facility * 8 + _SYSLOG_SEVERITY[event.severity]

    def _host(self, event: Event) -> str:
        if self._hostname is not None:
            return self._hostname
        name = event.fields.get("host.name")
        return name if isinstance(name, str) and _is_host(name) else self._own


def own_hostname() -> str:
    """This host's name, fit for a header; `-`, RFC 5424's word for none, where it is not."""
    name = socket.gethostname()
    return name if _is_host(name) else "-"


@lru_cache(maxsize=4096)
def _is_host(name: str) -> bool:
    return _HOST.fullmatch(name) is not None


def _occurred(event: Event) -> datetime:
    return event.occurred_at


def _fetched(event: Event) -> datetime:
    return event.fetched_at


def _nothing(_: Event) -> bytes:
    return b""
