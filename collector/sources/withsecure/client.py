"""Requests to the Elements API: the login, the vendor's errors in the program's words, the vendor's clock.

Facts, from the vendor's "Elements API getting started" and its own samples unless said otherwise: the token request is
`POST /as/token.oauth2` with Basic authorization and a form of exactly `grant_type` and `scope`; the token lives about
30 minutes and there is no refresh token; a User-Agent is mandatory everywhere; every answer has an `x-transaction`
which support asks for; errors are `{"message", "code", "transactionId"}`, but gateways answer with HTML at times. Every
request, logins included, takes a turn of the budget (10,000 or 300 requests a minute and source IP).
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections import defaultdict
from collections.abc import Sequence
from urllib.parse import urlencode

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
from collector.http import USER_AGENT, Answer, HttpClients, parse_retry_after
from collector.model import Lane
from collector.sources.egress import egress_of
from collector.sources.vendor_time import VendorClock, VendorTime
from collector.sources.withsecure.complaints import Complaint, read_complaint, read_json
from collector.sources.withsecure.config import WithSecureConfig

_FORM = "application/x-www-form-urlencoded"
_REFRESH_BEFORE = 60.0
_USUAL_LIFETIME, _LONGEST_LIFETIME = 1797.0, 86400.0
_WAIT_WHEN_THROTTLED = 5.0
# Which of these a stale anchor gets is not documented; without it the next answer tells what is really wrong.
_ANCHOR_REFUSED = (400, 404, 410, 422)
_NOT_OFFERED = (404, 405, 501)
_NOT_LICENSED = (403, 501)
_LOGINS_AT_ONCE = 2
# One new token that is refused may have been taken back on its way, by whoever else logs in.
_REFUSED_IN_A_ROW = 2


class NotOffered(NotLicensed):
    """The vendor does not serve this to anybody, or not to these credentials."""


class WithSecureClient:
    """One API client's requests. Logs in when it must; callers that need a token at once share one login."""

    def __init__(self, config: WithSecureConfig, http: HttpClients, budget: Budget, clock: Clock) -> None:
        self._config = config
        self._http = http
        self._budget = budget
        self._clock = clock
        self._egress = egress_of(config)
        self.vendor_clock = VendorClock(clock)
        self._may_ask_time = True
        self._asking_time: defaultdict[Lane, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._token = ""
        self._good_until = self._dead_from = -math.inf
        self._refused: set[str] = set()
        self._login = asyncio.Lock()
        self._attempts = 0
        self._held_until = -math.inf
        self._failure: SourceError | None = None

    async def vendor_time(self, lane: Lane) -> VendorTime:
        """The vendor's clock now; costs a login where no answer told it yet."""
        seen = self._attempts
        async with self._asking_time[lane]:  # the feeds of one account begin together: one login is enough for all
            if self._attempts != seen and self._failure is not None:
                raise self._failure
            if not self.vendor_clock.known and self._may_ask_time:
                self._respect_wishes()
                await self._budget.take(lane)
                await self._renew(refused=self._token)
                self._may_ask_time = False  # answers without `Date` exist: one login is enough to find out
        return self.vendor_clock.read()

    def doubt_time(self) -> None:
        """What the vendor's clock says leads nowhere: forget it, ask anew next time."""
        self.vendor_clock.forget()
        self._may_ask_time = True

    async def post(self, path: str, form: Sequence[tuple[str, str]], lane: Lane, *, anchored: bool = False) -> Answer:
        """Ask for something; the answer has status 200.

        `anchored`: the form holds an anchor, so a refused request means that the vendor no longer takes it.

        Raises:
            NotLicensed: good credentials may not ask for this.
            SourceUnavailable, SourceDenied, CheckpointExpired, SourceProtocolError: as `Source.fetch`.
        """
        return await self._ask("POST", path, lane, urlencode(form).encode(), anchored=anchored)

    async def get(
        self,
        path: str,
        lane: Lane,
        query: Sequence[tuple[str, str]] = (),
        *,
        anchored: bool = False,
        optional: bool = False,
    ) -> Answer:
        """Ask for something with the parameters in the address; as `post`.

        Raises:
            NotOffered: the vendor does not know the path, which `optional` says may be.
        """
        query_text = urlencode(query)
        return await self._ask("GET", path, lane, None, query_text, anchored=anchored, optional=optional)

    async def _ask(
        self,
        method: str,
        path: str,
        lane: Lane,
        body: bytes | None,
        query: str = "",
        *,
        anchored: bool,
        optional: bool = False,
    ) -> Answer:
        token = await self._token_in_turn(lane)
        answer = await self._authorized(method, path, body, token, query)
        if answer.status == 401:
            # Expired or revoked in the middle of a run: one new login, the same request once more.
            token = await self._token_in_turn(lane, refused=token)
            dead_from = self._dead_from
            answer = await self._authorized(method, path, body, token, query)
            if answer.status == 401:
                self._refused_again(path, answer, token, dead_from)
        if answer.status != 401:
            self._refused.clear()
        if answer.status == 200:
            self._budget.answered(self)
            return answer
        complaint = read_complaint(answer, self._secrets())
        if anchored and answer.status in _ANCHOR_REFUSED:
            raise CheckpointExpired(f"{path}: the anchor is refused: {complaint}")
        if optional and answer.status in _NOT_OFFERED:
            raise NotOffered(f"{path}: {complaint}")
        if answer.status in _NOT_LICENSED:
            raise NotLicensed(f"{path}: {complaint}")
        raise self._error(path, answer, complaint)

    def _refused_again(self, path: str, answer: Answer, token: str, dead_from: float) -> None:
        """A token is refused that was got for just this request: raises while that says nothing of the credentials."""
        if self._token == token:
            self._good_until = -math.inf
        words = read_complaint(answer, self._secrets())
        if self._clock.monotonic() >= dead_from:
            raise SourceUnavailable(f"{path}: the token grew too old on its way: {words}")
        self._refused.add(token)  # several lanes may meet the same
        if len(self._refused) < _REFUSED_IN_A_ROW:
            raise SourceUnavailable(f"{path}: a new token is refused as well: {words}")

    async def _token_in_turn(self, lane: Lane, refused: str | None = None) -> str:
        """Take a turn for one request, and only then look at the token: the queue may be longer than a token lives.

        A turn that finds no good token goes to the login, and another is taken for the request.
        """
        self._respect_wishes()
        await self._budget.take(lane)
        for _ in range(_LOGINS_AT_ONCE):
            if self._is_good(refused):
                break
            await self._renew(refused)
            refused = None  # a login may give the same token once more: another login would not help
            await self._budget.take(lane, again=True)
        return self._token

    def _respect_wishes(self) -> None:
        """What the vendor asked of one lane holds for the others of the account, too: that costs nobody a turn."""
        left = self._held_until - self._clock.monotonic()
        if left > 0:
            raise SourceUnavailable("the vendor asked to wait", retry_after=left, throttled=True)

    async def _authorized(self, method: str, path: str, body: bytes | None, token: str, query: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = _FORM
        return await self._send(method, f"{path}?{query}" if query else path, headers, body)

    async def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Answer:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, **headers}
        url = self._config.base_url.rstrip("/") + target
        answer = await self._http.request(method, url, headers=headers, body=body, egress=self._egress)
        self.vendor_clock.note(answer.date)
        return answer

    def _is_good(self, refused: str | None) -> bool:
        return self._token != refused and self._clock.monotonic() < self._good_until

    async def _renew(self, refused: str | None) -> None:
        """Spend a turn on getting a token; not `refused`, which the vendor has just turned down.

        Those that wait while somebody logs in share the outcome, also a failure: their turn is let go, as it would be
        late. If that somebody is cancelled, the next of them logs in.
        """
        seen = self._attempts
        async with self._login:
            if self._attempts != seen:
                if self._failure is not None:
                    raise self._failure
                if self._token != refused:
                    return
            try:
                await self._log_in()
            except SourceError as exc:
                self._failure = exc
                self._attempts += 1
                raise
            self._failure = None
            self._attempts += 1

    async def _log_in(self) -> None:
        secret = self._config.client_secret.get_secret_value()
        basic = base64.b64encode(f"{self._config.client_id}:{secret}".encode()).decode()
        body = urlencode({"grant_type": "client_credentials", "scope": "connect.api.read"}).encode()
        path = "/as/token.oauth2"
        asked_at = self._clock.monotonic()
        answer = await self._send("POST", path, {"Authorization": f"Basic {basic}", "Content-Type": _FORM}, body)
        if answer.status != 200:
            complaint = read_complaint(answer, self._secrets())
            if answer.status == 400:
                raise SourceDenied(f"{path}: the login is refused: {complaint}")
            raise self._error(path, answer, complaint)
        content = read_json(answer.body)
        token = content.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or not token:
            raise SourceUnavailable(f"{path}: the answer holds no token {read_complaint(answer, self._secrets())}")
        lifetime = _lifetime(content.get("expires_in"))
        self._token = token
        self._dead_from = asked_at + lifetime
        self._good_until = asked_at + lifetime - min(_REFRESH_BEFORE, lifetime / 2)

    def _error(self, path: str, answer: Answer, complaint: Complaint) -> SourceError:
        message = f"{path}: {complaint}"
        match answer.status:
            case 401 | 403 | 501:
                return SourceDenied(message)
            case 429:
                wait = self._wished_wait(answer)
                # The vendor counts by source IP: everybody behind this budget waits.
                self._budget.refused(self, _WAIT_WHEN_THROTTLED if wait is None else wait)
                self._held_until = self._clock.monotonic() + (wait or 0.0)
                return SourceUnavailable(message, retry_after=wait, throttled=True)
            case 503:
                return SourceUnavailable(message, retry_after=self._wished_wait(answer))
            case 408 | 425:
                return SourceUnavailable(message)
            case status if status >= 500 or not complaint.is_json:
                return SourceUnavailable(message)
            case _:
                return SourceProtocolError(message)

    def _wished_wait(self, answer: Answer) -> float | None:
        return parse_retry_after(answer.headers.get("Retry-After"), answer.date or self._clock.now())

    def _secrets(self) -> tuple[str, ...]:
        return self._config.client_secret.get_secret_value(), self._token


def _lifetime(expires_in: object) -> float:
    """Seconds a token lives; the vendor says 1797 or 1799, anything odd counts as usual: a 401 would tell."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, (int, float, str)) else _USUAL_LIFETIME
    except (ValueError, OverflowError):
        return _USUAL_LIFETIME
    return min(seconds, _LONGEST_LIFETIME) if seconds > 0 else _USUAL_LIFETIME
