"""Access tokens of one API user: the login by password, the renewal by refresh token, shared by all who wait for it.

`POST /oauth/token` with a form, nothing else (415). A token lives an hour. A renewal gives a new access and a new
refresh token, the old ones may be dead from then on. How long a refresh token lives and whether it may be used twice is
not documented: so it is sent once, and whatever comes of it but a new pair makes the next login one by password.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import urlencode

from collector.budget import Budget
from collector.clock import Clock
from collector.errors import SourceDenied, SourceError, SourceProtocolError, SourceUnavailable
from collector.http import Answer
from collector.model import Lane
from collector.sources.eset.complaints import printable, read_complaint, read_json
from collector.sources.eset.config import EsetConfig
from collector.sources.eset.wire import Wire

PATH = "/oauth/token"
_REFRESH_BEFORE = 60.0
_USUAL_LIFETIME, _LONGEST_LIFETIME = 3600.0, 86400.0
_LOGINS_AT_ONCE = 2
_PENDING_WAITS = (1.0, 1.5, 2.5, 4.0, 6.0)
_OLD_TOKENS_KEPT = 8

Form = dict[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Monotonic times: until when to use it, from when on it is dead."""

    text: str = ""
    good_until: float = -math.inf
    dead_from: float = -math.inf


class Login:
    """Gives access tokens. Callers that need a new one at once share one login, also its failure."""

    def __init__(self, config: EsetConfig, wire: Wire, budget: Budget, clock: Clock) -> None:
        self._config = config
        self._wire = wire
        self._budget = budget
        self._clock = clock
        self._token = Token()
        self._refresh = ""
        self._old: deque[str] = deque(maxlen=_OLD_TOKENS_KEPT)
        self._lock = asyncio.Lock()
        self._attempts = 0
        self._failure: SourceError | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not stand in any message: the password and tokens, of which old ones may still be good."""
        return self._config.password.get_secret_value(), self._token.text, self._refresh, *self._old

    async def token_in_turn(self, lane: Lane, refused: Token | None = None) -> Token:
        """Take a turn for one request, and only then look at the token: the queue may be longer than a token lives.

        A turn that finds no good token goes to the login, and another is taken for the request. `refused`: a token the
        vendor has just turned down.
        """
        await self._budget.take(lane)
        for _ in range(_LOGINS_AT_ONCE):
            if self._is_good(refused):
                break
            await self.renew(lane, refused)
            refused = None  # a login may give the same token once more: another login would not help
            await self._budget.take(lane, again=True)
        return self._token

    async def renew(self, lane: Lane, refused: Token | None = None) -> None:
        """Spend a turn that was taken on getting a token.

        Those that wait while somebody logs in share the outcome: their turn is let go, as it would be late. If that
        somebody is cancelled, the next of them logs in.
        """
        seen = self._attempts
        async with self._lock:
            if self._attempts != seen:
                if self._failure is not None:
                    raise self._failure
                if not self._is_same(refused):
                    return
            try:
                await self._log_in(lane)
            except SourceError as exc:
                self._failure = exc
                self._attempts += 1
                raise
            self._failure = None
            self._attempts += 1

    def give_up(self, token: Token) -> None:
        """This token is refused although it is new: the next login is one by password, whatever the vendor gave."""
        if self._is_same(token):
            self._token = Token(token.text)
            self._keep_refresh("")

    def _is_good(self, refused: Token | None) -> bool:
        return not self._is_same(refused) and self._clock.monotonic() < self._token.good_until

    def _is_same(self, refused: Token | None) -> bool:
        return refused is not None and self._token.text == refused.text

    async def _log_in(self, lane: Lane) -> None:
        refresh = self._refresh
        if refresh:
            self._keep_refresh("")
            answer = await self._post({"grant_type": "refresh_token", "refresh_token": refresh}, lane)
            if answer.status in (429, 503):  # refused without a look at it
                self._keep_refresh(refresh)
            if not 400 <= answer.status < 500 or answer.status in (408, 425, 429):
                self._take(answer)
                return
            await self._budget.take(lane, again=True)
        secret = self._config.password.get_secret_value()
        form = {"grant_type": "password", "username": self._config.username, "password": secret}
        self._take(await self._post(form, lane))

    async def _post(self, form: Form, lane: Lane) -> Answer:
        """Send a form, and again as long as the vendor says that it is not ready, for some seconds."""
        url = self._config.auth_origin + PATH
        body = urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._wire.send("POST", url, headers, body)
        for wait in _PENDING_WAITS:
            if answer.status != 202:
                break
            headers |= _response_id(answer)
            await self._clock.sleep(max(wait, self._wire.wish(answer) or 0.0))
            await self._budget.take(lane, again=True)
            answer = await self._wire.send("POST", url, headers, body)
        if answer.status == 202:
            raise SourceUnavailable(f"{PATH}: the login is still pending ({self._complaint(answer)})", 5.0)
        if answer.status == 404 and "response-id" in headers:
            raise SourceUnavailable(f"{PATH}: the pending login is gone ({self._complaint(answer)})", 1.0)
        return answer

    def _take(self, answer: Answer) -> None:
        if answer.status != 200:
            raise self._refusal(answer)
        content = read_json(answer.body)
        text = content.get("access_token")
        if not is_token(text):
            raise SourceUnavailable(f"{PATH}: the answer holds no token ({self._complaint(answer)})")
        lifetime = _lifetime(content.get("expires_in"))
        now = self._clock.monotonic()
        self._old.append(self._token.text)
        self._token = Token(text, now + lifetime - min(_REFRESH_BEFORE, lifetime / 2), now + lifetime)
        refresh = content.get("refresh_token")
        self._keep_refresh(refresh if is_token(refresh) else "")

    def _keep_refresh(self, refresh: str) -> None:
        if self._refresh:
            self._old.append(self._refresh)
        self._refresh = refresh

    def _refusal(self, answer: Answer) -> SourceError:
        complaint = read_complaint(answer, self.secrets)
        trouble = self._wire.trouble(PATH, answer, complaint)
        if trouble is not None:
            return trouble
        if answer.status in (404, 405):
            return SourceProtocolError(f"{PATH}: there is no login here: {complaint}")
        return SourceDenied(f"{PATH}: the login is refused: {complaint}")

    def _complaint(self, answer: Answer) -> str:
        return str(read_complaint(answer, self.secrets))


def is_token(value: object) -> TypeGuard[str]:
    """Whether this can be sent as a token."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable() and " " not in value


def _response_id(answer: Answer) -> dict[str, str]:
    text = printable(answer.headers.get("response-id", ""))
    return {"response-id": text} if text else {}


def _lifetime(expires_in: object) -> float:
    """Seconds a token lives; the vendor says 3600, anything odd counts as usual: a 401 would tell."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float, str)):
        return _USUAL_LIFETIME
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        return _USUAL_LIFETIME
    return min(seconds, _LONGEST_LIFETIME) if seconds > 0 else _USUAL_LIFETIME
