"""The demo's judge of CEF finds what is missing, double, strange and torn."""

from __future__ import annotations

from pathlib import Path

from collector.cli.demo.cef_lines import judge_cef
from collector.formats import FORMATS
from collector.simulator.oracle import Verdict
from collector.testing import make_event

EVENTS = [make_event(number, title="x externalId=0 | \n\\", fields={"event.action": "a|b"}) for number in range(4)]
PLACE = Path("place")
ENVELOPES = [(PLACE, FORMATS["json"].encode(event) + b"\n") for event in EVENTS]
LINES = [(PLACE, FORMATS["cef"].encode(event) + b"\n") for event in EVENTS]


def test_every_event_once_is_good() -> None:
    verdict = judge_cef(LINES, ENVELOPES)

    assert verdict.good
    assert verdict.events == 4


def test_everything_else_is_not() -> None:
    torn = (PLACE, LINES[3][1][:-20])

    verdict = judge_cef([LINES[0], LINES[1], LINES[1], torn], ENVELOPES[1:])

    assert verdict.missing == sorted([EVENTS[2].uid, EVENTS[3].uid])
    assert (verdict.strange, verdict.doubled) == ([EVENTS[0].uid], [EVENTS[1].uid])
    assert len(verdict.torn) == 1


def test_what_is_wrong_at_one_place_is_wrong_with_the_whole() -> None:
    whole = Verdict()

    whole.add("cef", Verdict(missing=["a"], torn=["b"]))

    assert (whole.missing, whole.torn, whole.good) == (["cef: a"], ["cef: b"], False)
