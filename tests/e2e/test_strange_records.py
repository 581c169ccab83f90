"""Records that differ from all we have seen: every one arrives with its bytes, as an event or as kind `unparsed`."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import orjson

from collector.simulator import Mix
from collector.simulator.eset.incident import Incident
from collector.simulator.oracle import read_lines
from tests.e2e.eset import PUNCTUAL, detections_setup, eset_simulator, incidents_setup
from tests.e2e.harness import Daemon, Setup, account, daemon, simulator
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
    await running.until(lambda status: status["sinks"][0]["delivered"] >= len(wanted))
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


def _named(shape: Shape, name: str, raw: bytes) -> str:
    """What the vendor calls this record: its identity where that is a text, else our own name for it."""
    record = json.loads(raw)
    identity = record.get(shape.identity) if isinstance(record, dict) else None
    return identity if isinstance(identity, str) and identity else name


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


async def test_strange_incidents_and_detections_of_withsecure_all_arrive(tmp_path: Path) -> None:
    vendor = simulator()
    incidents, company = vendor.cloud.incidents, account(0).organization
    at = datetime.now(UTC) - timedelta(hours=1)
    home = incidents.get(incidents.open(1, at, at, detections=1)[0])
    assert home is not None
    good, member = home.states[0], next(iter(home.detections.values()))
    shape = Shape(orjson.loads(good.raw), "incidentId", "updatedTimestamp", "riskLevel", "sources", "categories")
    strange = variations(shape) | _NO_OBJECTS
    for number, (name, raw) in enumerate(strange.items()):
        moment = at + timedelta(seconds=number)
        incidents.show(_named(shape, name, raw), raw, moment, company.id)
    of_member = Shape(
        orjson.loads(member.raw), "detectionId", "createdTimestamp", "severity", "activityContext", "activityContext"
    )
    odd_members = {f"detection, {name}": raw for name, raw in variations(of_member).items() if raw != b"{}"}
    home.detections |= {name: replace(member, key=name, raw=raw) for name, raw in odd_members.items()}
    home.created |= dict.fromkeys(odd_members, good.stamp_ms)
    async with vendor.serve() as base_url:
        setup = Setup(tmp_path, base_url, source={"feeds": ["incidents"]})
        async with daemon(setup) as running:
            await _all_arrive(running, strange | odd_members | {"incident": good.raw, "member": member.raw})


async def test_strange_detections_of_eset_all_arrive(tmp_path: Path) -> None:
    vendor = eset_simulator()
    now = datetime.now(UTC)
    good = vendor.cloud.ledger.newest(vendor.cloud.fill(1, now, now, mix=PUNCTUAL)[0])
    assert good.v1 is not None
    shape = Shape(orjson.loads(good.v1), "uuid", "occurTime", "severityLevel", "context", "responses")
    strange = variations(shape) | _NO_OBJECTS
    vendor.cloud.add(
        replace(good, key=name, occur_ms=good.occur_ms - number, v1=raw, v2=None)
        for number, (name, raw) in enumerate(strange.items())
    )
    async with vendor.serve() as base_url, daemon(detections_setup(tmp_path, base_url)) as running:
        await _all_arrive(running, strange | {"good": good.v1})


async def test_strange_incidents_of_eset_all_arrive(tmp_path: Path) -> None:
    vendor = eset_simulator()
    incidents = vendor.incidents
    at = datetime.now(UTC) - timedelta(hours=1)
    home = incidents.incidents[incidents.open(at=at)]
    good = home.states[0]
    shape = Shape(dict(good.fields), "uuid", "updateTime", "severity", "metrics", "tags")
    strange = variations(shape) | _NO_OBJECTS
    for name, raw in strange.items():
        key = _named(shape, name, raw)
        incidents.incidents[key] = Incident(key, home.username, [replace(good, raw=raw, item=raw)])
    async with vendor.serve() as base_url, daemon(incidents_setup(tmp_path, base_url)) as running:
        await _all_arrive(running, strange | {"good": good.raw})
