"""Answers of the incident endpoints: the filtered list, the single get, the comments.

List items lack the uuids of devices and detections [SPEC, DOC]. Without `orderBy` the order is a seeded shuffle. An
incident that changes while a list is paged keeps its place, and shows what it is when its page is asked for.
"""

from __future__ import annotations

import zlib
from random import Random

import orjson

from collector.simulator.eset.accounts import EsetAccount
from collector.simulator.eset.answer import Answer, json_answer
from collector.simulator.eset.cel import read_filter, read_order
from collector.simulator.eset.incident import Incident, State
from collector.simulator.eset.incidents import Incidents
from collector.simulator.eset.lists import garbage, write_list
from collector.simulator.eset.paging import Pager, Run
from collector.simulator.eset.parameters import Query
from collector.simulator.faults import Faults
from collector.simulator.rules import Refused

INCIDENT_PARAMETERS = frozenset({"pageSize", "pageToken", "filter", "orderBy"})


class IncidentPages:
    """Answers once it is known who asks."""

    def __init__(self, incidents: Incidents, pager: Pager, faults: Faults, seed: int) -> None:
        self._incidents = incidents
        self._pager = pager
        self._faults = faults
        self._seed = seed
        self._rng = Random(f"incident pages:{seed}")

    def listed(self, account: EsetAccount, query: Query) -> Answer:
        """`GET /v2/incidents`."""
        username = account.username
        test = read_filter(query.values["filter"]) if query.values.get("filter") else None
        sort = read_order(query.values["orderBy"]) if query.values.get("orderBy") else None
        shuffle = f"{self._seed}:{query.fingerprint('pageToken', 'pageSize')}"

        def find() -> Run[str]:
            found = [pair for pair in self._incidents.of(username) if test is None or test(pair[1])]
            found.sort(key=lambda pair: zlib.crc32(f"{shuffle}:{pair[0].key}".encode()))
            if sort is not None:
                sort(found)
            return Run([incident.key for incident, _ in found])

        page = self._pager.page(username, query, find)
        rows = [self._now(username, key)[1].item for key in page.rows]
        unreadable = self._faults.unreadable_among(page.rows)
        if unreadable is not None:
            return Answer(200, garbage("incidents", rows, page.rows.index(unreadable)))
        return Answer(200, write_list("incidents", rows, page.token, self._rng))

    def single(self, account: EsetAccount, key: str) -> Answer:
        """`GET /v2/incidents/{uuid}`."""
        incident, state = self._now(account.username, key)
        if self._faults.unreadable_among([key]) is not None:
            return Answer(200, b'{"incident":' + state.raw[: len(state.raw) // 2] + b'\xff\x00"}}<<')
        place = incident.states.index(state)
        return Answer(200, b'{"incident":' + state.raw + b"}", served=lambda: incident.read.add(place))

    def comments(self, account: EsetAccount, key: str) -> Answer:
        """`GET /v2/incidents/{uuid}/comments`."""
        state = self._now(account.username, key)[1]
        if not state.comments:
            return json_answer(self._rng.choice(({}, {"comments": []}, {"comments": None})))
        return Answer(200, orjson.dumps({"comments": state.comments}))

    def _now(self, username: str, key: str) -> tuple[Incident, State]:
        found = self._incidents.find(username, key)
        if found is None:
            raise Refused(404, "no such incident")
        return found
