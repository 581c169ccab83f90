"""What an answer of HEC means for the body that was sent.

    {"text": "...", "code": 6, "invalid-event-number": 3, "ackId": 17}

Splunk indexes the objects before the one it complains of (codes 6, 12, 13, 15: its number counts from 0; code 7: it is
one too high) and nothing from there on. Receivers that only imitate it may give no number and have taken nothing.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from collector.errors import SinkDenied, SinkUnavailable
from collector.http import Answer, parse_retry_after

GOOD = frozenset({0, 24, 25})
NO_DATA = 5
_NEAR_CAPACITY = frozenset({24, 25})
_WRONG_INDEX = 7
_ACKS_DISABLED = 14
_BAD_EVENT = frozenset({6, 12, 13, 15})
_LATER = frozenset({8, 9, 18, 19, 20, 23, 26, 27})
_ADVICE = {
    1: "enable the token",
    2: "set token",
    10: "the receiver wants a data channel and did not see ours: look at what is in between",
    11: "the receiver wants a data channel and did not accept ours",
    28: "the receiver wants sticky sessions: keep its cookies on the way, or give the URL of one node",
}
_STATUS_ADVICE = {
    404: "no event collector answers at this url",
    405: "no event collector answers at this url",
    415: "the receiver does not take this compression: set compression: none",
}
_SHOWN = 300
_PRINTABLE = frozenset(string.printable) - frozenset("\t\n\r\x0b\x0c")


@dataclass(frozen=True, slots=True)
class Taken:
    """All of it is received. `ack`: what to ask for, None where the receiver offers none. `slow`: send less."""

    ack: int | None
    slow: bool = False


@dataclass(frozen=True, slots=True)
class BadEvent:
    """One event is refused for its content. `number` (from 0): those before it are in; None: nothing was taken."""

    number: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class WrongIndex:
    """The index is refused; so many events at the beginning are in."""

    taken: int
    reason: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was taken: the body has too many bytes."""

    reason: str


@dataclass(frozen=True, slots=True)
class AcksDisabled:
    """The token knows no acknowledgement; nothing was taken."""


Verdict = Taken | BadEvent | WrongIndex | TooLarge | AcksDisabled


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read; `code` is None where it is none of HEC's."""

    status: int
    code: int | None
    text: str
    number: int | None
    ack: int | None
    acks: dict[str, Any]
    retry_after: float | None

    @property
    def reason(self) -> str:
        """The receiver's own words."""
        if self.code is None:
            return f"status {self.status}" + (f": {self.text}" if self.text else "")
        return f"{self.text or 'no text'} (code {self.code})"


def read(answer: Answer, token: str) -> Reply:
    """Read whatever came; should it repeat our token, that is left out."""
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    fields = document if isinstance(document, dict) else {}
    text = fields.get("text")
    acks = fields.get("acks")
    return Reply(
        status=answer.status,
        code=_whole(fields.get("code")),
        text=_shown(text.replace(token, "***") if isinstance(text, str) else ""),
        number=_whole(fields.get("invalid-event-number")),
        ack=_whole(fields.get("ackId")),
        acks=acks if isinstance(acks, dict) else {},
        retry_after=parse_retry_after(answer.headers.get("Retry-After"), answer.date or datetime.now(UTC)),
    )


def judge(reply: Reply, sent: int) -> Verdict:
    """What the answer to a body of so many events means.

    Raises:
        SinkUnavailable: nothing is certain; try again later.
        SinkDenied: the receiver refuses us as such.
    """
    status, code = reply.status, reply.code
    if status == 200:
        if code in GOOD:
            return Taken(reply.ack, slow=code in _NEAR_CAPACITY)
        raise SinkUnavailable(f"the answer is not one of an event collector: {reply.reason}", reply.retry_after)
    if status == 413:
        return TooLarge(reply.reason)
    if status in {408, 429} or status >= 500 or code in _LATER:
        raise SinkUnavailable(f"the receiver can't take events now: {reply.reason}", reply.retry_after)
    if code in _BAD_EVENT:
        number = reply.number
        return BadEvent(number if number is not None and 0 <= number < sent else None, reply.reason)
    if code == _WRONG_INDEX:
        number = reply.number if reply.number is not None and 0 < reply.number <= sent else 1
        return WrongIndex(number - 1, reply.reason)
    if code == _ACKS_DISABLED:
        return AcksDisabled()
    raise denial(reply)


def denial(reply: Reply) -> SinkDenied:
    """The error for an answer that needs a person."""
    advice = _STATUS_ADVICE.get(reply.status, "") if reply.code is None else _ADVICE.get(reply.code, "")
    return SinkDenied(f"the receiver refuses: {reply.reason}" + (f"; {advice}" if advice else ""))


def _whole(value: object) -> int | None:
    """A whole number, also where it came as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(text: str) -> str:
    return "".join(character if character in _PRINTABLE else "?" for character in text[:_SHOWN])
