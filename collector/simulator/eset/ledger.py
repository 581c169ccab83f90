"""What the simulated vendor showed of its detections: the oracle that a delivery is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from collector.simulator.eset.detection import Detection
from collector.simulator.vendor_time import rfc3339

Findable = Callable[[Detection], bool]


@dataclass(slots=True)
class _Entry:
    states: list[Detection]
    first_served_ms: int | None = None
    first_raw: bytes | None = None
    times: int = 0
    by_user: Counter[str] = field(default_factory=Counter)


class DetectionLedger:
    """Every detection ever put at the vendor's, by uuid. Only answers sent whole count as served."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def add(self, detection: Detection) -> None:
        """Enter a detection, or one more state of one already entered."""
        entry = self._entries.get(detection.key)
        if entry is None:
            self._entries[detection.key] = _Entry([detection])
        else:
            entry.states.append(detection)

    def newest(self, key: str) -> Detection:
        """The last state of a detection.

        Raises:
            KeyError: there is no such detection.
        """
        return self._entries[key].states[-1]

    def served(self, shown: Iterable[tuple[str, bytes]], username: str, now_ms: int) -> None:
        """Note that these (uuid, bytes) stand in an answer that goes out whole."""
        for key, raw in shown:
            entry = self._entries[key]
            entry.times += 1
            entry.by_user[username] += 1
            if entry.first_raw is None:
                entry.first_raw, entry.first_served_ms = raw, now_ms

    def counts(self, now_ms: int, findable: Findable) -> dict[str, int]:
        """How many detections there are, are visible by `now_ms`, were served of those; records served in all."""
        entries = [entry for entry in list(self._entries.values()) if findable(entry.states[0])]
        visible = [entry for entry in entries if entry.states[0].visible_ms <= now_ms]
        served = [entry.times for entry in visible if entry.times]
        return {"known": len(entries), "visible": len(visible), "served": len(served), "items": sum(served)}

    def report(
        self, now_ms: int, findable: Findable, usernames: frozenset[str] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Uuid and history of each detection that one could find by `now_ms`, of those users or of all.

        `raw` is what was first served; `versions` are the bytes of every state visible by now, in v1 and in v2: a
        reader of the API may have got any of them first. Times are RFC 3339, vendor time.
        """
        for key, entry in list(self._entries.items()):
            visible = [state for state in entry.states if state.visible_ms <= now_ms]
            if (
                not visible
                or not findable(visible[0])
                or (usernames is not None and visible[0].username not in usernames)
            ):
                continue
            first, served_ms = visible[0], entry.first_served_ms
            yield (
                key,
                {
                    "organization_id": first.username,
                    "stamp": rfc3339(first.occur_ms),
                    "visible_at": rfc3339(first.visible_ms),
                    "first_served_at": None if served_ms is None else rfc3339(served_ms),
                    "times": entry.times,
                    "by_client": dict(entry.by_user),
                    "raw": entry.first_raw or first.bodies[0],
                    "versions": [raw for state in visible for raw in state.bodies],
                    "traits": list(first.traits),
                },
            )
