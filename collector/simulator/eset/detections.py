"""Seeded detections of every category, each in the shapes of v1 and v2: the same seed and arguments, the same bytes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from random import Random
from typing import Any

import orjson

from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.detection import Detection
from collector.simulator.eset.devices import make_devices
from collector.simulator.eset.shapes import CLOUD_OFFICE, SHAPES, Shape, Subject, v1_record, v2_record
from collector.simulator.hostile import HARSH, MILD, choose
from collector.simulator.vendor_time import rfc3339, to_ms

_MARK = "@@hostile@@"
_YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class DetectionMix:
    """How often what happens, as shares of all detections.

    `late`: become visible `late_seconds` after their occurTime; all others at once. `future`: occurTime hours or years
    ahead. `ties`: groups of 2 to 5 of one occurTime. `whole_second`: occurTime without a fraction. `cloud_office`: of
    v2 alone, where the account has it. `sparse`: most fields are missing. `hostile`: carry a hostile text that is
    valid JSON, `harsh` one that strict readers refuse. `odd_id`: a uuid that is none. `unknown_device`: of a device
    that device management does not know. `huge`: a megabyte of text.
    """

    late: float = 0.02
    late_seconds: tuple[float, float] = (2.0, 540.0)
    future: float = 0.005
    ties: float = 0.2
    whole_second: float = 0.5
    cloud_office: float = 0.1
    sparse: float = 0.03
    hostile: float = 0.05
    harsh: float = 0.002
    odd_id: float = 0.02
    unknown_device: float = 0.02
    huge: float = 0.0


EVERYDAY = DetectionMix()


def generate(
    seed: int | str,
    count: int,
    start: datetime,
    end: datetime,
    accounts: Sequence[EsetAccount],
    mix: DetectionMix = EVERYDAY,
) -> list[Detection]:
    """`count` detections with occurTime in [start, end), save those of the future; `start == end`: all in that one."""
    rng = Random(f"detections:{seed}")
    maker = _Maker(rng, str(seed), accounts, mix)
    return [maker.make(moment) for moment in _moments(rng, count, to_ms(start), to_ms(end), mix)]


def _moments(rng: Random, count: int, first: int, last: int, mix: DetectionMix) -> list[int]:
    width = max(1, last - first)
    moments: list[int] = []
    while len(moments) < count:
        moment = first + int(rng.random() * width)
        if rng.random() < mix.whole_second:
            moment = max(first, moment // 1000 * 1000)
        moments.extend([moment] * (rng.randint(2, 5) if rng.random() < mix.ties else 1))
    return sorted(moments[:count])


@lru_cache(maxsize=1024)
def _devices_of(account: EsetAccount) -> Sequence[Mapping[str, Any]]:
    """Always the same ones, and dear to make: live detections of many accounts are made many times a minute."""
    return list(make_devices(account).values())


class _Maker:
    def __init__(self, rng: Random, seed: str, accounts: Sequence[EsetAccount], mix: DetectionMix) -> None:
        self._rng = rng
        self._seed = seed
        self._accounts = accounts
        self._mix = mix
        self._made = 0

    def make(self, moment_ms: int) -> Detection:
        rng, mix = self._rng, self._mix
        self._made += 1
        traits: list[str] = []
        account = self._accounts[int(rng.random() * len(self._accounts))]
        shape = CLOUD_OFFICE if rng.random() < mix.cloud_office else SHAPES[int(rng.random() * len(SHAPES))]
        occur_ms, visible_ms = self._times(moment_ms, traits)
        subject = Subject(self._identity(account), self._written(occur_ms), *self._device(account, traits))
        v2 = v2_record(shape, subject, rng)
        v1 = None if shape is CLOUD_OFFICE else v1_record(shape, subject, v2)
        if rng.random() < mix.sparse:
            traits.append("sparse")
            v1, v2 = _sparse(v1), _sparse(v2) or {}
        if rng.random() < mix.huge:
            traits.append("huge")
            for record in (v1, v2):
                if record is not None:
                    record["displayName"] = "x" * 1_048_576
        bodies = self._serialize(v1, v2, shape, traits)
        return Detection(
            key=subject.uuid,
            username=account.username,
            occur_ms=occur_ms,
            visible_ms=visible_ms,
            device_uuid=subject.device_uuid,
            v1=bodies[0],
            v2=bodies[1],
            inspect=shape.inspect,
            traits=tuple(traits),
        )

    def _times(self, moment_ms: int, traits: list[str]) -> tuple[int, int]:
        rng, mix = self._rng, self._mix
        if rng.random() < mix.future:
            traits.append("future")
            return moment_ms + int(rng.choice((7_200_000, 86_400_000, 5 * _YEAR_MS)) * rng.random()), moment_ms
        if rng.random() < mix.late:
            traits.append("late")
            return moment_ms, moment_ms + int(1000 * rng.uniform(*mix.late_seconds))
        return moment_ms, moment_ms

    def _written(self, occur_ms: int) -> str:
        return rfc3339(occur_ms, fraction=occur_ms % 1000 != 0 or self._rng.random() < 0.05)

    def _identity(self, account: EsetAccount) -> str:
        if self._rng.random() < self._mix.odd_id:
            return f"a-{self._made}-{self._rng.getrandbits(40):x} not/a uuid"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._seed}/{account.username}/{self._made}"))

    def _device(self, account: EsetAccount, traits: list[str]) -> tuple[str, str]:
        rng = self._rng
        if rng.random() < self._mix.unknown_device:
            traits.append("unknown_device")
            return str(uuid.UUID(int=rng.getrandbits(128), version=4)), ""
        devices = _devices_of(account)
        device = devices[int(rng.random() * len(devices))]
        return device["uuid"], device["displayName"]

    def _serialize(
        self, v1: dict[str, Any] | None, v2: dict[str, Any], shape: Shape, traits: list[str]
    ) -> tuple[bytes | None, bytes]:
        rng, mix = self._rng, self._mix
        lot = rng.random()
        text = b""
        if lot < mix.hostile + mix.harsh:
            name, text = choose(rng, HARSH if lot < mix.harsh else MILD)
            traits.append(name)
            field = rng.choice(("displayName", "objectName", "typeName"))
            for record in (v1, v2):
                if record is not None:
                    record[field] = f"{record.get(field) or shape.name}{_MARK}"
        mark = _MARK.encode()
        first = None if v1 is None else orjson.dumps(v1).replace(mark, text)
        return first, orjson.dumps(v2).replace(mark, text)


def _sparse(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """What an old agent leaves of a record: no names, default values left out."""
    if record is None:
        return None
    kept = {"uuid", "occurTime", "category", "severityLevel", "context", "device"}
    return {name: value for name, value in record.items() if name in kept} | {"responses": [{}]}
