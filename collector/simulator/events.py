"""Seeded security events of every engine: the same seed and arguments give the same bytes.

Ids are name-based UUIDs with an index, as the vendor's; a transaction of up to fifty events shares one UUID. Events
lie in ties of up to five within one millisecond. Times come with and without a fraction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from random import Random
from typing import Any

import orjson

from collector.simulator import values
from collector.simulator.accounts import CONTOSO, Organization
from collector.simulator.catalogue import SHAPES, Shape
from collector.simulator.hostile import HARSH, MILD, choose
from collector.simulator.values import draw, pick
from collector.simulator.vendor_event import VendorEvent
from collector.simulator.vendor_time import rfc3339, to_ms

_NAMESPACE = uuid.UUID("6f1d2b3c-0000-4000-8000-5ec0117ec70a")
_MARK = "@@hostile@@"
_DEVICES = tuple(f"CN-{kind}-{index:04d}" for kind in ("LT", "WS", "FS", "MAC") for index in range(25))
_USERS = ("CONTOSO\\a.virtanen", "CONTOSO\\svc-backup", "k.laine", "CN-FS-01/root", "CONTOSO\\päivi.öhman")


@dataclass(frozen=True, slots=True)
class Mix:
    """How often what happens, as shares of all events.

    `ties`: groups of 2 to 5 events that share a millisecond. `page`: a tie lies across each multiple of this many
    events, so that a reader of that page size stops inside it (0: none). `late`: become visible `late_seconds` after
    their stamp. `hostile`: carry a hostile text that is valid JSON; `harsh`: one that strict readers refuse.
    `whole_second`: stamps without a fraction. `engines`: only these; empty: all.
    """

    ties: float = 0.3
    page: int = 200
    late: float = 0.02
    late_seconds: tuple[float, float] = (2.0, 540.0)
    hostile: float = 0.05
    harsh: float = 0.002
    legacy: float = 0.01
    without_id: float = 0.0
    whole_second: float = 0.05
    engines: tuple[str, ...] = ()


EVERYDAY = Mix()


def generate(
    seed: int | str,
    count: int,
    start: datetime,
    end: datetime,
    organizations: Sequence[Organization] = (CONTOSO,),
    mix: Mix = EVERYDAY,
) -> list[VendorEvent]:
    """`count` events with stamps in [start, end), in order of time; `start == end` puts all into that millisecond."""
    rng = Random(f"events:{seed}")
    first, last = to_ms(start), to_ms(end)
    stamps = _stamps(rng, count, first, last, mix)
    maker = _Maker(rng, str(seed), organizations, mix)
    return [maker.make(stamp) for stamp in stamps]


def _stamps(rng: Random, count: int, first: int, last: int, mix: Mix) -> list[int]:
    width = max(1, last - first)
    stamps: list[int] = []
    while len(stamps) < count:
        stamp = first + int(rng.random() * width)
        if rng.random() < mix.whole_second:
            stamp = max(first, stamp // 1000 * 1000)
        stamps.extend([stamp] * (rng.randint(2, 5) if rng.random() < mix.ties else 1))
    stamps = sorted(stamps[:count])
    if mix.page:
        for border in range(mix.page, count - 1, mix.page):
            stamps[border - 2 : border + 2] = [stamps[border]] * 4
    return sorted(stamps)


@lru_cache(maxsize=100_000)
def _device_id(organization_id: str, name: str) -> str:
    return str(uuid.uuid3(_NAMESPACE, f"{organization_id}:{name}"))


class _Maker:
    def __init__(self, rng: Random, seed: str, organizations: Sequence[Organization], mix: Mix) -> None:
        self._rng = rng
        self._seed = seed
        self._organizations = organizations
        self._mix = mix
        self._shapes = [shape for shape in SHAPES if not mix.engines or shape.engine in mix.engines]
        self._transaction = ""
        self._transactions = 0
        self._left = 0

    def make(self, stamp_ms: int) -> VendorEvent:
        rng, mix = self._rng, self._mix
        shape = self._shapes[int(rng.random() * len(self._shapes))]
        organization = self._organizations[int(rng.random() * len(self._organizations))]
        event_id = self._next_id()
        traits: list[str] = []
        if rng.random() < mix.legacy and shape.has_device:
            traits.append("legacy")
            record = self._legacy(shape, organization, event_id, stamp_ms)
        else:
            record = self._current(shape, organization, event_id, stamp_ms)
        if rng.random() < mix.without_id:
            traits.append("without_id")
            del record["id"]
        raw = self._serialize(record, traits)
        visible_ms = stamp_ms
        if rng.random() < mix.late:
            traits.append("late")
            visible_ms += int(1000 * rng.uniform(*mix.late_seconds))
        return VendorEvent(
            key=event_id,
            organization_id=organization.id,
            engine=shape.engine,
            group=shape.group,
            severity=record["severity"],
            target_id=record.get("target", {}).get("id", ""),
            stamp_ms=stamp_ms,
            visible_ms=visible_ms,
            raw=raw,
            acknowledged=bool(record.get("acknowledged")),
            traits=tuple(traits),
        )

    def _next_id(self) -> str:
        if self._left == 0:
            self._transactions += 1
            self._left = self._rng.randint(1, 50)
            self._transaction = str(uuid.uuid3(_NAMESPACE, f"{self._seed}:{self._transactions}"))
        self._left -= 1
        return (
            self._transaction if self._left == 0 and self._rng.random() < 0.02 else f"{self._transaction}_{self._left}"
        )

    def _current(self, shape: Shape, organization: Organization, event_id: str, stamp_ms: int) -> dict[str, Any]:
        rng = self._rng
        server_ms = stamp_ms - rng.randint(300, 4300)
        device_ms = server_ms - (rng.randint(1000, 1_900_000) if rng.random() < 0.1 else rng.randint(500, 9000))
        server = rfc3339(server_ms // 1000 * 1000 if rng.random() < 0.1 else server_ms, fraction=False)
        record: dict[str, Any] = {
            "id": event_id,
            "engine": shape.engine,
            "action": draw(shape.actions, rng),
            "severity": draw(shape.severities, rng),
            "serverTimestamp": server,
            "persistenceTimestamp": rfc3339(stamp_ms, fraction=stamp_ms % 2000 == 0),
            "eventTransactionId": f"0000-{rng.getrandbits(64):016x}",
            "acknowledged": False,
            "organization": {"id": organization.id, "name": organization.name},
        }
        user = pick(rng, _USERS)
        details = self._details(shape)
        if shape.has_device:
            name = pick(rng, _DEVICES)
            target = {"id": _device_id(organization.id, name), "name": name}
            record["clientTimestamp"] = rfc3339(
                device_ms // 1000 * 1000 if rng.random() < 0.7 else device_ms, fraction=False
            )
            record["device"] = {**target, "labels": ["Laptops"]} if rng.random() < 0.3 else target
            record["target"] = target
            record["userName"] = details["userName"] = user
            details["hostIpAddress"] = values.host_addresses(rng)
            details["clientTimestamp"] = str(device_ms)
            details["profileId"], details["profileName"], details["profileVersion"] = (
                "5550123",
                "Corp baseline",
                "1767000000",
            )
            details["throttledCount"] = str(int(rng.random() ** 8 * 40))
        else:
            mailbox = details.get("userPrincipalName", organization.id)
            record["target"] = {"id": mailbox, "name": mailbox}
        record["description"] = f"{shape.engine} event"
        record["message"] = f"{record['action']}: {next(iter(details.values()))}"
        if shape.engine == "xmRecommendation":
            record["xmRecommendationKey"] = "disable_smb1"
        record["details"] = details
        return record

    def _legacy(self, shape: Shape, organization: Organization, event_id: str, stamp_ms: int) -> dict[str, Any]:
        rng = self._rng
        name = pick(rng, _DEVICES)
        return {
            "id": event_id,
            "engine": shape.engine,
            "action": draw(shape.actions, rng),
            "severity": draw(shape.severities, rng),
            "serverTimestamp": stamp_ms - rng.randint(300, 4300),
            "persistenceTimestamp": stamp_ms,
            "txId": f"0000-{rng.getrandbits(64):016x}",
            "source": "Block lab egress",
            "subscription": {"id": values.identity(rng)},
            "tenant": "100001",
            "account": {
                "uuid": organization.id,
                "name": organization.name,
                "orgPath": f"{uuid.UUID(int=0)}/{organization.id}/",
            },
            "device": {
                "agentId": _device_id(organization.id, name),
                "id": 0,
                "name": name,
                "clientType": "computerProtectionPremium",
            },
            "reporting": {"timestamp": stamp_ms},
            "fingerprint": {"similarity": f"{rng.getrandbits(64):016x}"},
            "details": self._details(shape),
        }

    def _details(self, shape: Shape) -> dict[str, str]:
        rng = self._rng
        details = {name: draw(value, rng) for name, value in shape.always.items()}
        for name, value in shape.sometimes.items():
            if rng.random() < 0.5:
                details[name] = draw(value, rng)
        return details

    def _serialize(self, record: dict[str, Any], traits: list[str]) -> bytes:
        rng, mix = self._rng, self._mix
        lot = rng.random()
        if lot >= mix.hostile + mix.harsh:
            return orjson.dumps(record)
        name, text = choose(rng, HARSH if lot < mix.harsh else MILD)
        traits.append(name)
        details: dict[str, str] = record["details"]
        field = pick(rng, (*details, "message"))
        place = details if field in details else record
        place[field] = place.get(field, "") + _MARK
        return orjson.dumps(record).replace(_MARK.encode(), text)
