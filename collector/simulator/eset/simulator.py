"""ESET Connect on loopback: strict, seeded, with faults on request.

It refuses what the vendor refuses and counts every rule that a client breaks. Words in brackets name the sources that a
rule was read from: the vendor's guide [SEED], help pages [DOC], OpenAPI files [SPEC], its own client [CLIENT], public
integrations [ELASTIC, SENTINEL], third-party notes of probing [LIVE].

- `POST /oauth/token`: see `logins.py`.
- `GET /v1/detections`, `/v2/detections`, both with `:listDelta` and `/{uuid}`: `detection_pages.py`, `delta.py`.
- `GET /v2/incidents`, `/{uuid}`, `/{uuid}/comments`: `incident_pages.py`, `cel.py`.
- `GET /v1/devices`, `/{uuid}`, `:batchGet`.
- Parameters and page sizes: `parameters.py`; page tokens: `paging.py`; 202: `pending.py`; what a tenant has: `Offer`.
- 10 requests a second per user and source address in a sliding window, token requests included [DOC]; fair use on
  request.
- Errors have an empty body, 401 and 403 that of a gRPC status. Every answer has `request-id` and `Date` by the
  vendor's own clock.
- A data request without `3rd-integration` counts as a broken rule, and is refused with `require_integration`.

Not served: detection groups, `:batchGet` of detections, everything that writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from aiohttp import web

from collector.clock import Clock
from collector.simulator.eset.accounts import HARBOUR, EsetAccount
from collector.simulator.eset.cloud import EsetCloud
from collector.simulator.eset.control import EsetControl
from collector.simulator.eset.delta import Deltas
from collector.simulator.eset.detection_pages import DetectionPages
from collector.simulator.eset.endpoints import SERVICES, EsetEndpoints
from collector.simulator.eset.faults import NAMES
from collector.simulator.eset.gateway import EsetGateway
from collector.simulator.eset.incident_pages import IncidentPages
from collector.simulator.eset.incidents import Incidents
from collector.simulator.eset.logins import EsetLogins
from collector.simulator.eset.paging import Pager
from collector.simulator.eset.pending import PendingAnswers
from collector.simulator.faults import Faults
from collector.simulator.rules import RuleBook
from collector.simulator.server import listening
from collector.simulator.wire import drop_date

ALL_SERVICES = ("auth", "incident", "device")


@dataclass(frozen=True, slots=True)
class Origins:
    """Base URLs of the vendor's services."""

    auth: str
    incident: str
    device: str


class EsetSimulator:
    """One simulated vendor with its accounts.

    `cloud` holds detections (`fill`, `add`, `tie`, `straggle`, `resolve`, `drip`, `offer`, `time.offset_seconds`) and
    `incidents` (`open`, `change`, `comment`, `join`, `fill`, `stir`); `faults` switches faults; `logins`, `pager`,
    `deltas`, `detections`, `endpoints`, `gateway` have the vendor's settings. `requests` and `per_seconds` are the
    limit per user and source address.
    """

    def __init__(
        self,
        accounts: Sequence[EsetAccount] = (HARBOUR,),
        *,
        seed: int = 1,
        clock: Clock | None = None,
        requests: int = 10,
        per_seconds: float = 1.0,
    ) -> None:
        clock = clock or Clock()
        self.rules = RuleBook()
        self.faults = Faults(seed, NAMES)
        self.cloud = EsetCloud(accounts, clock, seed)
        self.logins = EsetLogins(self.cloud.accounts, self.rules, clock, Random(f"tokens:{seed}"))
        self.pager = Pager(self.faults, self.rules, clock, Random(f"page tokens:{seed}"))
        self.deltas = Deltas(self.faults, self.rules, clock, Random(f"delta tokens:{seed}"))
        self.pending = PendingAnswers(self.faults, self.rules, clock, Random(f"response ids:{seed}"))
        self.detections = DetectionPages(self.cloud, self.pager, self.deltas, self.faults, seed)
        incident_pages = IncidentPages(self.cloud.incidents, self.pager, self.faults, seed)
        self.endpoints = EsetEndpoints(
            self.cloud,
            self.faults,
            self.logins,
            self.rules,
            detections=self.detections,
            incidents=incident_pages,
            pager=self.pager,
            pending=self.pending,
        )
        self.gateway = EsetGateway(self.endpoints, self.cloud, self.faults, self.rules, clock)
        self.gateway.set_limit(requests, per_seconds)

    @property
    def incidents(self) -> Incidents:
        """The incidents of all accounts."""
        return self.cloud.incidents

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
        """Requests by "METHOD /path", with `{}` for a uuid."""
        return self.gateway.requests

    @property
    def most_in_window(self) -> int:
        """The most requests of one user and source address that arrived within any one window."""
        return self.gateway.most_in_window

    def offer(self, username: str | None = None, **changes: Any) -> None:
        """Change what an account, or with None every one, has: fields of `Offer`, such as `v1_delta=501`."""
        self.cloud.offer(username, **changes)

    def ledger(self, usernames: Iterable[str] | None = None, *, hashes: bool = True) -> dict[str, dict[str, Any]]:  # noqa: ARG002 -- as the other simulator's
        """Every detection that can be found by now by uuid, of those users or of all: `DetectionLedger.report`."""
        return dict(self.cloud.report(usernames))

    def app(self, services: Iterable[str] = ALL_SERVICES) -> web.Application:
        """The vendor's API, or some of its services, with the simulator's own control API under `/_sim/`."""
        app = web.Application(client_max_size=1 << 30)
        app[SERVICES] = frozenset(services)
        app.on_response_prepare.append(drop_date)
        EsetControl(self).add_routes(app.router)
        app.router.add_route("*", "/{path:.*}", self.gateway.handle)
        return app

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Listen until the context ends; the value is the base URL of all services. Port 0 takes a free one."""
        async with listening(self.app(), host, port) as base_url:
            yield base_url

    @asynccontextmanager
    async def serve_apart(self, host: str = "127.0.0.1") -> AsyncIterator[Origins]:
        """Listen on a free port for each service, which answers its own paths alone, until the context ends."""
        async with AsyncExitStack() as stack:
            urls = [await stack.enter_async_context(listening(self.app([name]), host, 0)) for name in ALL_SERVICES]
            yield Origins(*urls)
