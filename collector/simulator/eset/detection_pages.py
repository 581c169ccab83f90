"""Answers of the detection endpoints: lists, deltas, single gets, in both versions.

`startTime` is inclusive, `endTime` exclusive, both of occurTime [SPEC]. The order of a list is a seeded shuffle that is
the same for all pages of a query, unless `ordered` [conflict at the vendor: never assume one]. `totalSize` stands in
v1's list alone [SPEC]. v2's single get takes any id, v1's too [ELASTIC].
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random

import orjson

from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.answer import Answer
from collector.simulator.eset.cloud import EsetCloud
from collector.simulator.eset.delta import Deltas
from collector.simulator.eset.detection import Detection, Version
from collector.simulator.eset.lists import garbage, write_list
from collector.simulator.eset.paging import Page, Pager, Run
from collector.simulator.eset.parameters import Query
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused

LIST_PARAMETERS = {
    "v1": frozenset({"pageSize", "pageToken", "startTime", "endTime", "deviceUuid"}),
    "v2": frozenset({"pageSize", "pageToken", "startTime", "endTime", "cloudOfficeTenantUuid"}),
}
DELTA_PARAMETERS = frozenset({"pageSize", "pageToken", "deltaToken"})


class DetectionPages:
    """Answers once it is known who asks."""

    def __init__(self, cloud: EsetCloud, pager: Pager, deltas: Deltas, faults: Faults, seed: int) -> None:
        self.ordered = False
        self._cloud = cloud
        self._pager = pager
        self._deltas = deltas
        self._faults = faults
        self._seed = seed
        self._rng = Random(f"pages:{seed}")

    def listed(self, account: EsetAccount, query: Query, version: Version) -> Answer:
        """`GET /v1/detections`, `/v2/detections`."""
        start, end = query.time_us("startTime"), query.time_us("endTime")
        device = query.values.get("deviceUuid")
        offer = self._cloud.offers[account.username]
        console = self._cloud.console(account)
        shuffle = f"{self._seed}:{query.fingerprint('pageToken', 'pageSize')}"

        def find() -> Run[Detection]:
            found = console.listed(version, offer, start, end)
            if device is not None:
                found = [each for each in found if each.device_uuid == device]
            if not self.ordered:
                found.sort(key=lambda each: zlib.crc32(f"{shuffle}:{each.key}".encode()))
            return Run(found)

        page = self._pager.page(account.username, query, find)
        more = b'"totalSize":%d' % len(page.run.rows) if version == "v1" else b""
        return self._answer("detections", page, account.username, version, more)

    def delta(self, account: EsetAccount, query: Query, version: Version) -> Answer:
        """`GET /v1/detections:listDelta`, `/v2/detections:listDelta`."""
        username = account.username
        console = self._cloud.console(account)
        offer = self._cloud.offers[username]
        newest = len(console.order)
        position = self._deltas.position(username, version, query.values.get("deltaToken"), newest)
        page = self._pager.page(username, query, lambda: Run(console.since(position, version, offer), newest))
        token = "" if page.token else self._deltas.give(username, version, page.run.mark)
        more = b'"nextDeltaToken":%s' % orjson.dumps(token)
        return self._answer("createdDetections", page, username, version, more)

    def single(self, account: EsetAccount, key: str, version: Version) -> Answer:
        """`GET /v1/detections/{uuid}`, `/v2/detections/{uuid}`."""
        detection = self._cloud.console(account).current.get(key)
        raw = None if detection is None else detection.view(version)
        if raw is None:
            raise Refused(404, "no such detection")
        return Answer(200, b'{"detection":' + raw + b"}", served=self._served([(key, raw)], account.username))

    def _answer(self, name: str, page: Page[Detection], username: str, version: Version, more: bytes) -> Answer:
        shown = [(each.key, raw) for each in page.rows if (raw := each.view(version)) is not None]
        keys, rows = [key for key, _ in shown], [raw for _, raw in shown]
        unreadable = self._faults.unreadable_among(keys)
        if unreadable is not None:
            return Answer(200, garbage(name, rows, keys.index(unreadable)))
        return Answer(
            200, write_list(name, rows, page.token, self._rng, more=more), served=self._served(shown, username)
        )

    def _served(self, shown: list[tuple[str, bytes]], username: str) -> Callable[[], None]:
        return lambda: self._cloud.ledger.served(shown, username, self._cloud.time.now_ms())
