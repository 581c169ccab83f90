"""A sink's encoder knows the vendors' tables and the sink's own wishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.app.parts import encoder, receiver
from collector.config.load import load_config
from collector.plugins import installed
from collector.testing import make_event
from tests.unit.formats.cef_reader import read_strict

EVENT = make_event(1, severity_vendor="critical", fields={"event.provider": "edr", "event.action": "created"})
CONFIG = """\
tenants:
  acme:
    sources: [{type: withsecure, client_id: id, client_secret: "${env:SECRET}"}]
sinks:
  plain: {type: file, path: plain.cef, format: cef}
  other: {type: file, path: other.cef, format: cef, time: fetched, cef: {vendor: F-Secure, signature: "{event.action}"}}
"""


def test_without_a_sink_events_are_written_by_their_vendors_table() -> None:
    header = read_strict(encoder("cef", installed())(EVENT)).header

    assert header[3:] == ["edr.created", "Endpoint Detection and Response (EDR) event", "10"]


def test_a_sinks_own_header_and_time_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "not told")
    (tmp_path / "collector.yaml").write_text(CONFIG)
    config = load_config(tmp_path / "collector.yaml")

    plain, other = (read_strict(receiver(name, config, installed()).stage.encode(EVENT)) for name in ("plain", "other"))

    assert (plain.header[0], plain.header[3]) == ("WithSecure", "edr.created")
    assert (other.header[0], other.header[3]) == ("F-Secure", "created")
    assert plain.pairs["rt"] == plain.pairs["start"]
    assert other.pairs["rt"] == other.pairs["deviceCustomDate2"]
