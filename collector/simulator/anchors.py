"""Page tokens: base64 of JSON `[epoch ms, id]`, a stateless search-after position as in the one real sample found.

An optional third text makes two anchors of the same position differ (the real sample has a third element too). To
serve a page nothing is remembered; what is remembered is which query an anchor was given out for, to catch clients
that change it on the way. `limit` may change: smaller pages of the same query are the same query.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict

import orjson

from collector.simulator.rules import RuleBook, bad_format
from collector.simulator.shelf import Position

_REMEMBERED = 100_000

Fingerprint = tuple[tuple[str, str], ...]


def write_anchor(position: Position, nonce: str = "") -> str:
    """The token of a position."""
    return base64.b64encode(orjson.dumps([*position, nonce] if nonce else position)).decode()


def read_anchor(text: str) -> Position:
    """The position of a token.

    Raises:
        Refused: 400 code 400001, it is none of ours.
    """
    try:
        parts = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise bad_format("anchor", text) from exc
    match parts:
        case [int(ms), str(key)] | [int(ms), str(key), str()]:
            return ms, key
    raise bad_format("anchor", text)


class AnchorBook:
    """Which queries each anchor was given out for."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self._given: OrderedDict[tuple[str, str], set[Fingerprint]] = OrderedDict()
        self._forgot = False

    def gave(self, client_id: str, anchor: str, query: Fingerprint) -> None:
        """Remember that `anchor` was the `nextAnchor` of a page of `query`."""
        self._given.setdefault((client_id, anchor), set()).add(query)
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
            self._forgot = True

    def check(self, client_id: str, anchor: str, query: Fingerprint) -> None:
        """Count a broken rule if `anchor` was never given out, or for another query."""
        queries = self._given.get((client_id, anchor))
        if queries is None and not self._forgot:
            self._rules.broke("anchor that was never given out", anchor[:80])
        elif queries is not None and query not in queries:
            given = next(iter(queries))
            changed = sorted({name for name, _ in set(given) ^ set(query)})
            self._rules.broke("parameters changed while following an anchor", ", ".join(changed))
