"""What the simulated ESET Connect holds: accounts, their detections, incidents and devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import RLock
from typing import Any

from collector.clock import Clock
from collector.simulator.eset.accounts import EsetAccount, Offer
from collector.simulator.eset.console import Console, findable
from collector.simulator.eset.detection import Detection
from collector.simulator.eset.detections import EVERYDAY, DetectionMix, generate
from collector.simulator.eset.devices import make_devices
from collector.simulator.eset.incidents import Incidents
from collector.simulator.eset.ledger import DetectionLedger
from collector.simulator.vendor_time import VendorClock


@dataclass(frozen=True, slots=True)
class DetectionDrip:
    """Live detections: `rate` a second over all accounts, `limit` in all (None: without end)."""

    rate: float
    limit: int | None = None
    mix: DetectionMix = EVERYDAY


class EsetCloud:
    """The vendor's store.

    Live detections need no task: whenever someone looks, those that are due are made, with occurTime spread over the
    time since the last look. A report may be made in a thread while the loop goes on serving.
    """

    def __init__(self, accounts: Iterable[EsetAccount], clock: Clock, seed: int) -> None:
        self.time = VendorClock(clock)
        self.ledger = DetectionLedger()
        self.accounts: dict[str, EsetAccount] = {}
        self.offers: dict[str, Offer] = {}
        self.devices: dict[str, dict[str, dict[str, Any]]] = {}
        self._clock = clock
        self._seed = seed
        self._consoles: dict[str, Console] = {}
        self._changing = RLock()
        self._drip: DetectionDrip | None = None
        self._drip_since = 0.0
        self._drip_looked = 0.0
        self._drip_made = 0
        self._batches = 0
        self.incidents = Incidents(self.time, Random(f"incidents:{seed}"))
        for account in accounts:
            self.add_account(account)

    def add_account(self, account: EsetAccount) -> None:
        """Let one more API user in."""
        self.accounts[account.username] = account
        self.offers[account.username] = Offer()
        self.devices[account.username] = make_devices(account)
        self._consoles[account.username] = Console()
        self.incidents.add_account(account, list(self.devices[account.username]))

    def offer(self, username: str | None = None, **changes: Any) -> None:
        """Change what an account, or with None every one, has: fields of `Offer`.

        Raises:
            TypeError: `Offer` has no such field.
        """
        for name in [username] if username is not None else list(self.offers):
            self.offers[name] = replace(self.offers[name], **changes)

    def add(self, detections: Iterable[Detection]) -> None:
        """Put detections, or later states of known ones, where their account finds them.

        Raises:
            KeyError: there is no such account.
        """
        with self._changing:
            for detection in detections:
                self._consoles[detection.username].put(detection)
                self.ledger.add(detection)

    def fill(
        self,
        count: int,
        start: datetime,
        end: datetime,
        *,
        seed: int | str | None = None,
        accounts: Sequence[EsetAccount] | None = None,
        mix: DetectionMix = EVERYDAY,
    ) -> list[str]:
        """Generate detections, of all accounts unless said otherwise, and add them; their uuids."""
        self._batches += 1
        name = f"{self._seed}:{self._batches}" if seed is None else seed
        detections = generate(name, count, start, end, accounts or list(self.accounts.values()), self._possible(mix))
        self.add(detections)
        return [detection.key for detection in detections]

    def tie(self, count: int, at: datetime, *, seed: int | str | None = None) -> list[str]:
        """`count` detections that all carry the occurTime `at`; their uuids."""
        return self.fill(count, at, at, seed=seed, mix=replace(EVERYDAY, late=0.0, future=0.0, whole_second=0.0))

    def straggle(self, count: int, late: timedelta, in_seconds: float = 0.0, **more: Any) -> list[str]:
        """`count` detections that show up `in_seconds` from now, each `late` after its occurTime; their uuids."""
        visible = datetime.fromtimestamp(self.time.now_ms() / 1000, UTC) + timedelta(seconds=in_seconds)
        seconds = late.total_seconds()
        mix = replace(more.pop("mix", EVERYDAY), late=1.0, late_seconds=(seconds, seconds), future=0.0)
        return self.fill(count, visible - late, visible - late, mix=replace(mix, whole_second=0.0), **more)

    def resolve(self, key: str, after_seconds: float = 0.0) -> None:
        """From `after_seconds` on, v2 shows this detection as resolved: a change that no list tells of.

        Raises:
            KeyError: there is no such detection.
        """
        newest = self.ledger.newest(key)
        v2 = None if newest.v2 is None else newest.v2.replace(b'"resolved":false', b'"resolved":true', 1)
        self.add([replace(newest, v2=v2, visible_ms=self.time.now_ms() + round(after_seconds * 1000))])

    def console(self, account: EsetAccount) -> Console:
        """What this account can find at this moment."""
        self.catch_up()
        console = self._consoles[account.username]
        with self._changing:
            console.reveal(self.time.now_ms())
        return console

    @property
    def pending(self) -> int:
        """How many live detections are still to come of a drip that has a limit."""
        if self._drip is None or self._drip.limit is None:
            return 0
        return self._drip.limit - self._drip_made

    def counts(self) -> dict[str, int]:
        """Detections by now: `DetectionLedger.counts`."""
        self.catch_up()
        return self.ledger.counts(self.time.now_ms(), self._findable)

    def report(self, usernames: Iterable[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every detection that can be found by now, of those users or of all: `DetectionLedger.report`."""
        self.catch_up()
        wanted = None if usernames is None else frozenset(usernames)
        return self.ledger.report(self.time.now_ms(), self._findable, wanted)

    def drip(self, drip: DetectionDrip | None) -> None:
        """Begin to make live detections, or with None end it."""
        with self._changing:
            self.catch_up()
            self._drip = drip
            self._drip_since = self._drip_looked = self._clock.monotonic()
            self._drip_made = 0

    def catch_up(self) -> None:
        """Make the live detections that are due."""
        with self._changing:
            if self._drip is None:
                return
            now = self._clock.monotonic()
            due = int(self._drip.rate * (now - self._drip_since))
            due = due if self._drip.limit is None else min(due, self._drip.limit)
            if due <= self._drip_made:
                return
            end_ms = self.time.now_ms()
            start_ms = end_ms - int((now - self._drip_looked) * 1000)
            bounds = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (start_ms, end_ms)]
            self.fill(due - self._drip_made, bounds[0], bounds[1], mix=self._drip.mix)
            self._drip_made, self._drip_looked = due, now

    def _possible(self, mix: DetectionMix) -> DetectionMix:
        """Cloud Office's detections are made where a reader can find them."""
        has_v2 = all(200 in {offer.v2, offer.v2_delta} for offer in self.offers.values())
        return mix if has_v2 else replace(mix, cloud_office=0.0)

    def _findable(self, detection: Detection) -> bool:
        return findable(detection, self.offers[detection.username])
