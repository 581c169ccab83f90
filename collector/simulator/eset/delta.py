"""Delta tokens of `:listDelta` [CLIENT]: `latest` begins, each answer's last page gives the next one.

A token stands for a place in the order in which detections became visible: what became visible while no token lived is
told by none. The same token may be used again and finds the same place. Lifetime and the status of a refusal are
unknown at the vendor: `lives_seconds` and `refusal` choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from collector.clock import Clock
from collector.simulator.eset.detection import Version
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused, RuleBook

LATEST = "latest"


@dataclass(slots=True)
class _Given:
    username: str
    version: Version
    position: int
    at: float
    dead: bool = False


class Deltas:
    """The delta tokens that were given out."""

    def __init__(self, faults: Faults, rules: RuleBook, clock: Clock, rng: Random) -> None:
        self.lives_seconds: float | None = None
        self.refusal = 400
        self._faults = faults
        self._rules = rules
        self._clock = clock
        self._rng = rng
        self._given: dict[str, _Given] = {}

    def position(self, username: str, version: Version, token: str | None, newest: int) -> int:
        """The place a token stands for; `newest` is that of `latest`.

        Raises:
            Refused: 400 without a token or with one never given out; `refusal` where it is dead or too old.
        """
        if not token:
            raise Refused(400, "deltaToken is missing", "listDelta without a deltaToken")
        if token == LATEST:
            return newest
        given = self._given.get(token)
        if given is None or (given.username, given.version) != (username, version):
            raise Refused(400, "unknown delta token", "delta token that was never given out", details={"token": token})
        if self._faults.strikes("stale_delta_token", username):
            given.dead = True
        too_old = self.lives_seconds is not None and self._clock.monotonic() - given.at > self.lives_seconds
        if given.dead or too_old:
            raise Refused(self.refusal, "delta token is no longer valid")
        return given.position

    def give(self, username: str, version: Version, position: int) -> str:
        """A new token for a place."""
        token = f"dlt-{len(self._given):06d}/{self._rng.getrandbits(64):016x}+="
        self._given[token] = _Given(username, version, position, self._clock.monotonic())
        return token

    def kill(self, username: str | None = None) -> None:
        """Let the vendor refuse every token given out so far, of one account or of all."""
        for given in self._given.values():
            if username in {None, given.username}:
                given.dead = True
