"""The simulated vendor's incidents, which live: they change, win detections, go into one another.

Every state is kept with the times it was shown; a query finds the newest that is visible, as an index does that holds
one document per incident. Live changes are made when somebody looks, as live events are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from threading import RLock
from typing import Any

import orjson

from collector.clock import Clock
from collector.simulator import incident_shapes as shapes
from collector.simulator.accounts import Account, Organization
from collector.simulator.shelf import Shelf
from collector.simulator.vendor_event import VendorEvent
from collector.simulator.vendor_time import VendorClock, rfc3339, to_ms


@dataclass(slots=True)
class Incident:
    """One incident with all its `states`, the first first, and the `detections` it lists, by their ids."""

    document: dict[str, Any]
    organization_id: str
    created_ms: int
    states: list[VendorEvent] = field(default_factory=list)
    detections: dict[str, VendorEvent] = field(default_factory=dict)
    created: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Shelves:
    updated: Shelf = field(default_factory=Shelf)
    created: Shelf = field(default_factory=Shelf)


class Incidents:
    """All of them. `unlicensed`, `without_detections`: client ids that get 403 for both endpoints, for the second."""

    def __init__(self, time: VendorClock, clock: Clock, seed: int) -> None:
        self.unlicensed: set[str] = set()
        self.without_detections: set[str] = set()
        self.served_times: Counter[bytes] = Counter()
        self._time = time
        self._clock = clock
        self._rng = Random(f"incidents:{seed}")
        self._incidents: dict[str, Incident] = {}
        self._shelves: dict[str, _Shelves] = {}
        self._viewers: dict[str, list[_Shelves]] = {}
        self._organizations: dict[str, Organization] = {}
        self._changing = RLock()
        self._rate = 0.0
        self._left: int | None = None
        self._looked = 0.0

    def admit(self, account: Account) -> None:
        """Let one more credential in; it sees the incidents that are opened from now on."""
        shelves = self._shelves[account.client_id] = _Shelves()
        for organization in account.organizations:
            self._organizations.setdefault(organization.id, organization)
            self._viewers.setdefault(organization.id, []).append(shelves)

    def open(
        self, count: int, start: datetime, end: datetime, *, detections: int = 2, organization_id: str | None = None
    ) -> list[str]:
        """New incidents, created and last updated between those times, each with so many detections; their ids."""
        first, last = to_ms(start), to_ms(end)
        times = sorted(first + int(self._rng.random() * max(1, last - first)) for _ in range(count))
        with self._changing:
            return [self._open(at_ms, detections, organization_id) for at_ms in times]

    def change(
        self,
        incident_id: str,
        at: datetime | None = None,
        *,
        visible_at: datetime | None = None,
        move: bool = True,
        **to: Any,
    ) -> None:
        """Change fields of an incident at a time (now); `move` false leaves its updatedTimestamp as it was.

        Raises:
            KeyError: there is no such incident.
        """
        with self._changing:
            at_ms = self._time.now_ms() if at is None else to_ms(at)
            self._change(
                self._incidents[incident_id], at_ms, to, None if visible_at is None else to_ms(visible_at), move=move
            )

    def detect(
        self, incident_id: str, count: int = 1, at: datetime | None = None, *, move: bool = True, size: int = 0
    ) -> list[str]:
        """Let an incident win detections at a time (now), each with `size` bytes of script; their ids.

        Raises:
            KeyError: there is no such incident.
        """
        with self._changing:
            incident = self._incidents[incident_id]
            at_ms = self._time.now_ms() if at is None else to_ms(at)
            ids = [self._detect(incident, at_ms, size) for _ in range(count)]
            if move:
                self._change(incident, at_ms, {}, None, move=True)
            return ids

    def show(self, key: str, raw: bytes, at: datetime, organization_id: str) -> None:
        """One more incident, its only state written by hand; `key` is its id, or our own name where it has none."""
        at_ms = to_ms(at)
        with self._changing:
            incident = self._incidents[key] = Incident({}, organization_id, at_ms)
            state = replace(self._event({"key": key}, "key", organization_id, at_ms, at_ms), raw=raw)
            incident.states.append(state)
            for shelves in self._viewers[organization_id]:
                shelves.updated.put(state)
                shelves.created.put(state)

    def merge(self, incident_id: str, into: str, at: datetime | None = None) -> None:
        """Close an incident as merged; the other lists its detections too.

        Raises:
            KeyError: there is no such incident.
        """
        with self._changing:
            at_ms = self._time.now_ms() if at is None else to_ms(at)
            source, target = self._incidents[incident_id], self._incidents[into]
            target.detections.update(source.detections)
            target.created.update(source.created)
            self._change(source, at_ms, {"status": "closed", "resolution": "merged"}, None, move=True)
            self._change(target, at_ms, {}, None, move=True)

    def live(self, rate: float, limit: int | None = None) -> None:
        """From now on so many things happen a second: an incident opens, changes (twice at times), wins a detection."""
        with self._changing:
            self._rate, self._left, self._looked = rate, limit, self._clock.monotonic()

    def shelf(self, account: Account, *, by_created: bool = False) -> Shelf:
        """What this credential sees at this moment, in order of the last change or of creation."""
        self.catch_up()
        shelves = self._shelves[account.client_id]
        shelf = shelves.created if by_created else shelves.updated
        shelf.reveal(self._time.now_ms())
        return shelf

    def get(self, incident_id: str) -> Incident | None:
        """One incident."""
        return self._incidents.get(incident_id)

    def served(self, events: Iterable[VendorEvent]) -> None:
        """Note that states or detections stand in an answer that goes out whole."""
        self.served_times.update(event.raw for event in events)

    def report(self, organization_ids: frozenset[str] | None = None) -> dict[str, dict[str, Any]]:
        """Every incident visible by now: its states and detections with how often each was served.

        `{organization_id, states: [{updated, status, risk, resolution, visible_at, times, raw}], detections: {id:
        {times, raw}}}`; times of states are RFC 3339, vendor time.
        """
        self.catch_up()
        now_ms = self._time.now_ms()
        with self._changing:
            return {
                key: self._entry(incident, now_ms)
                for key, incident in self._incidents.items()
                if incident.states[0].visible_ms <= now_ms
                and (organization_ids is None or incident.organization_id in organization_ids)
            }

    def catch_up(self) -> None:
        """Make the live changes that are due."""
        with self._changing:
            now = self._clock.monotonic()
            due = int(self._rate * (now - self._looked))
            if due <= 0:
                return
            self._looked = now
            if self._left is not None:
                due = min(due, self._left)
                self._left -= due
            for _ in range(due):
                self._happen(self._time.now_ms())

    def _happen(self, at_ms: int) -> None:
        open_ones = [each for each in self._incidents.values() if each.document["status"] != "closed"]
        lot = self._rng.random()
        if lot < 0.4 or not open_ones:
            self._open(at_ms, self._rng.randint(1, 3), None)
            return
        incident = self._rng.choice(open_ones)
        # Of two things that are due at once the later one is the later state.
        at_ms = max(at_ms, incident.states[-1].visible_ms + 1)
        if lot < 0.6:
            self._detect(incident, at_ms, 0)
        self._change(incident, at_ms, {"status": self._rng.choice(shapes.STATUSES)}, None, move=True)
        if lot > 0.8:  # once more within the same poll
            self._change(incident, at_ms + 1, {"riskLevel": self._rng.choice(shapes.RISKS)}, None, move=True)

    def _open(self, at_ms: int, detections: int, organization_id: str | None) -> str:
        organization = self._organizations[organization_id or self._rng.choice(list(self._organizations))]
        number = len(self._incidents) + 1
        document = shapes.incident(self._rng, number, organization, at_ms)
        incident = self._incidents[document["incidentId"]] = Incident(document, organization.id, at_ms)
        for _ in range(detections):
            self._detect(incident, at_ms, 0)
        self._change(incident, at_ms, {}, None, move=True)
        return str(document["incidentId"])

    def _change(
        self, incident: Incident, at_ms: int, to: dict[str, Any], visible_ms: int | None, *, move: bool
    ) -> None:
        incident.document.update(to)
        if move:
            incident.document["updatedTimestamp"] = rfc3339(at_ms)
        stamp_ms = at_ms if move else incident.states[-1].stamp_ms
        state = self._event(
            incident.document,
            "incidentId",
            incident.organization_id,
            stamp_ms,
            at_ms if visible_ms is None else visible_ms,
        )
        incident.states.append(state)
        for shelves in self._viewers[incident.organization_id]:
            shelves.updated.put(state)
            shelves.created.put(replace(state, stamp_ms=incident.created_ms))

    def _detect(self, incident: Incident, at_ms: int, size: int) -> str:
        document = shapes.detection(self._rng, incident.document["incidentId"], at_ms, size)
        # No order is documented: they come in one that says nothing.
        event = self._event(document, "detectionId", incident.organization_id, self._rng.getrandbits(40), at_ms)
        incident.detections[event.key] = event
        incident.created[event.key] = at_ms
        return event.key

    def _event(
        self, document: dict[str, Any], name: str, organization_id: str, stamp_ms: int, visible_ms: int
    ) -> VendorEvent:
        return VendorEvent(
            key=document[name],
            organization_id=organization_id,
            engine="",
            group="",
            severity="",
            target_id="",
            stamp_ms=stamp_ms,
            visible_ms=visible_ms,
            raw=orjson.dumps(document),
        )

    def _entry(self, incident: Incident, now_ms: int) -> dict[str, Any]:
        states = [state for state in incident.states if state.visible_ms <= now_ms]
        return {
            "organization_id": incident.organization_id,
            "states": [self._state(state) for state in states],
            "detections": {
                key: {"times": self.served_times[event.raw], "raw": event.raw}
                for key, event in incident.detections.items()
                if event.visible_ms <= now_ms
            },
        }

    def _state(self, state: VendorEvent) -> dict[str, Any]:
        document = orjson.loads(state.raw)
        return {
            "updated": document["updatedTimestamp"],
            "status": document["status"],
            "risk": document["riskLevel"],
            "resolution": document["resolution"],
            "visible_at": rfc3339(state.visible_ms),
            "times": self.served_times[state.raw],
            "raw": state.raw,
        }
