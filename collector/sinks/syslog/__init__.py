"""The sink `syslog`."""

from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.sink import PLUGIN

__all__ = ["PLUGIN", "SyslogConfig"]
