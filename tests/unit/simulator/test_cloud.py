"""Late, moved and live events, and the ledger that remembers what was shown."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import pytest

from collector.simulator import COMPANY, Drip, Mix, Organization, WithSecureSimulator, generate
from collector.simulator.vendor_event import canonical_sha256
from tests.unit.simulator.reader import NOON, Client, SetClock, ids

CALM = Mix(late=0.0, hostile=0.0, harsh=0.0, legacy=0.0)
TO_ONE = {"persistenceTimestampEnd": "2026-03-02T13:00:00Z"}


async def test_late_event_is_found_nine_minutes_after_its_stamp(
    sim: WithSecureSimulator, client: Client, clock: SetClock
) -> None:
    [late] = sim.cloud.fill(1, NOON, NOON, mix=Mix(late=1.0, late_seconds=(540, 540)))

    clock.forward(539.9)
    before, ledger_before = ids(await client.walk(**TO_ONE)), sim.ledger()
    clock.forward(0.1)
    after = ids(await client.walk(**TO_ONE))

    assert (before, ledger_before, after) == ([], {}, [late])
    assert sim.ledger()[late]["stamp"] == "2026-03-02T12:00:00.000Z"
    assert sim.ledger()[late]["visible_at"] == "2026-03-02T12:09:00.000Z"


async def test_event_served_again_moves_to_a_later_stamp_with_its_flag_flipped(
    sim: WithSecureSimulator, client: Client, clock: SetClock
) -> None:
    keys = sim.cloud.fill(5, NOON - timedelta(hours=1), NOON, mix=CALM)
    sim.cloud.serve_again(keys[:2], after_seconds=30)

    before = [item for page in await client.walk(**TO_ONE) for item in page]
    clock.forward(30)
    after = [item for page in await client.walk(**TO_ONE) for item in page]

    assert [item["id"] for item in before] == keys
    assert [item["id"] for item in after] == keys[2:] + sorted(keys[:2])
    assert [item["acknowledged"] for item in after] == [False, False, False, True, True]
    assert {item["persistenceTimestamp"] for item in after[3:]} == {"2026-03-02T12:00:30.000Z"}
    entry = sim.ledger()[keys[0]]
    assert entry["times"] == 2
    assert len(entry["versions"]) == 2
    assert entry["raw"] == entry["versions"][0]
    assert entry["sha256"] == canonical_sha256(entry["versions"][1])


def test_an_unknown_event_cannot_be_served_again(sim: WithSecureSimulator) -> None:
    with pytest.raises(KeyError):
        sim.cloud.serve_again(["nobody"])


def test_events_of_an_organization_without_a_credential_are_refused(sim: WithSecureSimulator) -> None:
    strangers = generate(1, 1, NOON, NOON, [Organization("0", "Nobody Oy")])

    with pytest.raises(ValueError, match="no account sees organization 0"):
        sim.cloud.add(strangers)


async def test_ledger_holds_each_event_exactly_as_it_was_served(sim: WithSecureSimulator, client: Client) -> None:
    keys = sim.cloud.fill(400, NOON - timedelta(hours=1), NOON, mix=Mix(late=0.0, hostile=0.3, harsh=0.1))

    first = await client.page()
    ledger = sim.ledger()

    served = {key for key in ledger if ledger[key]["times"]}
    assert len(served) == 200
    assert len(served & set(keys[:202])) == 200
    for key in served:
        assert ledger[key]["raw"] in first.body
        assert ledger[key]["first_served_at"] == "2026-03-02T12:00:00.000Z"
    assert all(ledger[key]["first_served_at"] is None for key in ledger if key not in served)
    assert len(ledger) == 400


async def test_live_events_appear_at_their_rate_with_stamps_since_the_last_look(
    sim: WithSecureSimulator, client: Client, clock: SetClock
) -> None:
    sim.cloud.drip(Drip(rate=10, limit=500, mix=CALM))

    counts = []
    for _ in range(7):
        clock.forward(10)
        counts.append(len(ids(await client.walk(**TO_ONE))))

    assert counts == [100, 200, 300, 400, 500, 500, 500]
    stamps = [entry["stamp"] for entry in sim.ledger().values()]
    per_ten_seconds = [sum(stamp[17] == str(ten) for stamp in stamps) for ten in range(5)]
    assert per_ten_seconds == [100] * 5
    assert len({stamp[:19] for stamp in stamps}) > 40


def test_live_events_end_when_they_are_switched_off(sim: WithSecureSimulator, clock: SetClock) -> None:
    sim.cloud.drip(Drip(rate=5, mix=CALM))
    clock.forward(10)
    sim.cloud.drip(None)
    clock.forward(10)

    assert len(sim.ledger()) == 50


def test_some_live_events_are_served_again(sim: WithSecureSimulator, clock: SetClock) -> None:
    sim.cloud.drip(Drip(rate=10, again=0.3, again_seconds=(5, 20), mix=CALM))
    clock.forward(60)
    sim.cloud.drip(None)
    clock.forward(60)

    ledger = sim.ledger()
    assert len(ledger) == 600
    assert 100 < sum(len(entry["versions"]) == 2 for entry in ledger.values()) < 260


def test_looks_from_several_threads_make_no_live_event_twice(sim: WithSecureSimulator, clock: SetClock) -> None:
    sim.cloud.drip(Drip(rate=10, limit=300, mix=CALM))
    clock.forward(60)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            sizes = {len(ledger) for ledger in pool.map(lambda _: sim.ledger(hashes=False), range(8))}
    finally:
        sys.setswitchinterval(interval)

    assert sizes == {300}


async def test_two_simulators_of_one_seed_hold_the_same_bytes(clock: SetClock) -> None:
    first, second = (WithSecureSimulator(seed=5, clock=clock) for _ in range(2))

    for sim in (first, second):
        sim.cloud.fill(100, NOON - timedelta(hours=1), NOON)
        sim.cloud.drip(Drip(rate=1))
    clock.forward(30)

    assert first.ledger() == second.ledger()
    assert set(first.ledger()) != set()


def test_sha256_names_the_content_less_what_may_change(sim: WithSecureSimulator) -> None:
    [key] = sim.cloud.fill(1, NOON, NOON, mix=CALM)

    entry = sim.ledger()[key]

    record = json.loads(entry["raw"])
    for name in ("acknowledged", "persistenceTimestamp"):
        del record[name]
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    assert entry["sha256"] == sha256(canonical.encode()).hexdigest()
    assert entry["organization_id"] == COMPANY.organization.id
