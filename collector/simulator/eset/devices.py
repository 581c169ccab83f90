"""The devices of an account: names and owners that v1 detections only refer to by uuid."""

from __future__ import annotations

import uuid
from random import Random
from typing import Any

from collector.simulator.eset.accounts import EsetAccount

_NAMESPACE = uuid.UUID("2f6d7a10-0000-4000-8000-00000000de71")
_KINDS = ("ws-fin", "lt-sales", "srv-web", "mac-design", "srv-läger")
_SYSTEMS = (
    ("Microsoft Windows 11 Enterprise", "10.0.26100.1"),
    ("Microsoft Windows Server 2022 Standard", "10.0.20348.1"),
    ("macOS 15", "15.1.0"),
    ("Ubuntu 24.04 LTS", "24.04"),
)


def make_devices(account: EsetAccount, count: int = 40) -> dict[str, dict[str, Any]]:
    """The devices of an account by uuid, always the same ones; now and then without a name."""
    rng = Random(f"devices:{account.name}")
    devices = [_device(account, number, rng) for number in range(count)]
    return {device["uuid"]: device for device in devices}


def _device(account: EsetAccount, number: int, rng: Random) -> dict[str, Any]:
    name = f"{_KINDS[number % len(_KINDS)]}-{number:02d}"
    system, version = rng.choice(_SYSTEMS)
    owner = account.owners[number % len(account.owners)]
    return {
        "uuid": str(uuid.uuid5(_NAMESPACE, f"{account.name}:{number}")),
        "displayName": "" if number % 17 == 16 else name,
        "description": "",
        "ownerUuid": owner,
        "parentGroupUuid": str(uuid.uuid5(_NAMESPACE, f"group:{owner}")),
        "managementDomain": f"{owner[:8]}.protect.example",
        "primaryLocalIpAddress": f"10.4.{number // 200}.{number % 200 + 10}",
        "publicIpAddress": f"203.0.113.{number % 250 + 1}",
        "operatingSystem": {"displayName": system, "familyId": "1", "version": {"name": version}},
        "isMobile": False,
        "isMuted": False,
        "lastSyncTime": "2026-03-02T09:15:07Z",
        "tags": [],
    }
