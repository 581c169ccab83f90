"""WithSecure Elements API on loopback: strict, seeded, with faults on request.

It refuses what the vendor refuses and counts every rule that a client breaks. Letters in brackets name the vendor
pages, vendor code or public integrations that a rule was read from:

- Every request carries a User-Agent, the token endpoint's too [SEED]. At most 300 requests a minute and source
  address, token requests included [SEED, LC]; the window slides.
- `POST /as/token.oauth2`: Basic authentication, form of exactly `grant_type` and `scope`, credentials in the body are
  rejected [SEED, LC]. The token is opaque, holds `/`, lives `expires_in` seconds [SEED]; 401 `invalid_client` for
  wrong credentials [SEK, LC].
- `POST /security-events/v1/security-events`: form only [V-PY, ATT]; the parameters' rules stand in `query.py`, paging
  in `anchors.py`. `nextAnchor` is absent on the last page [SEED].
- `GET /incidents/v1/incidents`, `GET /incidents/v1/detections` [V-PY, MCP2, LC]: the rules stand in
  `incident_pages.py`; 403 where the product is not licensed [LC].
- `GET /whoami/v1/whoami`, `GET /organizations/v1/organizations` [SEED, ATT].
- Errors are `{message, code, transactionId, details}` with code 400000 or 400001 for parameters [SEK]. Every answer
  carries `Date` by the vendor's own clock and, token errors apart, `x-transaction` [SEED, V-FUN].
- An event is found from `visible_ms` on, which may be later than its stamp; one that is served again keeps its id
  and moves to a later stamp [unknown at the vendor: a client must be ready for both].

Where the vendor's answer is not known, the strictest plausible one was chosen: 403 without a User-Agent, 406 for an
Accept header without JSON, 100 as default `limit`, 400 for a start after the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from aiohttp import web

from collector.clock import Clock
from collector.simulator.accounts import COMPANY, Account
from collector.simulator.cloud import Cloud
from collector.simulator.control import Control
from collector.simulator.endpoints import Endpoints
from collector.simulator.faults import Faults
from collector.simulator.gateway import Gateway
from collector.simulator.logins import Logins
from collector.simulator.rules import RuleBook
from collector.simulator.server import listening
from collector.simulator.wire import drop_date


class WithSecureSimulator:
    """One simulated vendor with its credentials.

    `cloud` holds the events (`fill`, `add`, `tie`, `serve_again`, `drip`, `time.offset_seconds`), `faults` switches
    faults, `logins` counts and limits tokens. `requests` and `per_seconds` are the limit per source address.
    """

    def __init__(
        self,
        accounts: Sequence[Account] = (COMPANY,),
        *,
        seed: int = 1,
        clock: Clock | None = None,
        requests: int = 300,
        per_seconds: float = 60.0,
    ) -> None:
        clock = clock or Clock()
        self.rules = RuleBook()
        self.faults = Faults(seed)
        self.cloud = Cloud(accounts, clock, seed)
        self.logins = Logins(self.cloud.accounts, self.rules, clock, Random(f"tokens:{seed}"))
        endpoints = Endpoints(self.cloud, self.faults, self.logins, self.rules)
        self.gateway = Gateway(endpoints, self.cloud, self.faults, self.rules, clock)
        self.gateway.set_limit(requests, per_seconds)

    @property
    def violations(self) -> list[str]:
        """Broken rules, "rule: detail", in order of occurrence."""
        return self.rules.violations

    @property
    def faults_served(self) -> dict[str, int]:
        """How often clients met which fault."""
        return dict(self.faults.served)

    @property
    def requests(self) -> Counter[str]:
        """Requests by "METHOD /path"."""
        return self.gateway.requests

    @property
    def most_in_window(self) -> int:
        """The most requests of one source address that arrived within any one window."""
        return self.gateway.most_in_window

    def ledger(self, client_ids: Iterable[str] | None = None, *, hashes: bool = True) -> dict[str, dict[str, Any]]:
        """Every event visible by now by id, of those credentials or of all: see `Ledger.report`."""
        return dict(self.cloud.report(client_ids, hashes=hashes))

    def app(self) -> web.Application:
        """The vendor's API with the simulator's own control API under `/_sim/`."""
        app = web.Application(client_max_size=1 << 30)
        app.on_response_prepare.append(drop_date)
        Control(self.cloud, self.faults, self.rules, self.logins, self.gateway).add_routes(app.router)
        app.router.add_route("*", "/{path:.*}", self.gateway.handle)
        return app

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Listen until the context ends; the value is the base URL. Port 0 takes a free one."""
        async with listening(self.app(), host, port) as base_url:
            yield base_url
