from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from collector.simulator.incident_oracle import judge_incidents

PLACE = Path("events.ndjson")


def state(status: str, *, times: int = 1, updated: str = "t1") -> dict[str, Any]:
    document = {"incidentId": "i", "updatedTimestamp": updated, "status": status, "riskLevel": "low"}
    return {"times": times, "raw": json.dumps(document).encode()}


def line(raw: bytes, kind: str = "incident", key: str = "i") -> tuple[Path, bytes]:
    return PLACE, b'{"id":"%s","kind":"%s","raw":%s}\n' % (key.encode(), kind.encode(), raw)


def report(*states: dict[str, Any], **detections: bytes) -> dict[str, Any]:
    return {"i": {"states": states, "detections": {key: {"raw": raw} for key, raw in detections.items()}}}


def test_every_served_state_once_and_every_detection_is_good() -> None:
    new, closed = state("new"), state("closed", updated="t2")

    verdict = judge_incidents(
        report(new, closed, d=b'{"d":1}'), [line(new["raw"]), line(closed["raw"]), line(b'{"d":1}', "detection", "d")]
    )

    assert verdict.good
    assert verdict.events == 3


def test_a_state_that_nobody_saw_may_be_missing_but_not_the_last() -> None:
    unseen, last = state("new", times=0), state("closed", times=0, updated="t2")

    assert judge_incidents(report(unseen, last), [line(last["raw"])]).good
    assert len(judge_incidents(report(unseen, last), []).missing) == 1


def test_what_is_missing_doubled_strange_altered_or_torn_is_told() -> None:
    new = state("new")
    lines = [
        line(new["raw"]),
        line(new["raw"]),
        line(state("closed")["raw"]),
        line(b'{"d":2}', "detection", "d"),
        (PLACE, b'{"id":'),
    ]

    verdict = judge_incidents(report(new, d=b'{"d":1}', e=b"{}"), lines)

    assert verdict.missing == ["e"]
    assert len(verdict.doubled) == len(verdict.strange) == len(verdict.torn) == 1
    assert verdict.altered == ["d"]
