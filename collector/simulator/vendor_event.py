"""One event as the simulated vendor holds it: its bytes with what the API filters and sorts by."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import sha256

from collector.simulator.vendor_time import rfc3339

_CHANGING = ("acknowledged", "acknowledgedBy", "ackTimestamp", "persistenceTimestamp")
_STAMP = re.compile(rb'"persistenceTimestamp":(?:"[^"]*"|\d+)')
_WHOLE_SECOND = re.compile(rb'"serverTimestamp":"([^".]*)Z"')
_ACKNOWLEDGED = re.compile(rb'"acknowledged":(?:true|false)')


@dataclass(frozen=True, slots=True, eq=False)
class VendorEvent:
    """One version of one event. `raw` is served byte for byte and never parsed again.

    `key` is the event's id; where `raw` shows none it is the simulator's own name for it. `stamp_ms` is its
    persistenceTimestamp, `visible_ms` (vendor time) when queries begin to find it, never before the stamp unless a
    test wants so. `traits` say what is special about it: `legacy`, `late`, `without_id`, or a hostile text's name.
    """

    key: str
    organization_id: str
    engine: str
    group: str
    severity: str
    target_id: str
    stamp_ms: int
    visible_ms: int
    raw: bytes
    acknowledged: bool = False
    traits: tuple[str, ...] = ()

    def moved(self, stamp_ms: int, visible_ms: int) -> VendorEvent:
        """The same event as it is served again: later stamp, `acknowledged` flipped, all else as it was.

        A server time without a fraction gets one, where there is an id to tell by that it is the same event: it stays
        the same moment, only its text differs.
        """
        acknowledged = not self.acknowledged
        is_number = b'"persistenceTimestamp":"' not in self.raw
        stamp = str(stamp_ms) if is_number else f'"{rfc3339(stamp_ms)}"'
        raw = _STAMP.sub(b'"persistenceTimestamp":' + stamp.encode(), self.raw, count=1)
        if "without_id" not in self.traits:
            raw = _WHOLE_SECOND.sub(rb'"serverTimestamp":"\1.000Z"', raw, count=1)
        raw = _ACKNOWLEDGED.sub(b'"acknowledged":true' if acknowledged else b'"acknowledged":false', raw, count=1)
        return replace(self, stamp_ms=stamp_ms, visible_ms=visible_ms, raw=raw, acknowledged=acknowledged)


def canonical_sha256(raw: bytes) -> str:
    """A name for an event's content less what may change when it is served again: the same for all its versions.

    Tolerates whatever the simulator serves: invalid UTF-8, raw control characters, lone surrogates.
    """
    record = json.loads(raw.decode("utf-8", "surrogateescape"), strict=False)
    if isinstance(record, dict):
        record = {name: value for name, value in record.items() if name not in _CHANGING}
        if isinstance(server := record.get("serverTimestamp"), str):
            record["serverTimestamp"] = server.replace(".000Z", "Z")
    return sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
