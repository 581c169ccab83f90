"""Access tokens: given out for a credential, valid for a while, taken back by a fault."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from collector.clock import Clock
from collector.simulator.accounts import Account
from collector.simulator.query import read_form
from collector.simulator.rules import Refused, RuleBook

_SCOPES = frozenset({"connect.api.read", "connect.api.write"})


@dataclass(slots=True)
class _Token:
    client_id: str
    expires: float
    revoked: bool = False


class TokenRefused(Refused):
    """A refusal of the token endpoint, whose error body is that of OAuth."""

    def __init__(self, status: int, error: str, description: str, rule: str = "") -> None:
        super().__init__(status, description, rule)
        self.error = error


class Logins:
    """The token endpoint's rules [SEED, LC]: Basic authentication, a form of exactly `grant_type` and `scope`.

    Tokens are opaque and contain `/`; a new one does not end the earlier ones. `granted` counts logins by client id.
    """

    def __init__(self, accounts: Mapping[str, Account], rules: RuleBook, clock: Clock, rng: Random) -> None:
        self.expires_in = 1797
        self.granted: Counter[str] = Counter()
        self._accounts = accounts
        self._rules = rules
        self._clock = clock
        self._rng = rng
        self._tokens: dict[str, _Token] = {}

    def login(self, authorization: str | None, content_type: str, body: bytes) -> dict[str, object]:
        """The answer to one token request.

        Raises:
            TokenRefused: it breaks a rule, or the credential is not known.
        """
        if content_type != "application/x-www-form-urlencoded":
            raise TokenRefused(400, "invalid_request", "unsupported content type", "token request is no form")
        try:
            form = read_form(body)
        except Refused as exc:
            raise TokenRefused(400, "invalid_request", exc.message, exc.rule) from exc
        self._check_form(form)
        account = self._authenticate(authorization)
        unknown = [scope for scope in form["scope"][0].split(" ") if scope not in _SCOPES]
        if unknown:
            raise TokenRefused(400, "invalid_scope", "unknown scope", "unknown scope")
        self.granted[account.client_id] += 1
        token = f"sim/{base64.b64encode(self._rng.randbytes(33)).decode()}"
        self._tokens[token] = _Token(account.client_id, self._clock.monotonic() + self.expires_in)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

    def account(self, authorization: str | None) -> Account:
        """Whose data request this is.

        Raises:
            Refused: 401, there is no valid token with it.
        """
        if authorization is None or not authorization.startswith("Bearer "):
            raise Refused(401, "No bearer token", "data request without a bearer token")
        token = self._tokens.get(authorization.removeprefix("Bearer "))
        if token is None:
            raise Refused(401, "Unknown token", "token that was never given out")
        if token.revoked:
            raise Refused(401, "Token is no longer valid")
        if token.expires <= self._clock.monotonic():
            raise Refused(401, "Token has expired", "token used after it expired")
        return self._accounts[token.client_id]

    def revoke(self, client_id: str) -> None:
        """Take back every token of this credential."""
        for token in self._tokens.values():
            if token.client_id == client_id:
                token.revoked = True

    def _check_form(self, form: Mapping[str, list[str]]) -> None:
        if "client_id" in form or "client_secret" in form:
            raise TokenRefused(400, "invalid_request", "credentials in the body", "credentials in the token body")
        if set(form) != {"grant_type", "scope"} or any(len(given) != 1 for given in form.values()):
            rule = "token form is not exactly grant_type and scope"
            raise TokenRefused(400, "invalid_request", "wrong parameters", rule)
        if form["grant_type"] != ["client_credentials"]:
            raise TokenRefused(400, "unsupported_grant_type", "unsupported grant type", "unsupported grant type")

    def _authenticate(self, authorization: str | None) -> Account:
        if authorization is None or not authorization.startswith("Basic "):
            raise TokenRefused(
                401, "invalid_client", "no Basic authentication", "token request without Basic authentication"
            )
        try:
            pair = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except (binascii.Error, ValueError) as exc:
            rule = "malformed Basic authentication"
            raise TokenRefused(401, "invalid_client", "malformed authentication", rule) from exc
        client_id, _, client_secret = pair.partition(":")
        account = self._accounts.get(client_id)
        if account is None or account.client_secret != client_secret:
            raise TokenRefused(401, "invalid_client", "unknown client or wrong secret")
        return account
