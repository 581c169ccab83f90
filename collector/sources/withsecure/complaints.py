"""What the vendor says when it refuses, in one line that is safe to log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from collector.http import Answer
from collector.sources.slicing import BOM

_LONGEST, _LONGEST_TRANSACTION = 300, 200
# What ends a line or moves a cursor has no place in a log line.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer's status, the vendor's own words about it, its transaction. `is_json`: the vendor spoke, no gateway."""

    status: int
    words: str
    transaction: str
    is_json: bool

    def __str__(self) -> str:
        text = f"status {self.status}"
        if self.words:
            text += f": {self.words}"
        return f"{text} (transaction {self.transaction})" if self.transaction else text


def read_complaint(answer: Answer, secrets: tuple[str, ...]) -> Complaint:
    """Read an error; `secrets` are taken out, should the vendor repeat them."""
    content = read_json(answer.body)
    words = [content[key] for key in ("code", "error", "message", "error_description") if _is_word(content.get(key))]
    details = content.get("details")
    if isinstance(details, dict) and _is_word(details.get("invalidParam")):
        words.append(f"parameter {details['invalidParam']}")
    if 300 <= answer.status < 400:
        words = ["a redirect, which is not followed"]
    return Complaint(
        answer.status,
        _clean(" ".join(str(word) for word in words), secrets),
        _clean(transaction_of(answer), secrets),
        is_json=bool(content),
    )


def transaction_of(answer: Answer) -> str:
    """The vendor's name for the request, "" where there is none; encodable and printable whatever bytes it came as."""
    told = answer.headers.get("x-transaction") or str(read_json(answer.body[: 1 << 16]).get("transactionId") or "")
    # A header that is no UTF-8 comes with lone surrogates in place of its bytes; no store takes those.
    encodable = told[:_LONGEST_TRANSACTION].encode(errors="replace").decode()
    return "".join(char if char.isprintable() else " " for char in encodable)


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object a body is; empty where it is none."""
    try:
        content = orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_word(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", text)[:_LONGEST]
