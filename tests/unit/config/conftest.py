"""A folder to write configurations into, with a short way to load them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from collector.config import Config, load_config
from collector.errors import ConfigError

ENVIRON = {"ID": "fusion_1", "SECRET": "s3cr3t-canary"}

SOURCE = "{type: withsecure, client_id: fusion_1, client_secret: '${env:SECRET}'}"
TENANTS = f"tenants: {{acme: {{sources: [{SOURCE}]}}}}\n"
SINKS = "sinks: {archive: {type: file, path: events.ndjson}}\n"


class Folder:
    """Configurations on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: Mapping[str, str] = ENVIRON

    def write(self, text: str, name: str = "collector.yaml") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        return file

    def load(self, text: str | None = None) -> Config:
        """Load `collector.yaml`, with this content if one is given."""
        if text is not None:
            self.write(text)
        return load_config(self.path / "collector.yaml", environ=self.environ)

    def problems(self, text: str | None = None) -> list[str]:
        """What is wrong, without the folder in front."""
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        return [problem.replace(f"{self.path}/", "") for problem in caught.value.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
