"""Events of a batch as syslog messages: header, payload, limit.

A message that the receiver might read as two, or as the length of the next, is never sent; one that is too long is
reduced or rejected before the receiver cuts it or hangs up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from collector.formats.reducing import reduce_event
from collector.model import Event
from collector.sinks.base import Batch
from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.header import Header

_BREAKS = (b"\n", b"\r", b"\0")


@dataclass(frozen=True, slots=True)
class Written:
    """What goes out of a batch, in its order, and the positions that can't, with the reason."""

    messages: list[bytes]
    rejected: dict[int, str]


class Messages:
    """Writes messages for one sink; `encode` is its format."""

    def __init__(self, config: SyslogConfig, encode: Callable[[Event], bytes]) -> None:
        self._header = Header(
            config.header_style,
            facility=config.facility,
            hostname=config.hostname,
            app_name=config.app_name,
            time=config.time,
            bom=config.bom,
        )
        self._encode = encode
        self._most = config.longest_message
        self._reduces = config.oversize == "reduce"
        self._record_only = config.format == "raw"
        # A receiver that guesses the framing by the first character takes a digit for a length (RFC 6587, 3.4.2).
        self._no_digit_first = config.framing == "lf" and config.header_style == "none"

    def of(self, batch: Batch) -> Written:
        """The messages of a batch."""
        written = Written([], {})
        for position, (event, payload) in enumerate(zip(batch.events, batch.payloads, strict=True)):
            message = self._header.of(event) + payload
            reason = self._flaw(payload)
            if reason is None and len(message) > self._most:
                message, reason = self._shortened(event, message)
            if reason is None:
                written.messages.append(message)
            else:
                written.rejected[position] = reason
        return written

    def _flaw(self, payload: bytes) -> str | None:
        if any(mark in payload for mark in _BREAKS):
            return "the payload holds a line break or NUL"
        if self._no_digit_first and payload[:1].isdigit():
            return "the payload begins with a digit, which a receiver of lines without header may take for a length"
        return None

    def _shortened(self, event: Event, message: bytes) -> tuple[bytes, str | None]:
        """The message made to fit, or the reason why it can't go."""
        too_long = f"the message has {len(message)} bytes, over max_message of {self._most}"
        if not self._reduces:
            return message, too_long
        header = self._header.of(event)
        room = self._most - len(header)
        try:
            small = reduce_event(event, lambda event: len(self._encode(event)) <= room, record_only=self._record_only)
            if small is None:
                return message, f"{too_long}, even when reduced"
            payload = self._encode(small)
        except Exception as exc:  # noqa: BLE001 -- around format: it must not stop the other events
            return message, f"{too_long}; format error: {type(exc).__name__}"
        return header + payload, self._flaw(payload)
