from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import orjson
import pytest

from collector.model import Checkpoint, Lane
from collector.sources import lanes
from collector.sources.run import Narrow, run_of
from tests.unit.sources.walking import (
    HOUR,
    MINUTE,
    NOW,
    RULES,
    page,
    run_in,
    tip,
    vendor,
)


def test_runs_survive_the_store() -> None:
    at = lanes.begin(Lane.TIP, tip(NOW - HOUR), None, vendor(), RULES)
    at = page(Lane.TIP, at, [NOW - 30 * MINUTE + timedelta(microseconds=123_456)], "t1").checkpoint
    narrow = Narrow(phase="desc", stop=NOW, reason="torn", bad_end=NOW, asc_token="a", proofs=2)
    run = msgspec.structs.replace(run_in(at), narrow=narrow)

    stored = orjson.loads(orjson.dumps(run.to_json()))

    assert run_of(Checkpoint(run=stored)) == run


@pytest.mark.parametrize("run", [{}, {"start": 5}, {"token": "t"}])
def test_a_run_of_an_unknown_shape_is_begun_anew(run: dict[str, Any]) -> None:
    assert run_of(Checkpoint(run=run)) is None
    assert run_of(Checkpoint()) is None
    assert run_of(None) is None
