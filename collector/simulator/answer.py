"""One answer of the simulated vendor, before it is put on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from collector.simulator.vendor_event import VendorEvent

_GATEWAY_PAGE = b"<html><head><title>%d</title></head><body><h1>%s</h1><hr>gateway</body></html>\r\n"


@dataclass(slots=True)
class Answer:
    """`events` stand in the body and count as served once it goes out whole; `transaction` off: no x-transaction.

    `note` is told of them in place of the ledger of security events.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    client_id: str = ""
    events: Sequence[VendorEvent] = ()
    transaction: bool = True
    note: Callable[[Sequence[VendorEvent]], None] | None = None


def gateway_page(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    """What a gateway before the API says: HTML."""
    return Answer(status, _GATEWAY_PAGE % (status, reason.encode()), "text/html", headers or {})
