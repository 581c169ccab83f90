"""Records that differ from all we have seen: every one arrives with its bytes, as an event or as kind `unparsed`."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import orjson

from collector.simulator import Mix
from collector.simulator.oracle import read_lines
from tests.e2e.harness import Daemon, Setup, daemon, simulator
from tests.e2e.variations import Shape, variations

_NO_OBJECTS = {"null": b"null", "a number": b"7", "a word": b'"word"', "a list": b"[1]"}


class _Line(msgspec.Struct):
    uid: str
    kind: str
    raw: msgspec.Raw
    flags: list[str] = []


def _delivered(setup: Setup) -> list[_Line]:
    return [msgspec.json.decode(line, type=_Line) for _, line in read_lines(setup.events)]


async def _all_arrive(running: Daemon, wanted: dict[str, bytes]) -> None:
    """Wait for every one of these bytes, unless they can't be sent as they are; each once, and readable."""
    await running.start()
    await running.until(lambda status: status["feeds"][0]["events"] >= len(wanted))
    await running.until(lambda status: status["sinks"][0]["backlog_events"] == 0)
    await asyncio.sleep(1.0)  # a sweep more brings nothing twice
    await running.stop()
    lines = _delivered(running.setup)
    raws = Counter(bytes(line.raw) for line in lines if "repaired" not in line.flags)
    repaired = sum("repaired" in line.flags for line in lines)
    missing = sorted(name for name, raw in wanted.items() if raw not in raws)

    assert len(missing) == repaired, missing
    assert len(lines) == len(wanted)
    assert len({line.uid for line in lines}) == len(wanted)
    assert {line.kind for line in lines} > {"unparsed"}


async def test_strange_security_events_all_arrive(tmp_path: Path) -> None:
    vendor = simulator()
    now = datetime.now(UTC)
    good = vendor.cloud.ledger.newest(vendor.cloud.fill(1, now, now, mix=Mix(late=0.0))[0])
    shape = Shape(orjson.loads(good.raw), "id", "persistenceTimestamp", "severity", "target", "details")
    strange = variations(shape) | _NO_OBJECTS
    stamp = good.stamp_ms - int(timedelta(hours=1).total_seconds() * 1000)
    vendor.cloud.add(
        replace(good, key=name, raw=raw, stamp_ms=stamp + number, visible_ms=stamp + number)
        for number, (name, raw) in enumerate(strange.items())
    )
    async with vendor.serve() as base_url, daemon(Setup(tmp_path, base_url)) as running:
        await _all_arrive(running, strange | {"good": good.raw})
