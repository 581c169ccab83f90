"""ESET Connect: the plugin is `PLUGIN`."""

from collector.sources.eset.source import PLUGIN

__all__ = ["PLUGIN"]
