"""ESET's events as CEF: the names its own syslog export has, so that its users' searches go on working."""

from __future__ import annotations

from collector.formats.cef import CefTable

CEF_TABLE = CefTable()
