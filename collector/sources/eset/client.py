"""Requests to ESET Connect's domain services: the vendor's errors in the program's words, pending answers, its clock.

Facts, from the vendor's help pages and its published API description unless said otherwise: what a user may not do is
answered 403, a token that is too old 401; a service or version that a customer has not got 403, 404 or 501 (the last
one was seen live); 400 came with an empty body; 504 means that the server took too long. Every request, logins
included, takes a turn of the budget: 10 a second are counted by account and source IP. A burst of a thousand and more
is served at two a second with 202 and the rest rejected with 50x, to be sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote, urlencode

from collector.budget import Budget
from collector.clock import Clock
from collector.errors import (
    CheckpointExpired,
    NotLicensed,
    SourceDenied,
    SourceError,
    SourceProtocolError,
    SourceUnavailable,
)
from collector.http import Answer, AnswerTooLarge, HttpClients
from collector.model import Lane
from collector.sources.eset.complaints import printable, read_complaint
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.login import Login, Token, is_token
from collector.sources.eset.pending import Pending, PendingAnswer, fingerprint
from collector.sources.eset.wire import Wire
from collector.sources.vendor_time import VendorTime

Service = Literal["incident", "device"]

# What a stale token or response id gets is not documented but for 404; without it the next answer tells what is wrong.
_STALE = (400, 404, 410, 422)
_SPENT_KEPT = 256
# So many ids in a row that are gone, each of them new: it is the request that is refused.
_GONE_IN_A_ROW = 3
# A service that refused a fresh token is not worth a login at each attempt.
_FORBIDDEN_SECONDS = 600.0
# So many new tokens refused, of which the last was got by password, are no accident.
_REFUSED_IN_A_ROW = 2


class ResponseGone(SourceUnavailable):
    """The vendor has not got the pending answer any more: send the query again without the response id.

    `refusal`: what the same answer means where it is the request that is refused, since the status does not tell.
    """

    def __init__(self, message: str, refusal: SourceError) -> None:
        super().__init__(message)
        self.refusal = refusal


class TookTooLong(SourceUnavailable):
    """The server gave up making the answer (504): ask for less. An answer that was pending is lost."""


class NotOffered(NotLicensed):
    """There is no such thing at this vendor, or not for this customer."""


class EsetClient:
    """One API user's requests. Logs in when it must; callers that need a token at once share one login.

    Kept between calls, beside the login: which response ids are spent, so that none is sent after its answer even if
    the page made of it was never stored.
    """

    def __init__(self, config: EsetConfig, http: HttpClients, budget: Budget, clock: Clock) -> None:
        self._clock = clock
        self._budget = budget
        self._wire = Wire(config, http, budget, clock)
        self._login = Login(config, self._wire, budget, clock)
        self._origins = {"incident": config.incident_origin, "device": config.device_origin}
        self.vendor_clock = self._wire.vendor_clock
        self._may_ask_time = True
        self._spent: deque[str] = deque(maxlen=_SPENT_KEPT)
        self._forbidden: dict[str, float] = {}
        self._refused_in_a_row = 0

    async def vendor_time(self, lane: Lane) -> VendorTime:
        """The vendor's clock now; costs a login where no answer told it yet."""
        if not self.vendor_clock.known and self._may_ask_time:
            await self._budget.take(lane)
            if not self.vendor_clock.known:  # another lane may have logged in while this one stood in line
                await self._login.renew(lane)
            self._may_ask_time = False  # answers without `Date` exist: one login is enough to find out
        return self.vendor_clock.read()

    def doubt_time(self) -> None:
        """What the vendor's clock says leads nowhere: forget it, ask anew next time."""
        self.vendor_clock.forget()
        self._may_ask_time = True

    async def get(
        self,
        service: Service,
        path: str,
        query: Sequence[tuple[str, str]],
        lane: Lane,
        *,
        response_id: str | None = None,
        tokened: bool = False,
    ) -> Answer:
        """Ask for something; the answer has status 200. `path` is percent-encoded already, `query` is not.

        `tokened`: the query holds a stored page or delta token, so a refused request means that the vendor no longer
        takes it.

        Raises:
            Pending: the answer is being made.
            ResponseGone, TookTooLong, NotOffered, NotLicensed: as they say.
            CheckpointExpired: the token is refused.
            SourceUnavailable, SourceDenied, SourceProtocolError: as `Source.fetch`.
        """
        origin = self._origins[service]
        if origin is None:
            raise NotOffered(f"{path}: the configuration does not say where this is")
        if not response_id or response_id in self._spent:
            response_id = None
        url = origin + path + ("?" + urlencode(query, quote_via=quote) if query else "")
        try:
            answer = await self._authorized(path, url, lane, response_id)
        except AnswerTooLarge:
            if response_id is not None:
                self._spent.append(response_id)
            raise
        if answer.status == 202:
            raise Pending(_new_id(answer) or response_id or "", self._wire.wish(answer))
        if response_id is not None and answer.status in (200, 504, *_STALE):
            self._spent.append(response_id)
        if answer.status == 200:
            self._forbidden.pop(_family(path), None)
            return answer
        raise self._refusal(path, answer, response_id=response_id, tokened=tokened)

    async def ask(
        self,
        service: Service,
        path: str,
        query: Sequence[tuple[str, str]],
        lane: Lane,
        kept: PendingAnswer | None,
        *,
        tokened: bool = False,
    ) -> Answer | PendingAnswer:
        """As `get`, with the pending answers by the book: returns what to keep instead of raising `Pending`.

        `kept`: what the checkpoint holds of a pending answer; of another request, or spent, it is let go.

        Raises:
            TookTooLong: the answer was not made within the time that the vendor keeps it, besides what `get` says.
        """
        gone = 0
        request = fingerprint(service, path, query)
        if kept is not None and (kept.request != request or kept.response_id in self._spent):
            kept = None
        if kept is not None and kept.given_up(self.vendor_clock.read().now):
            self._spent.append(kept.response_id)
            raise TookTooLong(f"{path}: the vendor did not get the answer ready in ten minutes")
        try:
            try:
                response_id = kept.response_id if kept else None
                return await self.get(service, path, query, lane, response_id=response_id, tokened=tokened)
            except ResponseGone as exc:
                gone = 1 + (kept.gone if kept else 0)
                if gone >= _GONE_IN_A_ROW:
                    raise exc.refusal from exc
                kept = None
                return await self.get(service, path, query, lane, tokened=tokened)
        except Pending as pending:
            return PendingAnswer.after(pending, request, self.vendor_clock.read().now, kept, gone)

    async def _authorized(self, path: str, url: str, lane: Lane, response_id: str | None) -> Answer:
        """Send a request with a good token; with a new one once more where the vendor does not like that."""
        token = await self._login.token_in_turn(lane)
        answer = await self._send(url, token, response_id)
        if answer.status != 401 and (answer.status != 403 or self._is_forbidden(path)):
            self._refused_in_a_row = 0
            return answer
        token = await self._login.token_in_turn(lane, refused=token)
        answer = await self._send(url, token, response_id)
        if answer.status == 401:
            self._login.give_up(token)
            self._refused_in_a_row += 1
            words = read_complaint(answer, self._login.secrets)
            if self._clock.monotonic() >= token.dead_from:  # this says nothing about the credentials
                raise SourceUnavailable(f"{path}: the token grew too old on its way: {words}")
            if self._refused_in_a_row < _REFUSED_IN_A_ROW:
                raise SourceUnavailable(f"{path}: a new token is refused as well: {words}")
            return answer
        self._refused_in_a_row = 0
        if answer.status == 403:
            self._forbidden[_family(path)] = self._clock.monotonic() + _FORBIDDEN_SECONDS
        return answer

    async def _send(self, url: str, token: Token, response_id: str | None) -> Answer:
        headers = {"Authorization": f"Bearer {token.text}"}
        if response_id is not None:
            headers["response-id"] = response_id
        return await self._wire.send("GET", url, headers)

    def _is_forbidden(self, path: str) -> bool:
        return self._clock.monotonic() < self._forbidden.get(_family(path), 0.0)

    def _refusal(self, path: str, answer: Answer, *, response_id: str | None, tokened: bool) -> SourceError:
        complaint = read_complaint(answer, self._login.secrets)
        message = f"{path}: {complaint}"
        if answer.status in _STALE and response_id is not None:
            return ResponseGone(message, self._refusal(path, answer, response_id=None, tokened=tokened))
        if answer.status in _STALE and tokened:
            return CheckpointExpired(f"{path}: the token is refused: {complaint}")
        if answer.status == 504:
            return TookTooLong(message, retry_after=self._wire.wish(answer))
        return self._wire.trouble(path, answer, complaint) or _verdict(answer.status, message)


def _verdict(status: int, message: str) -> SourceError:
    match status:
        case 401:
            return SourceDenied(message)
        case 403:  # to a token that was got just for this
            return NotLicensed(message)
        case 404 | 405 | 501:
            return NotOffered(message)
        case _:
            return SourceProtocolError(message)


def _new_id(answer: Answer) -> str:
    text = printable(answer.headers.get("response-id", ""))
    return text if is_token(text) else ""


def _family(path: str) -> str:
    """What a path asks for, without the one it asks for."""
    return "/".join(path.split("/")[:3])
