"""Who may log in to the simulated ESET Connect, and what the vendor serves them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

_NAMESPACE = uuid.UUID("2f6d7a10-0000-4000-8000-e5e7c0117ec7")


@dataclass(frozen=True, slots=True)
class EsetAccount:
    """One API user with the company whose detections, incidents and devices it sees.

    `customers` are the owners of its devices (uuids); empty: one owner, made of the company's name.
    """

    username: str
    password: str
    name: str
    customers: tuple[str, ...] = ()

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of this account's devices, one at least."""
        return self.customers or (str(uuid.uuid5(_NAMESPACE, self.name)),)


HARBOUR = EsetAccount("api@harbour.example", "p&ss=w/rd+100% ü", "Harbour Logistics Ltd")


@dataclass(slots=True)
class Offer:
    """What a tenant has: the status each endpoint answers with, 200 where it serves.

    `v2` and `v2_delta` are off by default, as seen in the wild. `v2_shows`: whether the v2 lists hold everything, or
    what is of Cloud Office (the delta: of Inspect, too) alone. `v1_delta_shows`: with Inspect's detections or without.
    """

    v1: int = 200
    v1_delta: int = 200
    v2: int = 501
    v2_delta: int = 501
    v2_get: int = 200
    incidents: int = 200
    devices: int = 200
    v2_shows: Literal["all", "cloud_office"] = "all"
    v1_delta_shows: Literal["all", "protect"] = "all"
