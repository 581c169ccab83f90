"""A daemon that answers on the socket of a configuration, as the operator commands find it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.admin.fake_daemon import FakeOperations, daemon_on


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose daemon does not run."""
    path = tmp_path / "collector.yaml"
    path.write_text("admin: {control: c.sock}\n")
    return str(path)


@pytest.fixture
def daemon(config: str, operations: FakeOperations) -> Iterator[str]:
    """A configuration whose daemon runs."""
    with daemon_on(Path(config).with_name("c.sock"), operations):
        yield config
