"""The made-up events of the vendors: read like real ones, and told apart from them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.plugins import installed

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("name", ["eset", "withsecure"])
def test_example_is_understood_and_says_what_it_is(name: str) -> None:
    plugin = installed().sources.get(name)
    assert plugin.example is not None
    feed, record = plugin.example("0123", AT)

    seen = plugin.normalize(feed, record)

    assert feed in plugin.feeds
    assert seen.unknown == ()
    assert "nothing has happened" in record.raw.decode()
    assert "nothing has happened" in f"{seen.title} {seen.fields.get('message')}"
    assert seen.severity in {"high", "critical"}
    assert seen.occurred_at == AT
    assert {"host.name", "file.path", "user.name"} <= seen.fields.keys()
    assert plugin.example("0124", AT)[1].id != record.id
