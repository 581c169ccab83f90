"""What the simulated vendor showed to whom: the oracle that a delivery is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from collector.simulator.vendor_event import VendorEvent, canonical_sha256
from collector.simulator.vendor_time import rfc3339


@dataclass(slots=True)
class Entry:
    """One event's history. `versions` are all its states, the first first; `first_raw` the bytes first served."""

    versions: list[VendorEvent]
    first_served_ms: int | None = None
    first_raw: bytes | None = None
    times: int = 0
    by_client: Counter[str] = field(default_factory=Counter)


class Ledger:
    """Every event ever put at the vendor's, by id. Only answers sent whole count as served."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add(self, event: VendorEvent) -> None:
        """Enter an event, or one more version of an event already entered."""
        entry = self._entries.get(event.key)
        if entry is None:
            self._entries[event.key] = Entry([event])
        else:
            entry.versions.append(event)

    def served(self, events: Iterable[VendorEvent], client_id: str, now_ms: int) -> None:
        """Note that `events` stand in an answer that goes out whole."""
        for event in events:
            entry = self._entries[event.key]
            entry.times += 1
            entry.by_client[client_id] += 1
            if entry.first_raw is None:
                entry.first_raw = event.raw
                entry.first_served_ms = now_ms

    def newest(self, key: str) -> VendorEvent:
        """The last version of an event.

        Raises:
            KeyError: there is no such event.
        """
        return self._entries[key].versions[-1]

    def counts(self, now_ms: int) -> dict[str, int]:
        """How many events there are, are visible by `now_ms`, were served of those; answers' items in all."""
        visible = [entry for entry in list(self._entries.values()) if entry.versions[0].visible_ms <= now_ms]
        served = [entry.times for entry in visible if entry.times]
        return {"known": len(self._entries), "visible": len(visible), "served": len(served), "items": sum(served)}

    def report(
        self, now_ms: int, organization_ids: frozenset[str] | None = None, *, hashes: bool = True
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Id and history of each event visible by `now_ms`, of those organizations or of all.

        `raw` is what was first served, or the first version where none was; `versions` are the bytes of every
        version visible by now: a reader of the API may have got any of them first. `sha256` names the content less
        the fields that may change; making it takes long, so it may be left out. Times are RFC 3339, vendor time.
        """
        for key, entry in list(self._entries.items()):
            visible = [event for event in entry.versions if event.visible_ms <= now_ms]
            if not visible or (organization_ids is not None and visible[0].organization_id not in organization_ids):
                continue
            first = visible[0]
            raw = entry.first_raw or first.raw
            yield (
                key,
                {
                    "organization_id": first.organization_id,
                    "stamp": rfc3339(first.stamp_ms),
                    "visible_at": rfc3339(first.visible_ms),
                    "first_served_at": None if entry.first_served_ms is None else rfc3339(entry.first_served_ms),
                    "times": entry.times,
                    "by_client": dict(entry.by_client),
                    **({"sha256": canonical_sha256(raw)} if hashes else {}),
                    "raw": raw,
                    "versions": [event.raw for event in visible],
                    "traits": list(first.traits),
                },
            )
