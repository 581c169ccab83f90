"""Switchable faults of the simulated vendor: seeded, each by probability or count, counted when served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

# In place of an answer; acts on the token endpoint as well when `on_login` is set.
OUTAGES: Mapping[str, str] = {
    "reset": "the connection is reset before an answer",
    "http_500": "500 with an HTML body",
    "http_502": "502 with an HTML body",
    "http_503": "503 with an HTML body",
    "http_504": "504 with an HTML body",
    "html_200": "200 with an HTML body",
    "throttled_seconds": "429 with Retry-After in seconds",
    "throttled_date": "429 with Retry-After as an HTTP date",
    "throttled_bare": "429 without Retry-After",
}
# In place of an answer to a data request that is logged in.
REFUSALS: Mapping[str, str] = {
    "unauthorized": "401, every token of the credential is taken back",
    "forbidden": "403, the credential lacks scope or product",
    "stale_anchor": "400 on an anchor: the vendor no longer takes it",
}
# A page of events that is readable, but not as one hopes.
ODD_PAGES: Mapping[str, str] = {
    "duplicate_in_page": "some items stand twice in the page",
    "duplicate_across_pages": "the page begins with items of the page before",
    "empty_page": "no items, but an anchor that goes on",
    "repeated_anchor": "nextAnchor is the anchor that was sent",
}
# What happens to a good answer on its way.
DAMAGES: Mapping[str, str] = {
    "truncated": "the JSON ends early, Content-Length agrees",
    "cut": "Content-Length promises more than comes before the connection ends",
}
# May come with any answer.
TIMINGS: Mapping[str, str] = {
    "slow": "`seconds` pass before the answer",
    "date_wrong": "the Date header is `seconds` off",
    "date_missing": "there is no Date header",
}
NAMES = frozenset({*OUTAGES, *REFUSALS, *ODD_PAGES, *DAMAGES, *TIMINGS})
UNREADABLE = "unreadable"

# A bad day at the vendor's, which a client must get through: what demos and tests switch on together.
BAD_DAY: Mapping[str, float] = {
    "unauthorized": 0.02,
    "throttled_seconds": 0.01,
    "throttled_date": 0.01,
    "throttled_bare": 0.01,
    "http_500": 0.01,
    "http_502": 0.01,
    "http_503": 0.01,
    "http_504": 0.01,
    "html_200": 0.01,
    "truncated": 0.02,
    "cut": 0.02,
    "reset": 0.02,
    "slow": 0.05,
    "duplicate_in_page": 0.05,
    "duplicate_across_pages": 0.05,
    "empty_page": 0.03,
    "repeated_anchor": 0.02,
    "stale_anchor": 0.01,
}


@dataclass(slots=True)
class Fault:
    """How one fault behaves.

    It strikes with `probability` at each chance, after `skip` chances went by, at most `count` times (None: without
    end), only on `client_ids` unless that is empty. `seconds`: Retry-After, the delay, how far Date is off.
    `on_login`: outages and timings strike at the token endpoint too.
    """

    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    seconds: float = 1.0
    client_ids: frozenset[str] = frozenset()
    on_login: bool = False


class Faults:
    """All faults of one simulator; none is on at first. `served` counts by name what clients met."""

    def __init__(self, seed: int, names: frozenset[str] = NAMES) -> None:
        self.served: Counter[str] = Counter()
        self._names = names
        self._rng = Random(f"faults:{seed}")
        self._on: dict[str, Fault] = {}
        self._unreadable: dict[str, int | None] = {}

    def switch_on(self, name: str, fault: Fault | None = None) -> None:
        """Let a fault strike from now on.

        Raises:
            ValueError: there is no fault of that name.
        """
        if name not in self._names:
            raise ValueError(f"no fault is called {name}; there are {', '.join(sorted(self._names))}")
        self._on[name] = fault or Fault()

    def switch_on_all(self, probabilities: Mapping[str, float]) -> None:
        """Let several faults strike, each with its probability."""
        for name, probability in probabilities.items():
            self.switch_on(name, Fault(probability=probability, seconds=0.2 if name == "slow" else 1.0))

    def switch_off(self, name: str | None = None) -> None:
        """Stop one fault, or all of them; unreadable records stay so until `make_readable`."""
        if name is None:
            self._on.clear()
        else:
            self._on.pop(name, None)

    def is_on(self, name: str) -> bool:
        """Whether this fault may strike at all."""
        return name in self._on

    def strikes(self, name: str, client_id: str = "", *, login: bool = False) -> Fault | None:
        """Whether this fault happens now. A fault that is returned is counted as served: the caller serves it."""
        fault = self._on.get(name)
        if fault is None or (login and not fault.on_login) or (fault.client_ids and client_id not in fault.client_ids):
            return None
        if fault.skip > 0:
            fault.skip -= 1
            return None
        if fault.count == 0 or self._rng.random() >= fault.probability:
            return None
        if fault.count is not None:
            fault.count -= 1
        self.served[name] += 1
        return fault

    def make_unreadable(self, key: str, times: int | None = None) -> None:
        """Every answer that would hold this event is garbage, for `times` answers or without end."""
        self._unreadable[key] = times

    def make_readable(self, key: str) -> None:
        """End that."""
        self._unreadable.pop(key, None)

    def unreadable_among(self, keys: list[str]) -> str | None:
        """The first of these events that makes the answer garbage now; counted as served."""
        if not self._unreadable:
            return None
        for key in keys:
            if key in self._unreadable:
                self._spend(key)
                self.served[UNREADABLE] += 1
                return key
        return None

    def draw(self, below: int) -> int:
        """A seeded number of [0, below), for whoever serves a fault."""
        return self._rng.randrange(below)

    def _spend(self, key: str) -> None:
        times = self._unreadable[key]
        if times is None:
            return
        if times <= 1:
            del self._unreadable[key]
        else:
            self._unreadable[key] = times - 1
