"""`collector status` tells of what no table knows, feed by feed, and never more than fits a screen."""

from __future__ import annotations

import pytest

from collector.cli import main
from tests.unit.admin.fake_daemon import STATUS, FakeOperations

Captured = pytest.CaptureFixture[str]
FEED = STATUS["feeds"][0]


def warnings(config: str, capsys: Captured) -> list[str]:
    assert main(["status", "-c", config]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if "no table knows" in line]


def test_status_names_what_no_table_knows_by_feed_the_most_frequent_first(daemon: str, capsys: Captured) -> None:
    (line,) = warnings(daemon, capsys)

    assert line == (
        "warning: acme/withsecure/security_events: vendor fields or values that no table knows: "
        "engine:new [2J (12,345), details.fooBar (3)"
    )


def test_status_tells_of_a_few_names_of_a_few_feeds(daemon: str, operations: FakeOperations, capsys: Captured) -> None:
    names = {f"name{number:02d}": 1 for number in range(50)}
    operations.answer_status = STATUS | {
        "feeds": [FEED | {"tenant": f"t{number}", "unknown_fields": names} for number in range(250)]
    }

    first, *_, last = lines = warnings(daemon, capsys)

    assert len(lines) == 6
    assert first.endswith("name06 (1), name07 (1) and 42 more")
    assert last == "warning: 245 more feeds have fields or values that no table knows"


@pytest.mark.parametrize("names", [{}, None])
def test_status_is_silent_where_every_table_knows_everything(
    names: dict[str, int] | None, daemon: str, operations: FakeOperations, capsys: Captured
) -> None:
    operations.answer_status = STATUS | {"feeds": [FEED | {"unknown_fields": names}]}

    assert warnings(daemon, capsys) == []
