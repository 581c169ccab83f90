"""Compares delivered incidents and detections with what the vendor showed.

The promise: every state that a poll saw, once, and always the last one; every detection once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from collector.simulator.oracle import Verdict

State = tuple[str, str, str, str, str]


class _Envelope(msgspec.Struct):
    id: str
    kind: str
    raw: msgspec.Raw


_decoder = msgspec.json.Decoder(_Envelope)


def judge_incidents(report: Mapping[str, Mapping[str, Any]], lines: Iterable[tuple[Path, bytes]]) -> Verdict:
    """Compare lines of the `json` format, of the feed `incidents` alone, with `Incidents.report`.

    Names in the verdict are a detection's id, or a state as `incident@updated status risk resolution`.
    """
    verdict = Verdict()
    states: Counter[State] = Counter()
    detections: Counter[str] = Counter()
    shown = {bytes(each["raw"]) for entry in report.values() for each in entry["states"]}
    members = {key: bytes(each["raw"]) for entry in report.values() for key, each in entry["detections"].items()}
    for path, line in lines:
        try:
            event = _decoder.decode(line)
        except msgspec.MsgspecError:
            verdict.torn.append(f"{path}: {line[:80]!r}")
            continue
        verdict.events += 1
        if event.kind == "detection":
            detections[event.id] += 1
            _compare(verdict, event.id, bytes(event.raw), members.get(event.id))
        else:
            states[_state(event.id, msgspec.json.decode(event.raw))] += 1
            _compare(verdict, event.id, bytes(event.raw), bytes(event.raw) if bytes(event.raw) in shown else None)
    verdict.missing = [_name(state) for state in _expected(report) if not states[state]]
    verdict.missing += [key for key in members if not detections[key]]
    verdict.doubled = [_name(state) for state, times in states.items() if times > 1]
    verdict.doubled += [key for key, times in detections.items() if times > 1]
    return verdict


def _compare(verdict: Verdict, name: str, raw: bytes, shown: bytes | None) -> None:
    if shown is None:
        verdict.strange.append(name)
    elif raw != shown:
        verdict.altered.append(name)


def _expected(report: Mapping[str, Mapping[str, Any]]) -> dict[State, None]:
    """The states that were served, and every incident's last."""
    expected: dict[State, None] = {}
    for key, entry in report.items():
        for each in entry["states"]:
            if each["times"] or each is entry["states"][-1]:
                expected[_state(key, msgspec.json.decode(each["raw"]))] = None
    return expected


def _state(key: str, document: Mapping[str, Any]) -> State:
    names = ("updatedTimestamp", "status", "riskLevel", "resolution")
    updated, status, risk, resolution = (str(document.get(name)) for name in names)
    return key, updated, status, risk, resolution


def _name(state: State) -> str:
    return f"{state[0]}@{' '.join(state[1:])}"
