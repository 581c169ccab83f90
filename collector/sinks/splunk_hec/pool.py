"""The URLs of one sink: they take turns, and what one can't take goes to the next."""

from __future__ import annotations

from collections.abc import Sequence

from collector.errors import SinkDenied, SinkError, SinkUnavailable
from collector.sinks.splunk_hec.bodies import Part
from collector.sinks.splunk_hec.node import Node, Sent


class Pool:
    """Nodes that take the same events."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = list(nodes)
        self._turn = 0

    async def send(self, part: Part) -> Sent:
        """One body, to the first node that gives a verdict; those that failed a moment ago are tried last.

        Raises:
            SinkDenied: all nodes refuse us.
            SinkUnavailable: no node gave a verdict. One that did not answer in time may have taken it.
        """
        failures: list[SinkError] = []
        for node in self._in_order():
            try:
                return await node.send(part)
            except SinkError as exc:
                node.rest()
                failures.append(exc)
        raise _together(failures)

    async def probe(self, *, acknowledge: bool) -> bool:
        """Ask every node; whether all of them acknowledge, where that is asked for.

        Raises:
            SinkError: none would take events.
        """
        failures: list[SinkError] = []
        acknowledging = True
        for node in self._nodes:
            try:
                acknowledging &= await node.probe(acknowledge=acknowledge)
            except SinkError as exc:
                failures.append(exc)
        if len(failures) == len(self._nodes):
            raise _together(failures)
        return acknowledging

    def _in_order(self) -> list[Node]:
        turn, self._turn = self._turn, (self._turn + 1) % len(self._nodes)
        return sorted(self._nodes[turn:] + self._nodes[:turn], key=lambda node: node.resting)


def _together(failures: Sequence[SinkError]) -> SinkError:
    words = "; ".join(dict.fromkeys(str(exc) for exc in failures))
    if all(isinstance(exc, SinkDenied) for exc in failures):
        return SinkDenied(words)
    wishes = [exc.retry_after for exc in failures if isinstance(exc, SinkUnavailable) and exc.retry_after is not None]
    return SinkUnavailable(words, min(wishes, default=None))
