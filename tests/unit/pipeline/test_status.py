"""What a feed knows of itself."""

from __future__ import annotations

from collector.pipeline.status import MAX_UNKNOWN_NAMES, FeedStatus
from tests.unit.pipeline.workbench import ACME


def test_names_that_no_table_knows_are_counted_and_bounded() -> None:
    status = FeedStatus(ACME)

    for number in range(500):
        status.note_unknown(("always", f"name{number}"))

    assert status.unknown["always"] == 500
    assert len(status.unknown) == MAX_UNKNOWN_NAMES
    assert status.unknown["name0"] == 1
