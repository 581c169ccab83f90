"""What the vendor says when it refuses, in one line that is safe to log.

Error bodies are declared nowhere but as `rpcStatus` (`{"code", "message", "details"}`); seen were empty ones, OAuth's
`{"error", "error_description"}` at the login, and gateways' HTML. Every answer has a `request-id`; support asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from collector.http import Answer
from collector.redaction import Redactor
from collector.sources.slicing import BOM

_LONGEST, _LONGEST_ID, _LARGEST_BODY = 300, 200, 1 << 16
# What ends a line or moves a cursor has no place in a log line.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer's status, the vendor's own words about it, its request id. `is_page`: a gateway's page, no vendor's."""

    status: int
    words: str
    request_id: str
    is_page: bool

    def __str__(self) -> str:
        text = f"status {self.status}"
        if self.words:
            text += f": {self.words}"
        return f"{text} (request {self.request_id})" if self.request_id else text


def read_complaint(answer: Answer, secrets: Iterable[str]) -> Complaint:
    """Read an error; `secrets` are taken out, should the vendor repeat them in whatever encoding."""
    redactor = Redactor()
    redactor.hide(*(secret for secret in secrets if secret))
    return Complaint(
        answer.status,
        _clean(redactor, _words(answer)),
        _clean(redactor, request_id_of(answer)),
        is_page=answer.body[:_LARGEST_BODY].lstrip()[:1] == b"<",
    )


def request_id_of(answer: Answer) -> str:
    """The vendor's name for the request, "" where there is none; encodable and printable whatever bytes it came as."""
    return printable(answer.headers.get("request-id", ""))


def printable(text: str) -> str:
    """A header's value, cut, as text that any store takes: one that is no UTF-8 comes with lone surrogates."""
    encodable = text[:_LONGEST_ID].encode(errors="replace").decode()
    return "".join(char if char.isprintable() else " " for char in encodable).strip()


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object a body is; empty where it is none."""
    try:
        content = orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _words(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return "a redirect, which is not followed"
    if len(answer.body) > _LARGEST_BODY:
        return ""
    content = read_json(answer.body)
    inner = content.get("error")
    parts = [inner if isinstance(inner, dict) else {}, content]
    keys = ("code", "error", "message", "error_description")
    return " ".join(str(part[key]) for part in parts for key in keys if _is_word(part.get(key)))


def _is_word(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _clean(redactor: Redactor, text: str) -> str:
    return _UNPRINTABLE.sub(" ", redactor.redact(text))[:_LONGEST]
