"""The sink `splunk_hec`."""

from collector.sinks.splunk_hec.config import HecConfig
from collector.sinks.splunk_hec.sink import PLUGIN

__all__ = ["PLUGIN", "HecConfig"]
