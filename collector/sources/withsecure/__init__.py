"""WithSecure Elements: the plugin is `PLUGIN`."""

from collector.sources.withsecure.source import PLUGIN

__all__ = ["PLUGIN"]
