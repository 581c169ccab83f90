"""Incidents and their detections as the simulated vendor serves them: parameters checked as strictly as may be.

`GET /incidents/v1/incidents`: a created range or an updated one, never both, at most 30 days; a start is required
unless one incident is asked for; `order` desc unless asked, `limit` 1 to 50, 20 unless asked [MCP2, V-PY, SPL].
`GET /incidents/v1/detections`: `incidentId` is required, `limit` 1 to 100 [SEK, MCP2]; in no particular order.
Unknown, empty or repeated parameters are refused; 404 for an incident that is not there or not seen.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from collector.simulator.accounts import Account
from collector.simulator.anchors import read_anchor
from collector.simulator.answer import Answer
from collector.simulator.cloud import Cloud
from collector.simulator.faults import Faults
from collector.simulator.incident_shapes import RESOLUTIONS, RISKS, SOURCES, STATUSES
from collector.simulator.incidents import Incident
from collector.simulator.pages import Pages
from collector.simulator.query import (
    MAX_RANGE_US,
    Parameters,
    Query,
    fingerprint_of,
    read_limit,
    read_moment,
    read_organization,
    refuse_unknown,
    single,
)
from collector.simulator.rules import Refused, RuleBook, bad_format, bad_request
from collector.simulator.shelf import Shelf, Span
from collector.simulator.vendor_event import VendorEvent

_ARRAYS = {"status": frozenset(STATUSES), "riskLevel": frozenset(RISKS), "resolution": frozenset(RESOLUTIONS)}
_CHOICES = {name: frozenset({"true", "false"}) for name in ("exclusiveStart", "archived")} | {
    "order": frozenset({"asc", "desc"})
}
_RANGES = ("createdTimestamp", "updatedTimestamp")
_BOUNDS = frozenset(f"{name}{end}" for name in _RANGES for end in ("Start", "End"))
_INCIDENTS = frozenset({"incidentId", "source", "limit", "anchor", "organizationId", *_ARRAYS, *_CHOICES, *_BOUNDS})
_DETECTIONS = frozenset(
    {"incidentId", "createdTimestampStart", "createdTimestampEnd", "limit", "anchor", "organizationId"}
)
_FOREVER_MS = 1 << 48


class IncidentPages:
    """Answers both endpoints once their sender is known."""

    def __init__(self, cloud: Cloud, faults: Faults, rules: RuleBook) -> None:
        self._cloud = cloud
        self._incidents = Pages(faults, rules, cloud.incidents.served)
        self._detections = Pages(faults, rules, cloud.incidents.served)

    def incidents(self, account: Account, parameters: Parameters) -> Answer:
        """One page of incidents.

        Raises:
            Refused: not licensed, or a parameter breaks a rule.
        """
        if account.client_id in self._cloud.incidents.unlicensed:
            raise Refused(403, "The organization has no subscription for this product")
        refuse_unknown(parameters, _INCIDENTS)
        _check_words(parameters)
        used = [name for name in _RANGES if any(parameters.get(f"{name}{end}") for end in ("Start", "End"))]
        if len(used) > 1:
            raise bad_request("A created and an updated range do not go together", "two ranges")
        span = self._span(parameters, used[0] if used else "", account)
        shelf = self._cloud.incidents.shelf(account, by_created=used == ["createdTimestamp"])
        anchor = single(parameters, "anchor")
        return self._incidents.page(Query(span, anchor, fingerprint_of(parameters)), shelf, account.client_id)

    def detections(self, account: Account, parameters: Parameters) -> Answer:
        """One page of an incident's detections.

        Raises:
            Refused: not licensed, a parameter breaks a rule, or there is no such incident.
        """
        cloud = self._cloud.incidents
        if account.client_id in cloud.unlicensed | cloud.without_detections:
            raise Refused(403, "The organization has no subscription for this product")
        refuse_unknown(parameters, _DETECTIONS)
        incident_id = single(parameters, "incidentId")
        if incident_id is None:
            raise bad_request("incidentId is required", "detections without incidentId")
        read_organization(parameters, account.organization_ids)
        first_us, end_us = self._range(parameters, "createdTimestamp")
        cloud.catch_up()
        incident = cloud.get(incident_id)
        if incident is None or incident.organization_id not in account.organization_ids:
            raise Refused(404, "There is no such incident", "detections of an incident that was never shown")
        anchor = single(parameters, "anchor")
        span = Span(
            first_ms=0,
            end_ms=_FOREVER_MS,
            ascending=True,
            limit=read_limit(parameters, 100, 50),
            after=None if anchor is None else read_anchor(anchor),
            accepts=lambda event: first_us <= incident.created[event.key] * 1000 < end_us,
        )
        shelf = _shelf_of(incident, self._cloud.time.now_ms())
        return self._detections.page(Query(span, anchor, fingerprint_of(parameters)), shelf, account.client_id)

    def _span(self, parameters: Parameters, name: str, account: Account) -> Span:
        if not name and single(parameters, "incidentId") is None:
            raise bad_request("A time range is required", "no start of the time range")
        first_us, end_us = self._range(parameters, name)
        if name and end_us - first_us > MAX_RANGE_US + 1:
            raise bad_request("The time range is longer than 30 days", "range over 30 days")
        anchor = single(parameters, "anchor")
        return Span(
            first_ms=-(-first_us // 1000),
            end_ms=-(-end_us // 1000),
            ascending=single(parameters, "order") == "asc",
            limit=read_limit(parameters, 50, 20),
            after=None if anchor is None else read_anchor(anchor),
            accepts=_filter(parameters, account),
        )

    def _range(self, parameters: Parameters, name: str) -> tuple[int, int]:
        """Start and end in microseconds, end exclusive; a range that is not asked for is all there is."""
        start, end = (single(parameters, f"{name}{which}") for which in ("Start", "End"))
        if start is None and end is not None:
            raise bad_request(f"{name}Start is required", "no start of the time range")
        if start is None:
            return 0, _FOREVER_MS * 1000
        start_us = read_moment(f"{name}Start", start)
        end_us = self._cloud.time.now_ms() * 1000 if end is None else read_moment(f"{name}End", end)
        if start_us > end_us:
            raise bad_request("The time range ends before it starts", "start after end")
        return start_us + (single(parameters, "exclusiveStart") == "true"), end_us


def _shelf_of(incident: Incident, now_ms: int) -> Shelf:
    shelf = Shelf()
    for event in incident.detections.values():
        shelf.put(event)
    shelf.reveal(now_ms)
    return shelf


def _check_words(parameters: Parameters) -> None:
    for name, allowed in _ARRAYS.items():
        for value in parameters.get(name, []):
            if value not in allowed:
                raise bad_format(name, value)
    for name, allowed in _CHOICES.items():
        text = single(parameters, name)
        if text is not None and text not in allowed:
            raise bad_format(name, text)
    for source in (single(parameters, "source") or SOURCES[0]).split(","):
        if source not in SOURCES:
            raise bad_format("source", source)


def _filter(parameters: Parameters, account: Account) -> Callable[[VendorEvent], bool] | None:
    organization_id = read_organization(parameters, account.organization_ids)
    incident_id = single(parameters, "incidentId")
    wanted = {name: frozenset(parameters[name]) for name in _ARRAYS if name in parameters}
    if organization_id is None and incident_id is None and not wanted:
        return None

    def accepts(event: VendorEvent) -> bool:
        if organization_id not in {None, event.organization_id} or incident_id not in {None, event.key}:
            return False
        document = orjson.loads(event.raw)
        return all(document[name] in words for name, words in wanted.items())

    return accepts
