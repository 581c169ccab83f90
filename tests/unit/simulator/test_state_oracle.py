"""The judge of incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.simulator.oracle import of_feed
from collector.simulator.state_oracle import judge_states

FILE = Path("events.ndjson")
OLD, NEW = b'{"status":"OPEN"}', b'{"status":"CLOSED"}'
STATES: dict[str, list[dict[str, Any]]] = {
    "i-1": [
        {"raw": OLD, "comments": []},
        {"raw": NEW, "comments": []},
        {"raw": NEW, "comments": ["k-1"]},
    ]
}


def line(raw: bytes, *comments: str, key: str = "i-1", flags: tuple[str, ...] = (), feed: str = "incidents") -> bytes:
    head = orjson.dumps({"id": key, "feed": feed, "flags": flags, "comments": comments})
    return head[:-1] + b',"raw":' + raw + b"}\n"


@pytest.mark.parametrize(
    "lines",
    [[line(NEW, "k-1")], [line(OLD), line(NEW), line(NEW, "k-1")], [line(NEW, "k-1"), line(OLD)]],
    ids=["last alone", "all", "last first"],
)
def test_all_is_well_when_the_last_state_is_there_and_none_twice(lines: list[bytes]) -> None:
    verdict = judge_states(STATES, [(FILE, each) for each in lines])

    assert verdict.good
    assert verdict.events == len(lines)


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([], "missing"),
        ([line(OLD)], "missing"),
        ([line(NEW)], "missing"),
        ([line(NEW, "k-1"), line(NEW, "k-1")], "doubled"),
        ([line(NEW, "k-1"), line(NEW, "k-1", key="i-2")], "strange"),
        ([line(NEW, "k-1"), line(b'{"status":"?"}')], "altered"),
        ([line(NEW, "k-1"), line(NEW)[:-1]], "torn"),
    ],
    ids=["nothing", "old", "without comment", "twice", "another incident", "another state", "torn"],
)
def test_each_wrong_is_told_by_its_name(lines: list[bytes], wrong: str) -> None:
    verdict = judge_states(STATES, [(FILE, each) for each in lines])

    assert not verdict.good
    assert getattr(verdict, wrong)


def test_lines_are_told_apart_by_their_feed_and_torn_ones_go_to_every_judge() -> None:
    lines = [(FILE, line(NEW)), (FILE, line(OLD, feed="detections")), (FILE, b"torn")]

    assert list(of_feed(lines, "incidents")) == [lines[0], lines[2]]
    assert list(of_feed(lines, "detections", "incidents")) == lines
