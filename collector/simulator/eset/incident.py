"""One incident as the simulated vendor holds it: every state it ever had, each from a moment on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What an incident is from `from_ms` (vendor time) until its next state.

    `fields` is the inner object of the single get, `raw` its bytes, `item` the bytes of the list's item, which lacks
    the uuids of devices and detections. Times are those that are written in it: whole seconds where it shows such.
    """

    from_ms: int
    create_ms: int
    update_ms: int | None
    fields: Mapping[str, Any]
    comments: tuple[Mapping[str, Any], ...]
    raw: bytes
    item: bytes


@dataclass(slots=True, eq=False)
class Incident:
    """One incident of one account. `read` holds the places in `states` that a single get showed in a whole answer."""

    key: str
    username: str
    states: list[State] = field(default_factory=list)
    read: set[int] = field(default_factory=set)

    def at(self, now_ms: int) -> State | None:
        """Its state at that moment, None before it is visible."""
        found = None
        for state in self.states:
            if state.from_ms > now_ms:
                break
            found = state
        return found


def make_state(
    from_ms: int,
    times: tuple[int, int | None],
    fields: Mapping[str, Any],
    comments: tuple[Mapping[str, Any], ...],
    *,
    bare: bool,
) -> State:
    """A state with its bytes; `bare`: the list's items lack the keys of uuids, else these are empty lists."""
    item = {name: value for name, value in fields.items() if name not in {"detectionUuids", "deviceUuids"}}
    if not bare:
        item |= {"detectionUuids": [], "deviceUuids": []}
    return State(from_ms, *times, dict(fields), comments, orjson.dumps(fields), orjson.dumps(item))
