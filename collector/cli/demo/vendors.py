"""The vendors of the demo on a bad day: who has an account, what is there, what happens, and who got it all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collector.simulator import BAD_DAY, Account, Drip, Mix, Organization, WithSecureSimulator
from collector.simulator.eset import BAD_DAY as ESET_BAD_DAY
from collector.simulator.eset import DetectionDrip, DetectionMix, EsetAccount, EsetSimulator
from collector.simulator.oracle import Verdict, judge, of_feed, read_lines
from collector.simulator.state_oracle import judge_states

TENANTS = ("acme", "globex")
STRANGER = "initech"
"""A tenant whose credentials no vendor knows."""

LIVE_SECONDS = 12.0
TIE = 300
_LIVE_RATE = 12.0
_LIVE_EVENTS = round(_LIVE_RATE * LIVE_SECONDS)
_INCIDENTS, _CHANGES = 12, 30
_WITHSECURE_SHARE = 0.4  # its rate limit is what takes the time
_LATE_SECONDS = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class BaseUrls:
    """Where the vendors listen."""

    withsecure: str
    eset: str


class Vendors:
    """Both of them, with events and incidents that wait, and live ones for `LIVE_SECONDS`."""

    def __init__(self, events: int) -> None:
        now = datetime.now(UTC)
        begin, end, tied = now - timedelta(hours=12), now - timedelta(minutes=10), now - timedelta(hours=1)
        share = round(events * _WITHSECURE_SHARE)
        self.withsecure = WithSecureSimulator([_account(name) for name in TENANTS])
        self.withsecure.cloud.fill(share, begin, end)
        self.withsecure.cloud.tie(TIE, tied)
        self.withsecure.cloud.incidents.open(_INCIDENTS, begin, end)
        self.withsecure.faults.switch_on_all(BAD_DAY)
        self.eset = EsetSimulator([api_user(name) for name in TENANTS])
        self.eset.cloud.fill(events - share, begin, end)
        self.eset.cloud.tie(TIE, tied)
        self.eset.incidents.fill(_INCIDENTS, begin, end)
        self.eset.faults.switch_on_all(ESET_BAD_DAY)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[BaseUrls]:
        """Listen until the context ends."""
        async with self.withsecure.serve() as withsecure, self.eset.serve() as eset:
            yield BaseUrls(withsecure, eset)

    def go_live(self) -> None:
        """From now on things happen: events, some of them late, and incidents that change."""
        late = Mix(late=0.1, late_seconds=_LATE_SECONDS)
        again = Drip(_LIVE_RATE, limit=_LIVE_EVENTS, again=0.05, again_seconds=(1.0, 5.0), mix=late)
        self.withsecure.cloud.drip(again)
        self.withsecure.cloud.incidents.live(1.0, round(LIVE_SECONDS))
        self.eset.cloud.drip(
            DetectionDrip(_LIVE_RATE, limit=_LIVE_EVENTS, mix=DetectionMix(late=0.1, late_seconds=_LATE_SECONDS))
        )
        self.eset.incidents.stir(_CHANGES, LIVE_SECONDS)

    def stay_live(self) -> None:
        """One event a second of each vendor, without end."""
        self.withsecure.cloud.drip(Drip(1.0, again=0.05))
        self.eset.cloud.drip(DetectionDrip(1.0))

    @property
    def secrets(self) -> Mapping[str, str]:
        """The passwords that the tenants have, by what they are called in the environment; the stranger's are wrong."""
        secrets = {f"{STRANGER.upper()}_{vendor}": "made-up" for vendor in ("WITHSECURE", "ESET")}
        for name in TENANTS:
            secrets[f"{name.upper()}_WITHSECURE"] = _account(name).client_secret
            secrets[f"{name.upper()}_ESET"] = api_user(name).password
        return secrets

    @property
    def visible(self) -> int:
        """Events and detections that one can find by now."""
        return sum(vendor.cloud.counts()["visible"] for vendor in (self.withsecure, self.eset))

    @property
    def has_shown_all(self) -> bool:
        """Nothing is still to come, and every event was served at least once."""
        counts = [vendor.cloud.counts() for vendor in (self.withsecure, self.eset)]
        coming = self.withsecure.cloud.pending + self.eset.cloud.pending + self.eset.incidents.pending
        return not coming and all(each["known"] == each["visible"] == each["served"] for each in counts)

    @property
    def faults(self) -> Counter[str]:
        """How often the daemon met which fault."""
        return Counter(self.withsecure.faults_served) + Counter(self.eset.faults_served)

    @property
    def violations(self) -> list[str]:
        """The rules of the vendors that it broke."""
        return [*self.withsecure.violations, *self.eset.violations]

    async def judge(self, folder: Path) -> Verdict:
        """Compare what lies in the files with what the vendors showed."""
        ledgers = self.withsecure.ledger(hashes=False), self.eset.ledger()
        incidents, states = self.withsecure.cloud.incidents.report(), self.eset.incidents.report()
        return await asyncio.to_thread(_judge, folder, ledgers, incidents, states)


def _judge(
    folder: Path,
    ledgers: tuple[Mapping[str, Any], Mapping[str, Any]],
    incidents: Mapping[str, Any],
    states: Mapping[str, Any],
) -> Verdict:
    lines = list(read_lines(folder))
    members = {
        key: {"versions": [each["raw"]]} for entry in incidents.values() for key, each in entry["detections"].items()
    }
    ours = {key: entry["states"] for key, entry in incidents.items()}
    verdicts = {
        "WithSecure events": judge(ledgers[0], of_feed(lines, "security_events")),
        "WithSecure incidents": judge_states(ours, of_feed(lines, "incidents", vendor="WithSecure", kind="incident")),
        "WithSecure detections": judge(members, of_feed(lines, "incidents", vendor="WithSecure", kind="detection")),
        "ESET detections": judge(ledgers[1], of_feed(lines, "detections")),
        "ESET incidents": judge_states(states, of_feed(lines, "incidents", vendor="ESET")),
    }
    whole = Verdict()
    for place, verdict in verdicts.items():
        whole.add(place, verdict)
        whole.events += verdict.events
    # What no judge took is nothing that anybody sent.
    whole.strange += [f"{path}: {line[:80]!r}" for path, line in lines[:1] if whole.events != len(lines)]
    return whole


def client_id(tenant: str) -> str:
    """The WithSecure credential of a tenant, known to the vendor or not."""
    return f"demo_{tenant}"


def _account(tenant: str) -> Account:
    number = TENANTS.index(tenant) + 1
    organization = Organization(f"00000000-0000-4000-8000-00000000000{number}", tenant)
    return Account(client_id(tenant), f"demo/secret+of={tenant}", organization)


def api_user(tenant: str) -> EsetAccount:
    """The ESET API user of a tenant, known to the vendor or not."""
    return EsetAccount(f"api@{tenant}.example", f"demo&secret=of+{tenant}", tenant)
