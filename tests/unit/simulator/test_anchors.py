"""Following pages."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from collector.simulator import WithSecureSimulator, anchors
from collector.simulator.anchors import AnchorBook
from collector.simulator.rules import RuleBook
from tests.unit.simulator.reader import NOON, Client, fill, ids, only_rule


@pytest.mark.parametrize("limit", ["1", "3", "200"])
async def test_anchors_lead_through_a_tie_of_five_hundred(sim: WithSecureSimulator, client: Client, limit: str) -> None:
    sim.gateway.set_limit(10_000, 60)
    before = sim.cloud.tie(3, NOON - timedelta(minutes=2))
    tied = sim.cloud.tie(500, NOON - timedelta(minutes=1))

    met = ids(await client.walk(limit=limit))

    assert sorted(met) == sorted(before + tied)
    assert sim.violations == []


async def test_anchor_is_a_stateless_position_of_time_and_id(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim, 300)

    first = (await client.page()).json
    last = first["items"][-1]
    position = base64.b64decode(first["nextAnchor"]).decode()
    second = (await client.page(anchor=first["nextAnchor"])).json

    assert position.startswith("[1772")
    assert position.endswith(f',"{last["id"]}"]')
    assert "nextAnchor" not in second
    assert (await client.page(anchor=first["nextAnchor"])).json == second


@pytest.mark.parametrize(
    "changes",
    [
        {"persistenceTimestampStart": "2026-03-02T00:00:01Z"},
        {"persistenceTimestampEnd": "2026-03-02T11:59:59Z"},
        {"persistenceTimestampEnd": None},
        {"order": "desc"},
        {"engineGroup": "epp"},
        {"severity": "info"},
    ],
)
async def test_other_parameters_with_an_anchor_break_a_rule(
    sim: WithSecureSimulator, client: Client, changes: dict[str, str | None]
) -> None:
    fill(sim, 300)
    anchor = (await client.page()).json["nextAnchor"]

    reply = await client.page(anchor=anchor, **changes)

    assert reply.status == 200
    assert only_rule(sim).startswith(f"parameters changed while following an anchor: {next(iter(changes))}")


async def test_smaller_limit_with_an_anchor_is_the_same_query(sim: WithSecureSimulator, client: Client) -> None:
    fill(sim, 300)
    anchor = (await client.page()).json["nextAnchor"]

    reply = await client.page(anchor=anchor, limit="5")

    assert len(reply.json["items"]) == 5
    assert sim.violations == []


async def test_anchor_that_was_never_given_out_breaks_a_rule(sim: WithSecureSimulator, client: Client) -> None:
    anchor = base64.b64encode(b'[1772442907412,"x"]').decode()

    assert (await client.page(anchor=anchor)).status == 200
    assert only_rule(sim).startswith("anchor that was never given out")


def test_memory_of_given_anchors_is_bounded_and_forgotten_ones_break_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "_REMEMBERED", 2)
    rules = RuleBook()
    book = AnchorBook(rules)

    for anchor in ("a", "b", "c"):
        book.gave("client", anchor, (("order", "asc"),))
    for anchor in ("a", "b", "c"):
        book.check("client", anchor, (("order", "desc"),))

    assert len(rules.violations) == 2
