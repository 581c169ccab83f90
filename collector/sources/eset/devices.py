"""What devices are called: detections of the first version name their device by its uuid alone.

By the vendor's API description device management answers `GET /v1/devices/{uuid}` with `{"device"}` and
`GET /v1/devices` with `{"devices", "nextPageToken"}`; the form of its `batchGet` is not known to us. These requests
count like all others, so names are kept for hours, and asked for with the turns of a sweep: one by one where few are
missing, page by page of all devices where many are.

A name is a courtesy, no event waits for it for long: a call takes a few requests and seconds at most, what it does not
get is asked for when it is wanted again. Where a device's owner decides whose an event is (`patient`), more is asked
for at once, and its events are held back for as long as `wait` says: `OWNER_SECONDS` at most, for a device as for a
service that fails.

A service that fails is left alone for a while. Refused questions for single devices mean unknown devices where the
service has answered anything at all, else that there is no such service.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import orjson
from structlog.typing import FilteringBoundLogger as Log

from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceUnavailable
from collector.http import Answer
from collector.model import Lane
from collector.sources.eset.client import EsetClient, NotOffered
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.pending import PendingAnswer
from collector.timestamps import format_utc

_PATH = "/v1/devices"
OWNER_SECONDS = 60.0
_SECONDS, _REQUESTS = 3.0, 6
_PATIENT_SECONDS, _PATIENT_REQUESTS, _PATIENT_REST = 10.0, 40, 5.0
_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 15.0
_GOOD_SECONDS, _UNKNOWN_SECONDS = 6 * 3600.0, 600.0
_KEPT, _PENDING_KEPT = 10_000, 100
_REST_SECONDS, _LONGEST_REST, _DENIED_REST = 30.0, 900.0, 900.0
_STRANGERS = 5
_LONGEST = 256


class DeviceName(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is kept of a device, by the vendor's names; what it does not tell is left out.

    `owner_uuid` is the customer whose device it is, `operating_system` text or an object.
    """

    uuid: str
    display_name: str | None = None
    primary_local_ip_address: str | None = None
    operating_system: Any = None
    owner_uuid: str | None = None
    parent_group_uuid: str | None = None
    management_domain: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    name: DeviceName | None
    until: float


class Devices:
    """Knows the devices of one API user. Kept in memory alone: losing it costs requests."""

    def __init__(self, config: EsetConfig, client: EsetClient, clock: Clock, log: Log) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._is_offered = config.device_origin is not None
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._pending: OrderedDict[str, tuple[PendingAnswer, float]] = OrderedDict()
        self._rests_until = self._next_walk = clock.monotonic()
        self._walk_token: str | None = None
        self._failures = self._strangers = 0
        self._has_answered = False
        self._wanted: OrderedDict[str, float] = OrderedDict()
        self._failing_since: float | None = None
        self._trouble: tuple[str, datetime] | None = None
        self._learned = 0

    async def names(self, uuids: Collection[str], lane: Lane, *, patient: bool = False) -> Mapping[str, DeviceName]:
        """What is known of these devices, after asking for some of those that are not; raises nothing.

        `lane` is the one that wants to know: a job's questions take the turns of jobs. `patient`: see above.
        """
        now = self._clock.monotonic()
        missing = [uuid for uuid in dict.fromkeys(uuids) if self._is_missing(uuid, now)]
        if patient:
            self._want(missing, now)
        if missing and self._is_offered and now >= self._rests_until:
            await self._learn(missing, Lane.JOB if lane is Lane.JOB else Lane.SWEEP, patient=patient)
        found = {uuid: self._known[uuid].name for uuid in uuids if uuid in self._known}
        return {uuid: name for uuid, name in found.items() if name is not None}

    def wait(self, uuids: Collection[str]) -> float | None:
        """In how many seconds to ask again for devices that `names` was asked for patiently.

        None: all is known of them that will be known in time.
        """
        now = self._clock.monotonic()
        if not self._is_offered or self._rests_until - now > OWNER_SECONDS:
            return None
        if self._failing_since is not None and now - self._failing_since >= OWNER_SECONDS:
            return None
        since = [
            self._wanted[uuid] for uuid in uuids if uuid in self._wanted and now - self._wanted[uuid] < OWNER_SECONDS
        ]
        return min(max((now - min(since)) / 2, _SHORTEST_WAIT), _LONGEST_WAIT) if since else None

    @property
    def trouble(self) -> str | None:
        """Why the service was of no use the last time, and since when; None: it was, or was not asked."""
        if self._trouble is None:
            return None
        why, since = self._trouble
        return f"device names are not available since {format_utc(since)}: {why}"

    def _want(self, uuids: Collection[str], now: float) -> None:
        """Note since when devices are waited for of which nothing was ever known."""
        for uuid in uuids:
            if (known := self._known.get(uuid)) is None or known.name is None:
                self._wanted.setdefault(uuid, now)
        while len(self._wanted) > _KEPT:
            self._wanted.popitem(last=False)

    def _is_missing(self, uuid: str, now: float) -> bool:
        known = self._known.get(uuid)
        if known is not None and now < known.until:
            self._known.move_to_end(uuid)
            return False
        return bool(uuid) and uuid not in {".", ".."} and len(uuid) <= _LONGEST

    async def _learn(self, missing: Sequence[str], lane: Lane, *, patient: bool) -> None:
        rest, before = _PATIENT_REST if patient else _REST_SECONDS, self._learned
        try:
            async with asyncio.timeout(_PATIENT_SECONDS if patient else _SECONDS):
                await self._ask(missing, lane, _PATIENT_REQUESTS if patient else _REQUESTS)
        except TimeoutError:
            if not patient or self._learned == before:  # else the turns are scarce, and nobody is at fault
                self._rest("no answer in time", rest)
        except SourceError as exc:
            self._rest(str(exc), _DENIED_REST if isinstance(exc, SourceDenied) else rest)
        else:
            self._failures, self._failing_since, self._trouble = 0, None, None

    async def _ask(self, missing: Sequence[str], lane: Lane, requests: int) -> None:
        now = self._clock.monotonic()
        walks = max(1, requests // _REQUESTS)
        while walks and len(missing) > _REQUESTS and now >= self._next_walk:
            walks -= 1
            requests -= 1
            await self._walk(lane)
            now = self._clock.monotonic()
            missing = [uuid for uuid in missing if self._is_missing(uuid, now)]
            if "" in self._pending:
                break
        for uuid in missing:
            _, not_before = self._pending.get(uuid, (None, now))
            if requests == 0:
                return
            if self._is_missing(uuid, now) and now >= not_before:
                requests -= 1
                await self._ask_for(uuid, lane)

    async def _walk(self, lane: Lane) -> None:
        """Read one more page of all devices; once through, or where there is no such list, not again for hours."""
        query = [("pageSize", "1000")]
        if self._walk_token is not None:
            query.append(("pageToken", self._walk_token))
        kept, _ = self._pending.pop("", (None, 0.0))
        token, self._walk_token = self._walk_token, None
        try:
            answer = await self._client.ask("device", _PATH, query, lane, kept, tokened=token is not None)
        except SourceUnavailable:
            self._walk_token = token
            raise
        except SourceError as exc:
            self._log.debug("the devices can't be listed", error=str(exc))
            self._next_walk = self._clock.monotonic() + _GOOD_SECONDS
            return
        if isinstance(answer, PendingAnswer):
            self._wait_for("", answer)
            self._walk_token = token
            return
        page = _object(answer)
        self._has_answered = True
        devices, following = page.get("devices"), page.get("nextPageToken")
        for device in devices if isinstance(devices, list) else ():
            self._take(device)
        if isinstance(following, str) and following and following != token and devices:
            self._walk_token = following
        else:
            self._next_walk = self._clock.monotonic() + _GOOD_SECONDS

    async def _ask_for(self, uuid: str, lane: Lane) -> None:
        kept, _ = self._pending.pop(uuid, (None, 0.0))
        try:
            answer = await self._client.ask("device", f"{_PATH}/{quote(uuid, safe='')}", (), lane, kept)
        except NotOffered as exc:
            self._keep(uuid, None, _UNKNOWN_SECONDS)
            self._strangers += 1
            if self._strangers >= _STRANGERS and not self._has_answered:
                self._strangers = 0
                raise SourceDenied(str(exc)) from exc
            return
        if isinstance(answer, PendingAnswer):
            self._wait_for(uuid, answer)
            return
        page = _object(answer)
        self._has_answered = True
        if not self._take(page.get("device", page if "uuid" in page else None), uuid):
            self._keep(uuid, None, _UNKNOWN_SECONDS)

    def _take(self, device: object, uuid: str | None = None) -> bool:
        """Keep a device, if it is one and the one that was asked for."""
        if not isinstance(device, dict):
            return False
        name = _name(device, uuid)
        if name is None:
            return False
        self._keep(name.uuid, name, _GOOD_SECONDS)
        return True

    def _keep(self, uuid: str, name: DeviceName | None, seconds: float) -> None:
        self._learned += 1
        self._wanted.pop(uuid, None)
        old = self._known.pop(uuid, None)
        if name is None and old is not None:  # an old name is better than none
            name = old.name
        self._known[uuid] = _Known(name, self._clock.monotonic() + seconds)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _wait_for(self, uuid: str, pending: PendingAnswer) -> None:
        self._pending[uuid] = pending, self._clock.monotonic() + pending.wait()
        if len(self._pending) > _PENDING_KEPT:
            self._pending.popitem(last=False)

    def _rest(self, why: str, seconds: float) -> None:
        rest = min(_LONGEST_REST, seconds * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        now = self._clock.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._rests_until = now + rest
        self._trouble = why, self._clock.now() if self._trouble is None else self._trouble[1]
        tell = self._log.warning if self._failures == 1 else self._log.debug
        tell("the devices' names can't be had for now", retry_in=rest, error=why)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError as exc:
        raise SourceUnavailable(f"{_PATH}: the answer is no JSON") from exc
    return value if isinstance(value, dict) else {}


def _name(device: Mapping[str, Any], uuid: str | None) -> DeviceName | None:
    own = _text(device.get("uuid")) or uuid
    if own is None or (uuid is not None and own != uuid):
        return None
    system = device.get("operatingSystem")
    name = DeviceName(
        uuid=own,
        display_name=_text(device.get("displayName")),
        primary_local_ip_address=_text(device.get("primaryLocalIpAddress")),
        operating_system=system if isinstance(system, dict) and len(str(system)) <= 4 * _LONGEST else _text(system),
        owner_uuid=_text(device.get("ownerUuid")),
        parent_group_uuid=_text(device.get("parentGroupUuid")),
        management_domain=_text(device.get("managementDomain")),
    )
    return None if name == DeviceName(uuid=own) else name


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
