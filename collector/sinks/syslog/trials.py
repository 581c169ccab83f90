"""How often in a row a receiver may get events without ever confirming them.

Each such attempt may have left a part of the same batch at the receiver. After three the sink is held; from then on,
until a batch is confirmed, there is one attempt for every probe that is answered.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from collector.errors import SinkDenied, SinkError, SinkUnavailable
from collector.sinks.syslog.connection import Unanswered

_MOST = 3
_KEY = "attempts in doubt"
NO_ANSWER = "receiver does not answer half-close; set confirm: false"


class Trials:
    """Counts in `memory`, which outlives the sink: it is opened anew after each failure."""

    def __init__(self, memory: MutableMapping[str, int]) -> None:
        self._memory = memory

    def good(self) -> None:
        """A batch is certain."""
        self._memory.pop(_KEY, None)

    @property
    def proven(self) -> bool:
        """No attempt has failed since the last good one."""
        return _KEY not in self._memory

    def failed(self, exc: SinkUnavailable) -> SinkError:
        """An attempt ended in doubt; what to raise for it."""
        count = self._memory[_KEY] = self._memory.get(_KEY, 0) + 1
        if count < _MOST:
            return exc
        if isinstance(exc, Unanswered):
            return SinkDenied(NO_ANSWER)
        return SinkDenied(f"{count} attempts in a row ended before the receiver confirmed anything: {exc}")
