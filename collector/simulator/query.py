"""The parameters of a security-events request: checked as strictly as the vendor does, or more so.

Arrays repeat the key [V-PY]; the comma list of [V-SEN] is refused here. Unknown parameters, repeated single ones and
empty values are refused. `engineGroup` or `engine` is required, never both [ATT, MCP1, MCP2]. A start is required
[SEED, MCP2], the range is at most 30 days [SEK2, MCP2], `limit` 1 to 200 [SEED], `order` desc unless asked [SPL, MCP2].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qsl

from collector.simulator.anchors import Fingerprint, read_anchor
from collector.simulator.catalogue import FILTERABLE, GROUPS
from collector.simulator.rules import Refused, bad_format, bad_request
from collector.simulator.shelf import Span
from collector.simulator.vendor_event import VendorEvent
from collector.simulator.vendor_time import parse_us

MAX_LIMIT = 200
DEFAULT_LIMIT = 100
MAX_RANGE_US = timedelta(days=30) // timedelta(microseconds=1)

_ARRAYS = {
    "engineGroup": GROUPS,
    "engine": FILTERABLE,
    "severity": frozenset({"info", "warning", "critical"}),
}
_CHOICES = {
    "order": frozenset({"asc", "desc"}),
    "exclusiveStart": frozenset({"true", "false"}),
    "acknowledged": frozenset({"true", "false"}),
    "language": frozenset({"en", "de", "es-MX", "fi", "fr", "it", "ja", "pl", "pt-BR", "sv", "zh-TW"}),
}
_SINGLES = frozenset(
    {"persistenceTimestampStart", "persistenceTimestampEnd", "limit", "anchor", "organizationId", "targetId", *_CHOICES}
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Parameters = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Query:
    """A request that is in order. `fingerprint` is the same for all pages of one query."""

    span: Span
    anchor: str | None
    fingerprint: Fingerprint


def read_form(text: bytes) -> dict[str, list[str]]:
    """A form-encoded body or query string, values of a repeated key in order.

    Raises:
        Refused: 400, it is no such thing.
    """
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, strict_parsing=bool(text), encoding="utf-8", errors="strict"
        )
    except ValueError as exc:
        raise bad_request("The form can't be read", "malformed form") from exc
    parameters: dict[str, list[str]] = {}
    for name, value in pairs:
        parameters.setdefault(name, []).append(value)
    return parameters


def single(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter that may be given once.

    Raises:
        Refused: it was given more than once, or empty.
    """
    given = parameters.get(name, [])
    if len(given) > 1:
        raise bad_request(f"Parameter {name} is given more than once", f"repeated {name}")
    if given and not given[0]:
        raise bad_format(name, "")
    return given[0] if given else None


def refuse_unknown(parameters: Parameters, known: frozenset[str]) -> None:
    """Raise `Refused` for the first parameter that is not known."""
    for name in parameters:
        if name not in known:
            raise Refused(
                400, f"Unknown parameter {name[:80]}", "unknown parameter", 400_000, {"invalidParam": name[:80]}
            )


def read_limit(parameters: Parameters, highest: int = MAX_LIMIT, default: int = DEFAULT_LIMIT) -> int:
    """`limit`, from 1 to `highest`."""
    text = single(parameters, "limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= highest):
        raise bad_format("limit", text)
    return int(text)


def read_query(parameters: Parameters, organization_ids: frozenset[str], now_us: int) -> Query:
    """Check the parameters of one request against the rules above.

    Raises:
        Refused: 400 for a broken rule, 403 for an organization this credential does not see.
    """
    refuse_unknown(parameters, _SINGLES | frozenset(_ARRAYS))
    for name, allowed in _ARRAYS.items():
        for value in parameters.get(name, []):
            if value not in allowed:
                raise bad_format(name, value)
    for name, allowed in _CHOICES.items():
        text = single(parameters, name)
        if text is not None and text not in allowed:
            raise bad_format(name, text)
    if ("engine" in parameters) == ("engineGroup" in parameters):
        raise bad_request("Exactly one of engine and engineGroup is required", "engineGroup xor engine")
    first_ms, end_ms = _bounds(parameters, now_us)
    anchor = single(parameters, "anchor")
    span = Span(
        first_ms=first_ms,
        end_ms=end_ms,
        ascending=single(parameters, "order") == "asc",
        limit=read_limit(parameters),
        after=None if anchor is None else read_anchor(anchor),
        accepts=_filter(parameters, organization_ids),
    )
    return Query(span, anchor, fingerprint_of(parameters))


def _bounds(parameters: Parameters, now_us: int) -> tuple[int, int]:
    start_text = single(parameters, "persistenceTimestampStart")
    if start_text is None:
        raise bad_request("persistenceTimestampStart is required", "no start of the time range")
    start_us = read_moment("persistenceTimestampStart", start_text)
    end_text = single(parameters, "persistenceTimestampEnd")
    end_us = now_us if end_text is None else read_moment("persistenceTimestampEnd", end_text)
    if start_us > end_us:
        raise bad_request("The time range ends before it starts", "start after end")
    if end_us - start_us > MAX_RANGE_US:
        raise bad_request("The time range is longer than 30 days", "range over 30 days")
    first_us = start_us + 1 if single(parameters, "exclusiveStart") == "true" else start_us
    return -(-first_us // 1000), -(-end_us // 1000)


def read_moment(name: str, text: str) -> int:
    """A time of a request in microseconds since the epoch."""
    try:
        return parse_us(text)
    except ValueError as exc:
        raise bad_format(name, text) from exc


def _filter(parameters: Parameters, organization_ids: frozenset[str]) -> Callable[[VendorEvent], bool] | None:
    tests: list[Callable[[VendorEvent], bool]] = []
    groups = frozenset(parameters.get("engineGroup", []))
    if groups and groups != GROUPS:
        tests.append(lambda event: event.group in groups)
    engines = frozenset(engine.lower() for engine in parameters.get("engine", []))
    if engines:
        tests.append(lambda event: event.engine.lower() in engines)
    severities = frozenset(parameters.get("severity", []))
    if severities:
        tests.append(lambda event: event.severity in severities)
    acknowledged = single(parameters, "acknowledged")
    if acknowledged is not None:
        tests.append(lambda event: event.acknowledged == (acknowledged == "true"))
    target_id = single(parameters, "targetId")
    if target_id is not None:
        tests.append(lambda event: event.target_id == target_id)
    organization_id = read_organization(parameters, organization_ids)
    if organization_id is not None:
        tests.append(lambda event: event.organization_id == organization_id)
    return (lambda event: all(test(event) for test in tests)) if tests else None


def read_organization(parameters: Parameters, organization_ids: frozenset[str]) -> str | None:
    """`organizationId`, one that the credential sees."""
    organization_id = single(parameters, "organizationId")
    if organization_id is None:
        return None
    if not _UUID.fullmatch(organization_id):
        raise bad_format("organizationId", organization_id)
    if organization_id not in organization_ids:
        raise Refused(403, "No access to this organization")
    return organization_id


def fingerprint_of(parameters: Parameters) -> Fingerprint:
    """What must be the same for all pages of one query."""
    return tuple(
        sorted(
            (name, value) for name, given in parameters.items() if name not in {"anchor", "limit"} for value in given
        )
    )
