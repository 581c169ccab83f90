"""One detection as the simulated vendor holds it: its bytes in both versions of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Version = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One state of one detection; `v1` and `v2` are served byte for byte and never parsed again.

    `key` is its uuid, or the simulator's own name where the bytes show none. `occur_ms` is its occurTime, by the
    endpoint's clock: days back or years ahead. `visible_ms` (vendor time) is when queries begin to find it.
    A version that is None does not show it: Cloud Office is of v2 alone. `inspect`: ESET Inspect's. `traits` say what
    is special about it: `late`, `future`, `sparse`, a hostile text's name.
    """

    key: str
    username: str
    occur_ms: int
    visible_ms: int
    device_uuid: str
    v1: bytes | None
    v2: bytes | None
    inspect: bool = False
    traits: tuple[str, ...] = ()

    def view(self, version: Version) -> bytes | None:
        """Its bytes in that version of the API."""
        return self.v1 if version == "v1" else self.v2

    @property
    def bodies(self) -> list[bytes]:
        """The bytes of every version that shows it."""
        return [raw for raw in (self.v1, self.v2) if raw is not None]
