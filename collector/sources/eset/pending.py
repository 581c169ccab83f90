"""The vendor's "not yet": a 202 whose `response-id` is asked for later, and what a lane keeps of it meanwhile.

By the vendor's help page `how_api_works`: what takes over 30 s is answered 202 with a header `response-id`; the
identical query is then sent again with that header (the bearer token alone may be another); another 202 may bring
another id; with the 200 the id is spent, and afterwards answered 404, as is a result that nobody fetched within ten
minutes; 504 means that the server gave up, and the query is to be sent anew. How often to ask is not said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

_FIRST_WAIT, _GROWTH, _LONGEST_WAIT = 1.5, 1.5, 30.0
_KEPT, _CLOCKS_DIFFER = timedelta(minutes=10), timedelta(minutes=1)
_LONGEST_TRIES = 1000


class Pending(Exception):
    """The vendor has not got the answer yet: keep a `PendingAnswer`, ask again later.

    `response_id`: to be sent with the identical request, "" where the vendor gave none. `wish`: seconds the vendor
    asks to wait, None where it does not say.
    """

    def __init__(self, response_id: str, wish: float | None = None) -> None:
        super().__init__("the vendor has not got the answer yet")
        self.response_id = response_id
        self.wish = wish


class PendingAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer the vendor is making: what a lane's checkpoint holds of it (`to_json`).

    `asked_at`: vendor time when the request was first sent. `tries`: how often it was answered 202. `request`: its
    `fingerprint`, so that an id goes only ever with its own request. `wish`: seconds the vendor asked to wait last.
    `gone`: how many ids of this request ahead of this one were gone when asked for, in a row.
    """

    response_id: str
    asked_at: Annotated[datetime, msgspec.Meta(tz=True)]
    tries: int
    request: str
    wish: float | None = None
    gone: int = 0

    @classmethod
    def after(
        cls, pending: Pending, request: str, now: datetime, before: PendingAnswer | None = None, gone: int = 0
    ) -> PendingAnswer:
        """What to keep after a 202; `before`: what was kept ahead of it, None if the request was a first one."""
        return cls(
            response_id=pending.response_id,
            asked_at=now if before is None else before.asked_at,
            tries=1 if before is None else min(before.tries + 1, _LONGEST_TRIES),
            request=request,
            wish=pending.wish,
            gone=gone if before is None else before.gone,
        )

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    @classmethod
    def from_json(cls, value: object) -> PendingAnswer | None:
        """Read what `to_json` made; None for any other shape."""
        try:
            return msgspec.convert(dict(value), cls) if isinstance(value, Mapping) else None
        except (msgspec.ValidationError, TypeError):
            return None

    def wait(self) -> float:
        """Seconds until it is worth asking again."""
        grown = min(_LONGEST_WAIT, _FIRST_WAIT * _GROWTH ** min(max(self.tries - 1, 0), 10))
        return grown if self.wish is None else max(grown, self.wish)

    def given_up(self, now: datetime) -> bool:
        """Whether the vendor has forgotten it by `now`, its own time; also where that clock went back meanwhile."""
        return not -_CLOCKS_DIFFER < now - self.asked_at < _KEPT


def fingerprint(service: str, path: str, query: Sequence[tuple[str, str]]) -> str:
    """A short name of a request, the same for identical ones."""
    text = "\x1f".join((service, path, *(f"{key}\x1e{value}" for key, value in query)))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
