"""Structured logging to standard error: one handler for our own lines and those of libraries.

What passes the handler is redacted last, as the finished line, so that no library, traceback or crash can write a
secret: uncaught exceptions, warnings and what asyncio reports take the same way. Tracebacks carry no local variables.
Logging never raises: a line that can't be written (a closed pipe, a failing `repr`) is dropped.

Modules take their logger by `structlog.get_logger()`; the message is constant, values are fields.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from collector.redaction import MASK, Redactor, is_sensitive

if TYPE_CHECKING:
    from threading import ExceptHookArgs

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_FIRST = ("time", "level", "message")
_redactor = Redactor()

hide = _redactor.hide
redact = _redactor.redact


class RedactingHandler(logging.StreamHandler[TextIO]):
    """Writes redacted lines, and stays silent about those it can't write."""

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        return redact(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Drop the line: logging's own way prints the record, secrets and all, to where it just failed."""


def configure(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for the whole process; may be called again, by a reload.

    `form` "auto" is for people where the stream is a terminal, else JSON, one object a line. `stream`: standard error.
    """
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    handler = RedactingHandler(stream)
    handler.setFormatter(_formatter(_console(colors=stream.isatty()) if console else _json()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Not for every request to /metrics.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _crashed
    sys.unraisablehook = _unraisable
    threading.excepthook = _thread_crashed


# -- rendering -------------------------------------------------------------------------------


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        _mask_fields,
    ]


def _formatter(render: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_shared()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )


def _console(*, colors: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
    )
    return [_printable, renderer]


def _json() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(serializer=_serialize),
    ]


def _mask_fields(_logger: object, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if is_sensitive(key):
            event[key] = MASK
    return event


def _printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep what a server says from steering the reader's terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event


def _serialize(event: Mapping[str, Any], **_: object) -> str:
    ordered: MutableMapping[str, Any] = {key: event[key] for key in _FIRST if key in event}
    ordered.update(event)
    try:
        return orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # What orjson does not take: lone surrogates, integers over 64 bits.
        return json.dumps(ordered, default=str, skipkeys=True)


# -- crashes ---------------------------------------------------------------------------------


def _crashed(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("crashed", exc_info=(kind, exc, trace))


def _thread_crashed(args: ExceptHookArgs, /) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else ""
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.get_logger().critical("a thread crashed", thread=name, exc_info=exc_info)


def _unraisable(unraisable: sys.UnraisableHookArgs, /) -> None:
    exc_info = (unraisable.exc_type, unraisable.exc_value or unraisable.exc_type(), unraisable.exc_traceback)
    structlog.get_logger().error("an exception nobody could catch", where=repr(unraisable.object), exc_info=exc_info)
