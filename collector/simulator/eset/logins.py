"""Tokens of the simulated ESET Connect: password and refresh grants, rotating refresh tokens.

Only forms are read, anything else is 415 [SEED, SPEC]. `password` and `refresh_token` are the only grants [SPEC]; extra
fields are tolerated, as public integrations send them. Each refresh gives a new access and a new refresh token; the
old refresh token is dead from then on unless `single_use` is off [unknown at the vendor]. Wrong or missing credentials
are 400 `invalid_grant`.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import orjson

from collector.clock import Clock
from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.query import read_form
from collector.simulator.rules import Refused, RuleBook

_FORM = "application/x-www-form-urlencoded"
# A client may have sent its request just before the end.
_GRACE_SECONDS = 2.0


@dataclass(slots=True)
class _Token:
    username: str
    expires: float
    revoked: bool = False


class TokenRefused(Refused):
    """A refusal of the token endpoint; its body is OAuth's."""

    def __init__(self, status: int, error: str, rule: str = "") -> None:
        super().__init__(status, error, rule)
        self.error = error


class EsetLogins:
    """Gives out tokens, and knows whose they are. `granted` counts by (username, grant)."""

    def __init__(self, accounts: Mapping[str, EsetAccount], rules: RuleBook, clock: Clock, rng: Random) -> None:
        self.expires_in = 3600
        self.refresh_lives_seconds: float | None = None
        self.single_use = True
        self.granted: Counter[tuple[str, str]] = Counter()
        self._accounts = accounts
        self._rules = rules
        self._clock = clock
        self._rng = rng
        self._access: dict[str, _Token] = {}
        self._refresh: dict[str, _Token] = {}

    def claimed(self, body: bytes) -> str:
        """The user a token request names, nothing checked; "" where it names none."""
        try:
            form = read_form(body)
        except Refused:
            return ""
        token = self._refresh.get(form.get("refresh_token", [""])[0])
        return token.username if token is not None else form.get("username", [""])[0]

    def login(self, content_type: str, body: bytes) -> dict[str, object]:
        """The answer to one token request.

        Raises:
            TokenRefused: 415 no form; 400 it breaks a rule, or is not accepted.
        """
        if content_type != _FORM:
            raise TokenRefused(415, "", "token request is no form")
        try:
            form = read_form(body)
        except Refused as exc:
            raise TokenRefused(400, "invalid_request", "malformed token form") from exc
        if any(len(values) != 1 for values in form.values()):
            raise TokenRefused(400, "invalid_request", "repeated field in a token request")
        fields = {name: values[0] for name, values in form.items()}
        match fields.get("grant_type"):
            case "password":
                username = self._by_password(fields)
            case "refresh_token":
                username = self._by_refresh(fields)
            case _:
                raise TokenRefused(400, "unsupported_grant_type", "grant is neither password nor refresh_token")
        self.granted[username, fields["grant_type"]] += 1
        return self._grant(username)

    def account(self, authorization: str | None) -> EsetAccount:
        """Whose data request this is.

        Raises:
            Refused: 401, there is no valid token with it.
        """
        if authorization is None or not authorization.startswith("Bearer "):
            raise Refused(401, "no bearer token", "data request without a bearer token")
        token = self._access.get(authorization.removeprefix("Bearer "))
        if token is None:
            raise Refused(401, "unknown token", "token that was never given out")
        if token.revoked:
            raise Refused(401, "token is no longer valid")
        late = self._clock.monotonic() - token.expires
        if late > 0:
            raise Refused(401, "token has expired", "token used after it expired" if late > _GRACE_SECONDS else "")
        return self._accounts[token.username]

    def revoke(self, username: str, *, refresh: bool = False) -> None:
        """Take back every access token of this user, with `refresh` the refresh tokens too."""
        for token in [*self._access.values(), *(self._refresh.values() if refresh else ())]:
            if token.username == username:
                token.revoked = True

    def _by_password(self, fields: Mapping[str, str]) -> str:
        missing = [name for name in ("username", "password") if not fields.get(name)]
        if missing:
            raise TokenRefused(400, "invalid_grant", f"password grant without {' and '.join(missing)}")
        account = self._accounts.get(fields["username"])
        if account is None or account.password != fields["password"]:
            raise TokenRefused(400, "invalid_grant")
        return account.username

    def _by_refresh(self, fields: Mapping[str, str]) -> str:
        text = fields.get("refresh_token", "")
        token = self._refresh.get(text)
        if token is None:
            raise TokenRefused(400, "invalid_grant", "refresh token that was never given out")
        if token.revoked or token.expires <= self._clock.monotonic():
            raise TokenRefused(400, "invalid_grant")
        token.revoked = self.single_use
        return token.username

    def _grant(self, username: str) -> dict[str, object]:
        now = self._clock.monotonic()
        claims = base64.urlsafe_b64encode(orjson.dumps({"n": len(self._access)})).decode().rstrip("=")
        access = f"eyJhbGciOiJSUzI1NiJ9.{claims}.{self._rng.getrandbits(256):064x}"
        refresh = f"r/{base64.b64encode(self._rng.randbytes(30)).decode()}+="
        lives = self.refresh_lives_seconds
        self._access[access] = _Token(username, now + self.expires_in)
        self._refresh[refresh] = _Token(username, float("inf") if lives is None else now + lives)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer" if self._rng.random() < 0.3 else "Bearer",
            "expires_in": self.expires_in,
        }
