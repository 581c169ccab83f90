"""One answer of the simulated vendor, before it is put on the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

_HTML = b"<html><head><title>%d</title></head><body><h1>%s</h1><hr>gateway</body></html>\r\n"


@dataclass(slots=True)
class Answer:
    """`served` is called when it goes out whole, `lost` when it does not; `cut`: it does not.

    `request_id` off: without that header.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    served: Callable[[], None] | None = None
    lost: Callable[[], None] | None = None
    cut: bool = False
    request_id: bool = True


def json_answer(body: object, status: int = 200) -> Answer:
    """An answer that is an object."""
    return Answer(status, orjson.dumps(body))


def rpc_status(status: int, code: int, message: str) -> Answer:
    """An error as the vendor's gRPC services write it."""
    return json_answer({"code": code, "message": message, "details": []}, status)


def html_page(status: int, reason: str, headers: dict[str, str] | None = None) -> Answer:
    """What a gateway before the API says."""
    return Answer(status, _HTML % (status, reason.encode()), "text/html", headers or {})
