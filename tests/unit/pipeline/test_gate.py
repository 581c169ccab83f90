from __future__ import annotations

import asyncio

from collector.pipeline.gate import Gate
from tests.unit.pipeline.workbench import ACME, BETA


async def passes(gate: Gate) -> bool:
    """Whether acme's feed may be polled right now."""
    task = asyncio.create_task(gate.wait(ACME))
    for _ in range(5):
        await asyncio.sleep(0)
    passed = task.done()
    task.cancel()
    return passed


async def test_gate_is_open_at_first() -> None:
    assert await passes(Gate())


async def test_closed_gate_keeps_everybody_until_it_opens() -> None:
    gate = Gate()
    gate.close("log full", {})
    waiting = asyncio.create_task(gate.wait(ACME))
    await asyncio.sleep(0)
    assert gate.reason(ACME) == gate.reason(BETA) == "log full"
    assert not await passes(gate)

    gate.close(None, {})

    await asyncio.wait_for(waiting, 1)


async def test_streams_that_are_named_wait_and_others_pass() -> None:
    gate = Gate()
    gate.close(None, {BETA: "backlog"})
    assert await passes(gate)
    assert gate.reason(BETA) == "backlog"

    gate.close(None, {ACME: "backlog", BETA: "backlog"})
    assert not await passes(gate)


async def test_opening_for_one_does_not_let_another_through() -> None:
    gate = Gate()
    gate.close(None, {ACME: "backlog", BETA: "backlog"})
    waiting = {stream: asyncio.create_task(gate.wait(stream)) for stream in (ACME, BETA)}
    await asyncio.sleep(0)

    gate.close(None, {BETA: "backlog"})
    await asyncio.wait_for(waiting[ACME], 1)

    assert not waiting[BETA].done()
    waiting[BETA].cancel()


async def test_held_gate_opens_only_when_somebody_has_looked_even_if_nothing_changed() -> None:
    gate = Gate()
    gate.hold()
    assert gate.reason(ACME) is None
    assert not await passes(gate)

    gate.close(None, {})

    assert await passes(gate)


async def test_stating_the_same_again_wakes_nobody() -> None:
    gate = Gate()
    gate.close("disk full", {})
    changed = gate._changed
    gate.close("disk full", {})

    assert gate._changed is changed


async def test_paced_feed_waits_for_the_next_look_without_being_paused() -> None:
    gate = Gate()
    gate.close(None, {}, frozenset({ACME}))
    assert not await passes(gate)
    assert gate.reason(ACME) is None

    gate.close(None, {})
    assert await passes(gate)
