"""The incident filter: the few words of CEL that the vendor documents, and nothing else.

Fields `create_time update_time display_name assignee_uuid device_uuids severity status tags`, each with `incident.`
before it; operators `== != <= >= in contains has size() &&`; status and severity with `in` and `==` alone [DOC]. More
than 200 characters are refused [SPEC], as is all that is not documented: `>`, `<`, `||`, `AND`. Strings and timestamps
may stand in single quotes, as the vendor's own client writes them [CLIENT].
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from collector.simulator.eset.incident import Incident, State
from collector.simulator.rules import Refused
from collector.simulator.vendor_time import parse_us

MAX_FILTER, MAX_ORDER = 200, 100
_TIMES = {"create_time": "create_ms", "update_time": "update_ms"}
_TEXTS = {"display_name": "displayName", "assignee_uuid": "assigneeUuid", "severity": "severity", "status": "status"}
_LISTS = {"device_uuids": "deviceUuids", "tags": "tags"}
_FIELD = rf"incident\.({'|'.join((*_TIMES, *_TEXTS, *_LISTS))})"
_STRING = r"\"[^\"\\]*\"|'[^'\\]*'"
_TIMESTAMP = re.compile(rf"timestamp\(\s*({_STRING})\s*\)")
_CLAUSES = {
    "compare": re.compile(rf"{_FIELD}\s*(==|!=|<=|>=)\s*(.+)"),
    "one of": re.compile(rf"{_FIELD}\s+in\s+\[(.*)\]"),
    "element": re.compile(rf"({_STRING})\s+in\s+{_FIELD}"),
    "contains": re.compile(rf"{_FIELD}\.contains\(\s*({_STRING})\s*\)"),
    "has": re.compile(rf"has\(\s*{_FIELD}\s*\)"),
    "size": re.compile(rf"size\(\s*{_FIELD}\s*\)\s*(==|!=|<=|>=)\s*(\d+)"),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
}
_WORD = re.compile(r"[A-Z_]+")

Test = Callable[[State], bool]


def read_filter(text: str) -> Test:
    """Whether a state passes the filter.

    Raises:
        Refused: 400, it is too long or not in the documented language.
    """
    if len(text) > MAX_FILTER:
        raise Refused(400, "filter too long", "filter over 200 characters")
    tests = [_clause(part.strip(), text) for part in _conjunction(text)]
    return lambda state: all(test(state) for test in tests)


def read_order(text: str) -> Callable[[list[tuple[Incident, State]]], None]:
    """Sorts states by `create_time` and `update_time`, ascending unless ` desc` follows, several with commas between.

    Raises:
        Refused: 400, it is too long or names something else.
    """
    keys: list[tuple[str, bool]] = []
    for part in text.split(","):
        match part.split():
            case [("create_time" | "update_time") as name]:
                keys.append((name, False))
            case [("create_time" | "update_time") as name, ("asc" | "desc") as direction]:
                keys.append((name, direction == "desc"))
            case _:
                raise _unreadable("orderBy", text)
    if len(text) > MAX_ORDER:
        raise _unreadable("orderBy", text)

    def sort(found: list[tuple[Incident, State]]) -> None:
        for name, descending in reversed(keys):
            moment = operator.attrgetter(_TIMES[name])
            found.sort(key=lambda pair: moment(pair[1]) or 0, reverse=descending)

    return sort


def _conjunction(text: str) -> list[str]:
    parts, current, quote = [], "", ""
    index = 0
    while index < len(text):
        character = text[index]
        if not quote and text.startswith("&&", index):
            parts.append(current)
            current = ""
            index += 2
            continue
        if character in "\"'" and quote in {"", character}:
            quote = "" if quote else character
        current += character
        index += 1
    return [*parts, current]


def _clause(clause: str, whole: str) -> Test:
    for kind, pattern in _CLAUSES.items():
        match = pattern.fullmatch(clause)
        if match is not None:
            return _READERS[kind](match, whole)
    raise _unreadable("filter", whole)


def _compare(match: re.Match[str], whole: str) -> Test:
    field, sign, value = match.groups()
    if field in {"status", "severity"} and sign != "==":
        raise _unreadable("filter", whole)
    if field in _TIMES:
        moment_us = _timestamp(value, whole)
        # A time that is not written compares as nothing does.
        return lambda state: (ms := getattr(state, _TIMES[field])) is not None and _COMPARE[sign](ms * 1000, moment_us)
    if field in _LISTS:
        raise _unreadable("filter", whole)
    text = _text(value, whole, field)
    return lambda state: _COMPARE[sign](state.fields.get(_TEXTS[field], ""), text)


def _one_of(match: re.Match[str], whole: str) -> Test:
    field, values = match.groups()
    if field not in _TEXTS:
        raise _unreadable("filter", whole)
    allowed = {_text(value.strip(), whole, field) for value in values.split(",")}
    return lambda state: state.fields.get(_TEXTS[field], "") in allowed


def _element(match: re.Match[str], whole: str) -> Test:
    value, field = match.groups()
    if field not in _LISTS:
        raise _unreadable("filter", whole)
    return lambda state: value[1:-1] in state.fields.get(_LISTS[field], [])


def _contains(match: re.Match[str], whole: str) -> Test:
    field, value = match.groups()
    if field in _LISTS:
        return lambda state: value[1:-1] in state.fields.get(_LISTS[field], [])
    if field in {"display_name", "assignee_uuid"}:
        return lambda state: value[1:-1] in state.fields.get(_TEXTS[field], "")
    raise _unreadable("filter", whole)


def _has(match: re.Match[str], _: str) -> Test:
    field = match[1]
    if field in _TIMES:
        return lambda state: getattr(state, _TIMES[field]) is not None
    name = (_TEXTS | _LISTS)[field]
    return lambda state: bool(state.fields.get(name))


def _size(match: re.Match[str], whole: str) -> Test:
    field, sign, number = match.groups()
    if field not in _LISTS:
        raise _unreadable("filter", whole)
    return lambda state: _COMPARE[sign](len(state.fields.get(_LISTS[field], [])), int(number))


_READERS = {
    "compare": _compare,
    "one of": _one_of,
    "element": _element,
    "contains": _contains,
    "has": _has,
    "size": _size,
}


def _timestamp(text: str, whole: str) -> int:
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        raise _unreadable("filter", whole)
    try:
        return parse_us(match[1][1:-1])
    except ValueError as exc:
        raise _unreadable("filter", whole) from exc


def _text(value: str, whole: str, field: str) -> str:
    if re.fullmatch(_STRING, value):
        return value[1:-1]
    if field in {"status", "severity"} and _WORD.fullmatch(value):
        return value
    raise _unreadable("filter", whole)


def _unreadable(name: str, text: str) -> Refused:
    return Refused(
        400, f"unreadable {name}", f"{name} that is not in the documented language", details={name: text[:250]}
    )
