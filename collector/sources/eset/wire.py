"""One request to ESET Connect and what its failure means whoever asks: the login or a feed.

Every answer's `Date` is noted in the vendor's clock. The vendor wants integrations to name themselves in a header
`3rd-integration`, its own client also sends its `Version`. The status decides, bodies only add words: errors came with
empty bodies, JSON and HTML.
"""

from __future__ import annotations

from collector import __version__
from collector.budget import Budget
from collector.clock import Clock
from collector.errors import SourceUnavailable
from collector.http import USER_AGENT, Answer, HttpClients, parse_retry_after
from collector.sources.egress import egress_of
from collector.sources.eset.complaints import Complaint
from collector.sources.eset.config import EsetConfig
from collector.sources.vendor_time import VendorClock

_WAIT_WHEN_THROTTLED = 5.0
_HEADERS = {
    "Accept": "application/json",
    "User-Agent": USER_AGENT,
    "3rd-integration": "edr-collector",
    "Version": __version__,
}


class Wire:
    """Sends requests for one API user, without taking turns: `budget` is only paused here."""

    def __init__(self, config: EsetConfig, http: HttpClients, budget: Budget, clock: Clock) -> None:
        self._http = http
        self._budget = budget
        self._clock = clock
        self._egress = egress_of(config)
        self.vendor_clock = VendorClock(clock)

    async def send(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """Send one request; the answer may have any status.

        Raises:
            SourceUnavailable: no whole answer came.
        """
        answer = await self._http.request(method, url, headers=_HEADERS | headers, body=body, egress=self._egress)
        self.vendor_clock.note(answer.date)
        return answer

    def wish(self, answer: Answer) -> float | None:
        """Seconds after which the vendor wants to be asked again; None where it does not say."""
        return parse_retry_after(answer.headers.get("Retry-After"), answer.date or self._clock.now())

    def trouble(self, path: str, answer: Answer, complaint: Complaint) -> SourceUnavailable | None:
        """What to raise for an answer that says nothing about the request itself; None for any other."""
        message = f"{path}: {complaint}"
        match answer.status:
            case 429:
                wait = self.wish(answer)
                # Counted by account and source IP: everybody behind this budget waits.
                self._budget.pause(_WAIT_WHEN_THROTTLED if wait is None else wait)
                return SourceUnavailable(message, retry_after=wait, throttled=True)
            case 501 | 505:
                return None
            case status if status >= 500 or status in (408, 425) or status < 400:
                return SourceUnavailable(message, retry_after=self.wish(answer))
            case _ if complaint.is_page:
                # A gateway's page, not the vendor's; save where the status itself is an answer.
                return None if answer.status in (401, 403, 404, 405) else SourceUnavailable(message)
            case _:
                return None
