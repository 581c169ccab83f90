"""What the simulated vendor holds: credentials, their events and incidents, and what it has shown of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from threading import RLock
from typing import Any

from collector.clock import Clock
from collector.simulator.accounts import Account, Organization
from collector.simulator.events import EVERYDAY, Mix, generate
from collector.simulator.incidents import Incidents
from collector.simulator.ledger import Ledger
from collector.simulator.shelf import Shelf
from collector.simulator.vendor_event import VendorEvent
from collector.simulator.vendor_time import VendorClock


@dataclass(frozen=True, slots=True)
class Drip:
    """Live events: `rate` a second over all organizations, `limit` in all (None: without end).

    A share `again` of them is served again `again_seconds` later, with a later stamp and `acknowledged` flipped.
    """

    rate: float
    limit: int | None = None
    again: float = 0.0
    again_seconds: tuple[float, float] = (5.0, 120.0)
    mix: Mix = EVERYDAY


class Cloud:
    """The vendor's store of events.

    Live events need no task of their own: whenever someone looks, those that are due by then are made, with stamps
    spread over the time since the last look, so nobody can tell the difference. A report may be made in a thread, as
    hashing many events takes long, while the loop goes on serving.
    """

    def __init__(self, accounts: Iterable[Account], clock: Clock, seed: int) -> None:
        self.time = VendorClock(clock)
        self.ledger = Ledger()
        self.incidents = Incidents(self.time, clock, seed)
        self.accounts: dict[str, Account] = {}
        self._clock = clock
        self._seed = seed
        self._rng = Random(f"cloud:{seed}")
        self._shelves: dict[str, Shelf] = {}
        self._viewers: dict[str, list[Shelf]] = {}
        self._organizations: dict[str, Organization] = {}
        self._changing = RLock()
        self._drip: Drip | None = None
        self._drip_since = 0.0
        self._drip_looked = 0.0
        self._drip_made = 0
        self._batches = 0
        for account in accounts:
            self.add_account(account)

    @property
    def organizations(self) -> tuple[Organization, ...]:
        """Every organization of every credential."""
        return tuple(self._organizations.values())

    def add_account(self, account: Account) -> None:
        """Let one more credential in; it sees the events that are added from now on."""
        self.accounts[account.client_id] = account
        shelf = self._shelves[account.client_id] = Shelf()
        self.incidents.admit(account)
        for organization in account.organizations:
            self._organizations.setdefault(organization.id, organization)
            self._viewers.setdefault(organization.id, []).append(shelf)

    def add(self, events: Iterable[VendorEvent]) -> None:
        """Put events, or later versions of known ones, where the credentials of their organization find them.

        Raises:
            ValueError: no credential sees an event's organization.
        """
        with self._changing:
            for event in events:
                shelves = self._viewers.get(event.organization_id)
                if shelves is None:
                    raise ValueError(f"no account sees organization {event.organization_id}")
                self.ledger.add(event)
                for shelf in shelves:
                    shelf.put(event)

    def fill(
        self,
        count: int,
        start: datetime,
        end: datetime,
        *,
        seed: int | str | None = None,
        organizations: Sequence[Organization] | None = None,
        mix: Mix = EVERYDAY,
    ) -> list[str]:
        """Generate events, of all organizations unless said otherwise, and add them; their ids in order of stamps."""
        self._batches += 1
        events = generate(
            f"{self._seed}:{self._batches}" if seed is None else seed,
            count,
            start,
            end,
            organizations or self.organizations,
            mix,
        )
        self.add(events)
        return [event.key for event in events]

    def tie(self, count: int, at: datetime, *, seed: int | str | None = None) -> list[str]:
        """`count` events that all carry the millisecond `at`; their ids."""
        return self.fill(count, at, at, seed=seed, mix=replace(EVERYDAY, late=0.0, whole_second=0.0))

    def serve_again(self, keys: Iterable[str], after_seconds: float = 0.0) -> None:
        """From `after_seconds` on, serve these events with that moment as stamp and `acknowledged` flipped.

        Raises:
            KeyError: there is no event of that id.
        """
        moment = self.time.now_ms() + round(after_seconds * 1000)
        self.add([self.ledger.newest(key).moved(moment, moment) for key in keys])

    def shelf(self, account: Account) -> Shelf:
        """What this credential sees at this moment."""
        self.catch_up()
        shelf = self._shelves[account.client_id]
        shelf.reveal(self.time.now_ms())
        return shelf

    @property
    def pending(self) -> int:
        """How many live events are still to come of a drip that has a limit."""
        if self._drip is None or self._drip.limit is None:
            return 0
        return self._drip.limit - self._drip_made

    def counts(self) -> dict[str, int]:
        """Events by now: `Ledger.counts`."""
        self.catch_up()
        return self.ledger.counts(self.time.now_ms())

    def report(
        self, client_ids: Iterable[str] | None = None, *, hashes: bool = True
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every event visible by now with its history, of what those credentials see or of all: `Ledger.report`."""
        self.catch_up()
        organization_ids: frozenset[str] | None = None
        if client_ids is not None:
            organization_ids = frozenset().union(*(self.accounts[name].organization_ids for name in client_ids))
        return self.ledger.report(self.time.now_ms(), organization_ids, hashes=hashes)

    def drip(self, drip: Drip | None) -> None:
        """Begin to make live events, or with None end it."""
        with self._changing:
            self.catch_up()
            self._drip = drip
            self._drip_since = self._drip_looked = self._clock.monotonic()
            self._drip_made = 0

    def catch_up(self) -> None:
        """Make the live events that are due."""
        with self._changing:
            if self._drip is None:
                return
            now = self._clock.monotonic()
            due = int(self._drip.rate * (now - self._drip_since))
            if self._drip.limit is not None:
                due = min(due, self._drip.limit)
            if due <= self._drip_made:
                return
            end_ms = self.time.now_ms()
            start_ms = end_ms - int((now - self._drip_looked) * 1000)
            self._make_live(self._drip, due - self._drip_made, start_ms, end_ms)
            self._drip_made, self._drip_looked = due, now

    def _make_live(self, drip: Drip, count: int, start_ms: int, end_ms: int) -> None:
        self._batches += 1
        events = generate(
            f"{self._seed}:{self._batches}",
            count,
            datetime.fromtimestamp(start_ms / 1000, UTC),
            datetime.fromtimestamp(end_ms / 1000, UTC),
            self.organizations,
            replace(drip.mix, page=0),
        )
        self.add(events)
        for event in events:
            if self._rng.random() < drip.again:
                moment = event.visible_ms + int(1000 * self._rng.uniform(*drip.again_seconds))
                self.add([event.moved(moment, moment)])
