"""The incidents of all accounts, their changes, and which of their states were visible when."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from random import Random
from typing import Any

from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.incident import Incident, State, make_state
from collector.simulator.vendor_time import VendorClock, parse_us, rfc3339, to_ms

_NAMESPACE = uuid.UUID("2f6d7a10-0000-4000-8000-000000016c1d")
_STATUSES = ("OPEN", "IN_PROGRESS", "WAITING_FOR_INPUT", "CLOSED")
_SEVERITIES = ("LOW", "MEDIUM", "HIGH")
_NAMES = ("Suspicious script on ws-fin-31", "Credential dumping | lsass = read", "Ransomware, möglicherweise")
_TEXTS = ("looked at it", "false alarm?\nsee ticket", "uživatel potvrdil | = \\")


class Incidents:
    """Incidents by uuid; a change may be set for later, and is one more state from then on.

    A state becomes visible up to `lag_ms` after the updateTime it carries. updateTime moves with every change, unless
    `moves` is off: then it stays where it was although the content is another.
    """

    lag_ms = 800

    def __init__(self, time: VendorClock, rng: Random) -> None:
        self.incidents: dict[str, Incident] = {}
        self._time = time
        self._rng = rng
        self._accounts: dict[str, EsetAccount] = {}
        self._devices: dict[str, list[str]] = {}

    def add_account(self, account: EsetAccount, devices: list[str]) -> None:
        """One more account that has incidents."""
        self._accounts[account.username] = account
        self._devices[account.username] = devices

    def open(
        self,
        username: str | None = None,
        *,
        at: datetime | None = None,
        after_seconds: float = 0.0,
        without_update_time: bool = False,
        **fields: Any,
    ) -> str:
        """A new incident, created `at` or now plus `after_seconds`, of the first account unless said; its uuid.

        `fields` overwrite what the single get shows. `without_update_time`: updateTime stays empty until it changes.
        """
        name = username or next(iter(self._accounts))
        rng = self._rng
        create_ms = (self._time.now_ms() if at is None else to_ms(at)) + round(after_seconds * 1000)
        written = self._written(create_ms)
        key = str(uuid.uuid5(_NAMESPACE, f"{name}:{len(self.incidents)}:{rng.getrandbits(64)}"))
        devices = rng.sample(self._devices[name], rng.randint(1, 3))
        content: dict[str, Any] = {
            "uuid": key,
            "displayName": rng.choice(_NAMES),
            "description": "",
            "status": "INCIDENT_STATUS_OPEN",
            "severity": f"INCIDENT_SEVERITY_LEVEL_{rng.choice(_SEVERITIES)}",
            "resolveReason": "INCIDENT_RESOLVE_REASON_UNSPECIFIED",
            "assigneeUuid": "",
            "createTime": written,
            "updateTime": "" if without_update_time else written,
            "triageDuration": "0s",
            "detectionUuids": [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(rng.randint(1, 3))],
            "deviceUuids": devices,
            "tags": ["finance"] if rng.random() < 0.2 else [],
            "metrics": {"deviceCount": len(devices), "executableCount": 2, "processCount": 4},
            **fields,
        }
        incident = self.incidents[key] = Incident(key, name)
        self._push(incident, create_ms + self._lag(), content, ())
        return key

    def change(self, key: str, *, after_seconds: float = 0.0, moves: bool = True, **fields: Any) -> None:
        """From `after_seconds` on these fields of the single get are so.

        Raises:
            KeyError: there is no such incident.
        """
        incident = self.incidents[key]
        last = incident.states[-1]
        self._follow(incident, {**last.fields, **fields}, last.comments, after_seconds, moves=moves)

    def comment(
        self, key: str, text: str, *, after_seconds: float = 0.0, moves: bool = True, final: bool = False
    ) -> None:
        """Someone writes a comment; with `moves` off updateTime does not tell."""
        incident = self.incidents[key]
        last = incident.states[-1]
        at = rfc3339(self._time.now_ms() + round(after_seconds * 1000))
        comment = {
            "uuid": f"k-{key[:8]}-{len(last.comments) + 1}",
            "incidentUuid": key,
            "authorUuid": "u-12",
            "text": text,
            "createTime": at,
            "updateTime": at,
            "isFinalComment": final,
        }
        self._follow(incident, last.fields, (*last.comments, comment), after_seconds, moves=moves)

    def join(
        self,
        key: str,
        detection_uuid: str,
        device_uuid: str | None = None,
        *,
        after_seconds: float = 0.0,
        moves: bool = False,
    ) -> None:
        """One more detection, of a new device perhaps, belongs to the incident; updateTime stays unless `moves`."""
        fields = self.incidents[key].states[-1].fields
        more: dict[str, Any] = {"detectionUuids": [*fields["detectionUuids"], detection_uuid]}
        if device_uuid is not None:
            more["deviceUuids"] = [*fields["deviceUuids"], device_uuid]
        self.change(key, after_seconds=after_seconds, moves=moves, **more)

    def fill(self, count: int, start: datetime, end: datetime) -> list[str]:
        """Incidents created in [start, end), of all accounts in turn; their uuids."""
        width = (end - start).total_seconds()
        names = list(self._accounts)
        offsets = sorted(self._rng.random() * width for _ in range(count))
        return [
            self.open(names[number % len(names)], at=start, after_seconds=offset)
            for number, offset in enumerate(offsets)
        ]

    def stir(self, count: int, within_seconds: float, *, unmoved: float = 0.1, twice: float = 0.2) -> None:
        """`count` seeded changes of known incidents within the next seconds.

        A share `unmoved` leaves updateTime where it was; a share `twice` is followed by another within 50 ms.
        """
        keys = list(self.incidents)
        for after in sorted(self._rng.random() * within_seconds for _ in range(count)):
            key = self._rng.choice(keys)
            self._change_somehow(key, after, moves=self._rng.random() >= unmoved)
            if self._rng.random() < twice:
                self._change_somehow(key, after + 0.05 * self._rng.random(), moves=True)

    def of(self, username: str) -> Iterator[tuple[Incident, State]]:
        """The incidents an account can find at this moment, with their states."""
        now_ms = self._time.now_ms()
        for incident in list(self.incidents.values()):
            state = incident.at(now_ms) if incident.username == username else None
            if state is not None:
                yield incident, state

    def find(self, username: str, key: str) -> tuple[Incident, State] | None:
        """One incident of an account with its state, None where there is none at this moment."""
        incident = self.incidents.get(key)
        state = None if incident is None or incident.username != username else incident.at(self._time.now_ms())
        return None if incident is None or state is None else (incident, state)

    def report(self, usernames: Iterable[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """Every state visible by now, oldest first, by the incident's uuid: of those users or of all.

        Times are RFC 3339, vendor time; `until` is None for the last; `raw` is the inner object of the single get;
        `read`: a whole answer of the single get showed this state.
        """
        now_ms = self._time.now_ms()
        wanted = None if usernames is None else frozenset(usernames)
        report: dict[str, list[dict[str, Any]]] = {}
        for incident in list(self.incidents.values()):
            if wanted is not None and incident.username not in wanted:
                continue
            states = [state for state in incident.states if state.from_ms <= now_ms]
            ends: list[int | None] = [*(state.from_ms for state in states[1:]), None]
            if states:
                report[incident.key] = [
                    {
                        "from": rfc3339(state.from_ms),
                        "until": None if end is None else rfc3339(end),
                        "update_time": state.fields["updateTime"],
                        "raw": state.raw,
                        "comments": [comment["uuid"] for comment in state.comments],
                        "read": place in incident.read,
                    }
                    for place, (state, end) in enumerate(zip(states, ends, strict=True))
                ]
        return report

    @property
    def pending(self) -> int:
        """How many states are still to become visible."""
        now_ms = self._time.now_ms()
        return sum(state.from_ms > now_ms for each in self.incidents.values() for state in each.states)

    def _change_somehow(self, key: str, after_seconds: float, *, moves: bool) -> None:
        rng = self._rng
        if not moves:
            self.join(key, str(uuid.UUID(int=rng.getrandbits(128), version=4)), after_seconds=after_seconds)
            return
        match rng.randrange(4):
            case 0:
                status = rng.choice(_STATUSES)
                reason = "TRUE_POSITIVE" if status == "CLOSED" else "UNSPECIFIED"
                self.change(
                    key,
                    after_seconds=after_seconds,
                    status=f"INCIDENT_STATUS_{status}",
                    resolveReason=f"INCIDENT_RESOLVE_REASON_{reason}",
                )
            case 1:
                severity = f"INCIDENT_SEVERITY_LEVEL_{rng.choice(_SEVERITIES)}"
                self.change(key, after_seconds=after_seconds, severity=severity)
            case 2:
                self.change(key, after_seconds=after_seconds, assigneeUuid=f"u-{rng.randrange(20)}")
            case _:
                self.comment(key, rng.choice(_TEXTS), after_seconds=after_seconds)

    def _follow(
        self,
        incident: Incident,
        fields: Mapping[str, Any],
        comments: tuple[Mapping[str, Any], ...],
        after_seconds: float,
        *,
        moves: bool,
    ) -> None:
        """One more state, never before the last one there is, nor with an earlier updateTime."""
        at_ms = self._time.now_ms() + round(after_seconds * 1000)
        last = incident.states[-1]
        written = self._written(max(at_ms, last.update_ms or 0))
        if moves and (last.update_ms is None or parse_us(written) // 1000 > last.update_ms):
            fields = {**fields, "updateTime": written}
        from_ms = max(at_ms + self._lag(), last.from_ms + 1)
        self._push(incident, from_ms, fields, comments)

    def _push(
        self,
        incident: Incident,
        from_ms: int,
        fields: Mapping[str, Any],
        comments: tuple[Mapping[str, Any], ...],
    ) -> None:
        update = fields["updateTime"]
        times = (parse_us(fields["createTime"]) // 1000, parse_us(update) // 1000 if update else None)
        bare = incident.key[0] in "01234567"
        incident.states.append(make_state(from_ms, times, fields, comments, bare=bare))

    def _written(self, ms: int) -> str:
        return rfc3339(ms // 1000 * 1000 if self._rng.random() < 0.2 else ms, fraction=False)

    def _lag(self) -> int:
        return self._rng.randint(0, self.lag_ms)
