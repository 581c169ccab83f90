"""Answers that are not ready: 202 with a `response-id`, the identical request again with that id as a header [DOC].

Not ready: 202 again, perhaps with a new id. Ready: 200, and the entry is deleted, so that the same id gives 404 after
it. What nobody fetches within ten minutes is deleted, too. Only the bearer token may differ between the requests.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from collector.clock import Clock
from collector.simulator.eset.answer import Answer
from collector.simulator.eset.parameters import Fingerprint
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused, RuleBook

_LIVES_SECONDS = 600.0
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Entry:
    username: str
    asked: Fingerprint
    ready: float
    since: float
    state: str = "waiting"  # then "fetched", "lost" (through no fault of the client) or "replaced"


class PendingAnswers:
    """The answers that clients wait for, by response id."""

    def __init__(self, faults: Faults, rules: RuleBook, clock: Clock, rng: Random) -> None:
        self._faults = faults
        self._rules = rules
        self._clock = clock
        self._rng = rng
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Answers nobody has fetched yet."""
        return sum(entry.state == "waiting" for entry in self._entries.values())

    def begin(self, username: str, asked: Fingerprint, seconds: float) -> Answer:
        """The 202 to a request whose answer takes that long."""
        now = self._clock.monotonic()
        response_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._entries[response_id] = _Entry(username, asked, now + seconds, now)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)
        cut = self._faults.strikes("pending_cut", username) is not None
        return Answer(202, headers={"response-id": response_id}, cut=cut)

    def poll(self, username: str, asked: Fingerprint, response_id: str) -> Answer | None:
        """A 202 or 504 to one that asks again, None when its answer is ready: it counts as fetched.

        Raises:
            Refused: 404 no such entry any more; 400 the request is not the one that was asked first.
        """
        entry = self._entries.get(response_id)
        if entry is None or entry.username != username:
            raise Refused(404, "no such response", "response id that was never given out")
        if entry.asked != asked:
            raise Refused(400, "another request", "response id with another request", details={"path": asked[0]})
        now = self._clock.monotonic()
        if entry.state == "waiting" and now - entry.since > _LIVES_SECONDS:
            entry.state = "lost"
        if entry.state != "waiting":
            rule = "response id sent after its answer" if entry.state == "fetched" else ""
            raise Refused(404, "response is gone", rule)
        if self._faults.strikes("pending_gone", username):
            entry.state = "lost"
            raise Refused(404, "response is gone")
        if self._faults.strikes("pending_504", username):
            entry.state = "lost"
            return Answer(504)
        if now < entry.ready:
            return Answer(202, headers={"response-id": response_id})
        if self._faults.strikes("pending_again", username):
            entry.state = "replaced"
            return self.begin(username, asked, 0.0)
        entry.state = "fetched"
        return None

    def lost(self, response_id: str) -> None:
        """Its answer did not get through: that the client asks again is no wrong."""
        self._entries[response_id].state = "lost"
