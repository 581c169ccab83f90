"""The sink `file`."""

from collector.sinks.file.config import FileConfig
from collector.sinks.file.sink import PLUGIN, conflict_key

__all__ = ["PLUGIN", "FileConfig", "conflict_key"]
