"""What tests of the engine and of plugins are made of; nothing outside tests imports it."""

from collector.testing.builders import make_batch, make_event, make_record
from collector.testing.clock import FakeClock
from collector.testing.contract import SINK_CHECKS, ScriptedLog, SinkSubject
from collector.testing.sinks import RecordingConfig, RecordingSink, recording_plugin
from collector.testing.sources import ScriptedSource

__all__ = [
    "SINK_CHECKS",
    "FakeClock",
    "RecordingConfig",
    "RecordingSink",
    "ScriptedLog",
    "ScriptedSource",
    "SinkSubject",
    "make_batch",
    "make_event",
    "make_record",
    "recording_plugin",
]
