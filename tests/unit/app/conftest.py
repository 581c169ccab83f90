from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.metrics import METRICS
from collector.sinks import BUILTIN as SINKS
from collector.sources import BUILTIN as SOURCES
from collector.testing import FakeClock
from tests.unit.app import plugins
from tests.unit.app.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setitem(SOURCES, "memory", "tests.unit.app.plugins:SOURCE")
    monkeypatch.setitem(SOURCES, "other", "tests.unit.app.plugins:OTHER_SOURCE")
    monkeypatch.setitem(SINKS, "memory", "tests.unit.app.plugins:SINK")
    yield World(tmp_path, FakeClock())
    for tenant, source in plugins.VENDORS:
        METRICS.forget(tenant=tenant, source=source)
    for sink in plugins.RECEIVERS:
        METRICS.forget(sink=sink)
    plugins.VENDORS.clear()
    plugins.RECEIVERS.clear()
